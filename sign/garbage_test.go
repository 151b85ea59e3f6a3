package sign_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

const simpleType = "application/vnd.dev.cosign.simplesigning.v1+json"

// plant writes a tag of cosign's for an image, of layers that are JSON.
func plant(r *registrytest.Registry, image name.Digest, suffix string, layers []string) {
	r.Put("team/app", "sha256-"+image.DigestStr()[7:]+suffix, manifestType, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":[%s]}`,
		manifestType, r.PutBlob("team/app", []byte("{}")), strings.Join(layers, ",")))
}

// layerOf is a layer of two bytes, as JSON.
func layerOf(r *registrytest.Registry, mediaType, annotation string) string {
	return fmt.Sprintf(`{"mediaType":%q,"size":2,"digest":%q,"annotations":{"dev.cosignproject.cosign/signature":%q}}`,
		mediaType, r.PutBlob("team/app", []byte("{}")), annotation)
}

func TestAttack_E21_SigningGoesOnBesideARepeatedLayer(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	image, by := pushRandom(t, store, newRepo(t)), newSigner(t)
	for _, suffix := range []string{".sig", ".att"} {
		plant(r, image, suffix, slices.Repeat([]string{layerOf(r, simpleType, "")}, 10_001))
	}
	o := sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}}
	for round := range 2 {
		signed, err := sign.Image(t.Context(), store, image, o, by)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range signed.Signatures {
			if s.Existed != (round > 0) {
				t.Errorf("round %d: %+v", round, s)
			}
		}
	}
	if n := signedBy(t, store, image, by); n[registry.FormatBundle] != 1 || n[registry.FormatSimpleSigning] != 1 {
		t.Errorf("%v", n)
	}
	_, text, _ := r.Manifest("team/app", "sha256-"+image.DigestStr()[7:]+".sig")
	if m, err := v1.ParseManifest(bytes.NewReader(text)); err != nil || len(m.Layers) != 2 {
		t.Errorf("%d layers, %v; want the garbage once", len(m.Layers), err)
	}
}

// Signing reads the place that it writes to, and no other.
func TestAttack_E21_SigningDependsOnlyOnThePlaceThatItWritesTo(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	image, by := pushRandom(t, store, newRepo(t)), newSigner(t)
	tag := "sha256-" + image.DigestStr()[7:]
	r.Put("team/app", tag+".sig", manifestType, []byte("garbage"))
	r.Put("team/app", tag+".att", manifestType, []byte("garbage"))
	if _, err := sign.Image(t.Context(), store, image, sign.ImageOptions{}, by); err != nil {
		t.Errorf("a bundle: %v", err)
	}
	_, err := sign.Image(t.Context(), store, image, simpleOnly, by)
	if err == nil || !strings.Contains(err.Error(), tag+".sig") {
		t.Errorf("%v; want an error that names the tag in the way", err)
	}
	r.DeleteTag("team/app", tag+".sig")
	if _, err := sign.Image(t.Context(), store, image, simpleOnly, by); err != nil {
		t.Errorf("under .sig: %v", err)
	}
}

// What an attacker has attached beyond the default limits keeps no signer from signing.
func TestAttack_E21_MoreThanIsReadDoesNotStopSigning(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	image, by := pushRandom(t, store, newRepo(t)), newSigner(t)
	var layers []string
	for i := range 10_100 {
		layers = append(layers, layerOf(r, simpleType, fmt.Sprint(i)))
	}
	plant(r, image, ".sig", layers)
	if _, err := sign.Image(t.Context(), store, image, simpleOnly, by); err != nil {
		t.Error(err)
	}
}
