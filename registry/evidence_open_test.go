package registry_test

import (
	"context"
	"crypto/sha512"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// What Item.Open yields is hashed, whatever the Reader does.
func TestAttack_E18_LargePayloadsThatChangeAreNotReadToTheEnd(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	large := strings.Repeat("payload", registry.MaxInlineBytes)
	attach(t, h.client, h.image, simpleItem(large))
	for content, want := range map[string]registry.Kind{
		large:                                   "",
		strings.ToUpper(large):                  registry.ErrDigestMismatch,
		large + "more":                          registry.ErrTooLarge,
		strings.TrimSuffix(large, "d") + "\x00": registry.ErrDigestMismatch,
	} {
		lying := registrytest.Faulty(h.client, registrytest.Hooks{Blob: func(context.Context, name.Digest, int64) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		}})
		n := 0
		for item, err := range registry.Evidence(t.Context(), lying, h.image, registry.Limits{OpenAbove: 1000}, registry.PlaceSignatureTag, registry.PlaceSBOMTag) {
			must(t, err)
			n++
			body, err := item.Open()
			must(t, err)
			_, err = io.Copy(io.Discard, body)
			must(t, body.Close())
			if want == "" {
				must(t, err)
				continue
			}
			wantError(t, string(want), err, want)
		}
		if n != 1 {
			t.Errorf("%d items", n)
		}
	}
}

// An attacker or another client may name a payload by SHA-512: it is read as others are.
func TestEvidence_OpensPayloadsNamedBySHA512(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	payload := strings.Repeat("payload", registry.MaxInlineBytes)
	layer := h.planted(bundleType, "x")
	layer.Size, layer.Data = int64(len(payload)), nil
	layer.Digest = v1.Hash{Algorithm: "sha512", Hex: fmt.Sprintf("%x", sha512.Sum512([]byte(payload)))}
	h.PutBlobAs("team/app", layer.Digest.String(), []byte(payload))
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(h.manifestWith(t, imageHash(h), layer))})
	for _, above := range []int64{0, 1000} {
		n := 0
		for item, err := range registry.Evidence(t.Context(), h.client, h.image, registry.Limits{OpenAbove: above}, registry.PlaceReferrers) {
			must(t, err)
			n++
			got := item.Payload
			if item.Open != nil && got == nil {
				body, err := item.Open()
				must(t, err)
				got, err = io.ReadAll(body)
				must(t, err)
				must(t, body.Close())
			}
			if string(got) != payload {
				t.Errorf("above %d: %d bytes", above, len(got))
			}
		}
		if n != 1 {
			t.Errorf("above %d: %d items", above, n)
		}
	}
}

func TestItemsOfOtherAnnotationsHaveOtherIDs(t *testing.T) {
	seen := make(map[string]bool)
	for _, annotations := range []map[string]string{nil, {"a": "b"}, {"a": "c"}, {"b": "b"}, {"a": "b", "b": "b"}} {
		var item registry.Item
		item.Layer.Annotations = annotations
		if seen[item.ID()] {
			t.Errorf("%v has the ID of others", annotations)
		}
		seen[item.ID()] = true
	}
}
