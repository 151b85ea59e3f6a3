package registry_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

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
