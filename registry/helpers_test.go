package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// foreign serves content and remembers the credentials that reached it.
func foreign(t *testing.T, answer http.HandlerFunc) (host string, got func() []string) {
	var mu sync.Mutex
	var sent []string
	host = registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, r.Header.Get("Authorization"))
		mu.Unlock()
		answer(w, r)
	}))
	return host, func() []string { mu.Lock(); defer mu.Unlock(); return sent }
}

func host(t testing.TB, ro registrytest.Options, co remote.Options) *hosted {
	t.Helper()
	h := &hosted{Registry: registrytest.New(ro)}
	h.host = registrytest.Start(t, h)
	if co.Keychain == nil {
		co.Keychain = credentials{}
	}
	if co.RetryDelay == 0 {
		co.RetryDelay = time.Millisecond
	}
	var err error
	if h.client, err = remote.New(co); err != nil {
		t.Fatal(err)
	}
	if h.repo, err = name.NewRepository(h.host + "/team/app"); err != nil {
		t.Fatal(err)
	}
	h.tag = h.repo.Tag("v1")
	if h.image, err = registrytest.PushImage(context.Background(), h.Store(), h.tag, registrytest.ImageOptions{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// hosted is a registry on loopback with an image, and a client for it.
type hosted struct {
	*registrytest.Registry
	host   string
	client *remote.Client
	repo   name.Repository
	image  name.Digest
	tag    name.Tag
}

// credentials is a keychain with one username and password, or a token, or none.
type credentials struct{ user, password, identity, bearer string }

func (c credentials) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: c.user, Password: c.password, IdentityToken: c.identity, RegistryToken: c.bearer}), nil
}

// onInternet answers for registries with public names, without a network.
type onInternet map[string]http.Handler

func (o onInternet) RoundTrip(req *http.Request) (*http.Response, error) {
	h, ok := o[req.URL.Scheme+"://"+req.URL.Host]
	if !ok {
		return nil, fmt.Errorf("no such host: %s", req.URL.Host)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func wantError(t testing.TB, what string, err error, want registry.Kind) *registry.Error {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%s: %v, want %q", what, err, want)
		return &registry.Error{}
	}
	return e
}

// blobDescriptor describes bytes.
func blobDescriptor(mediaType string, data []byte) v1.Descriptor {
	h, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		panic(err) // a reader of memory does not fail
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: h, Size: size}
}

func blobFile(dir string, h v1.Hash) string { return filepath.Join(dir, "blobs", "sha256", h.Hex) }

// digestIn refers to a digest of the layout.
func digestIn(s registry.Store, h v1.Hash) name.Digest { return s.(*layout.Layout).Digest(h) }

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	emptyJSON   = "application/vnd.oci.empty.v1+json"
)

func listReferrers(t testing.TB, r registry.Reader, subject name.Digest) []v1.Descriptor {
	t.Helper()
	var all []v1.Descriptor
	for d, err := range r.Referrers(t.Context(), subject) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustManifest(t testing.TB, mediaType string, data []byte) registry.Manifest {
	t.Helper()
	m, err := registry.NewManifest(mediaType, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newLayout makes an empty layout.
func newLayout(t testing.TB) (*layout.Layout, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	return openLayout(t, dir, layout.Options{Create: true}), dir
}

func openLayout(t testing.TB, dir string, o layout.Options) *layout.Layout {
	t.Helper()
	l, err := layout.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func opener(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func push(t testing.TB, w registry.Writer, ref name.Reference, m registry.Manifest) {
	t.Helper()
	if _, err := w.PushManifest(t.Context(), ref, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
}

func pushBlob(t testing.TB, w registry.Writer, repo name.Repository, data []byte) name.Digest {
	t.Helper()
	ref := repo.Digest(blobDescriptor("", data).Digest.String())
	if err := w.PushBlob(t.Context(), ref, int64(len(data)), opener(data)); err != nil {
		t.Fatal(err)
	}
	return ref
}

// pushImage pushes a manifest of testManifest with its blobs.
func pushImage(t testing.TB, s registry.Store, ref name.Reference, layer string, subject *v1.Descriptor) registry.Manifest {
	t.Helper()
	m := testManifest(t, layer, subject)
	if ref == nil {
		ref = digestIn(s, m.Descriptor.Digest)
	}
	for _, data := range []string{"{}", layer} {
		pushBlob(t, s, ref.Context(), []byte(data))
	}
	push(t, s, ref, m)
	return m
}

func readBlob(r registry.Reader, ref name.Digest, size int64) ([]byte, error) {
	body, err := r.Blob(context.Background(), ref, size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func readIndex(t testing.TB, dir string) []v1.Descriptor {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(t, err)
	var index v1.IndexManifest
	must(t, json.Unmarshal(data, &index))
	return index.Manifests
}

// testManifest makes a manifest of one layer; subject may be nil.
func testManifest(t testing.TB, layer string, subject *v1.Descriptor) registry.Manifest {
	t.Helper()
	data, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: ociManifest,
		Config:      blobDescriptor(emptyJSON, []byte("{}")),
		Layers:      []v1.Descriptor{blobDescriptor("text/plain", []byte(layer))},
		Subject:     subject,
		Annotations: map[string]string{"test.layer": layer[:min(len(layer), 40)]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return mustManifest(t, ociManifest, data)
}

func wantCanceled(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

func wantKind(t testing.TB, err error, kind registry.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error is %v, want %q", err, kind)
	}
	var typed *registry.Error
	if err != nil && !errors.As(err, &typed) {
		t.Errorf("error %v is no *registry.Error", err)
	}
}

func writeIndex(t testing.TB, dir string, all ...v1.Descriptor) {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: all})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), data, 0o600))
}
