package gate_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// BenchmarkColdLayers pulls three layers of 32 MiB at a time, each for the first
// time; upstream, gate and client share the processors.
func BenchmarkColdLayers(b *testing.B) {
	hosted := registrytest.New(registrytest.Options{})
	upstream := httptest.NewServer(hosted)
	defer upstream.Close()
	signer, key := newSigner(b)
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	must(b, err)
	repo, err := name.NewRepository(known + "/team/app")
	must(b, err)
	const size = 32 << 20
	b.SetBytes(3 * size)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		image, err := registrytest.PushImage(context.Background(), hosted.Store(), repo.Tag("v1"), registrytest.ImageOptions{Seed: fmt.Sprint(i % 2), Layers: 3, LayerSize: size})
		must(b, err)
		_, err = sign.Image(context.Background(), hosted.Store(), image, sign.ImageOptions{}, signer)
		must(b, err)
		store, err := gate.OpenStore(b.TempDir(), gate.StoreOptions{})
		must(b, err)
		gate, err := gate.New(gate.Config{Verifier: v, Client: quick, Store: store, Upstreams: []gate.Upstream{{Registry: known, Address: strings.TrimPrefix(upstream.URL, "http://")}}})
		must(b, err)
		server := httptest.NewServer(gate)
		get := func(path string, to io.Writer) {
			resp, err := http.Get(server.URL + path)
			must(b, err)
			defer func() { _ = resp.Body.Close() }()
			if _, err := io.CopyBuffer(struct{ io.Writer }{to}, resp.Body, make([]byte, 256<<10)); err != nil || resp.StatusCode != http.StatusOK {
				b.Errorf("%s: %d, %v", path, resp.StatusCode, err)
			}
		}
		get("/v2/team/app/manifests/v1", io.Discard)
		b.StartTimer()
		var wg sync.WaitGroup
		for _, part := range layersOf(b, hosted, image) {
			wg.Go(func() { get("/v2/team/app/blobs/"+part, sha256.New()) })
		}
		wg.Wait()
		b.StopTimer()
		server.Close()
		b.StartTimer()
	}
}

// layersOf are the digests of an image's layers.
func layersOf(t testing.TB, hosted *registrytest.Registry, image name.Digest) (all []string) {
	t.Helper()
	_, text, _ := hosted.Manifest("team/app", image.DigestStr())
	var m v1.Manifest
	must(t, json.Unmarshal(text, &m))
	for _, l := range m.Layers {
		all = append(all, l.Digest.String())
	}
	return all
}
