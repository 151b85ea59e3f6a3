package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// holding is a store that has one manifest, whatever it is asked for.
type holding struct {
	Reader
	mediaType, text string
}

func (h holding) Manifest(context.Context, name.Reference) (Manifest, error) {
	return describe(h.mediaType, []byte(h.text)), nil
}

func TestAttack_S9_WhatATagHoldsIsLookedAtLayerByLayer(t *testing.T) {
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	blob := func(text string) string {
		return fmt.Sprintf(`{"mediaType":"text/plain","size":1,"digest":%q}`, oci.Digest([]byte(text)))
	}
	layers := []v1.Descriptor{{MediaType: "text/plain", Size: 1, Digest: oci.Digest([]byte("a"))}}
	subject := oci.Digest([]byte("image"))
	for layer, confirmed := range map[string]bool{
		blob("a"): true, blob("b"): false, blob("a") + `],"subject":` + blob("another image") + `,"x":[`: false, `{`: false,
	} {
		h := holding{nil, manifestType, `{"schemaVersion":2,"config":` + blob("{}") + `,"layers":[` + layer + `]}`}
		err := layersCheck(h, repo.Tag("x.sig"), subject, layers).look(t.Context())
		if confirmed && err != nil || !confirmed && !errors.Is(err, ErrNotConfirmed) {
			t.Errorf("%s: %v", layer, err)
		}
	}
	h := holding{nil, manifestType, "{}"}
	wanted := describe("text/other", []byte("{}")).Descriptor
	if err := confirmManifest(t.Context(), h, repo, wanted); !errors.Is(err, ErrNotConfirmed) {
		t.Errorf("of another media type: %v", err)
	}
}
