package sign_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// failingAt is a store in which one step of pushing and signing image fails.
func failingAt(step string, inner registry.Store, image name.Digest) registry.Store {
	down := &registry.Error{Op: "ask", Kind: registry.ErrUnavailable}
	isTag := func(ref name.Reference) bool { return ref.Identifier() == "v1" }
	return registrytest.Faulty(inner, registrytest.Hooks{
		PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
			if step == "the image is not taken" || step == "the tag is not taken" && isTag(ref) {
				return registry.PushReport{}, down
			}
			return inner.PushManifest(ctx, ref, m, o)
		},
		Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
			if step == "the image cannot be read again" && ref.Identifier() == image.DigestStr() {
				return registry.Manifest{}, down
			}
			return inner.Manifest(ctx, ref)
		},
		Resolve: func(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
			d, err := inner.Resolve(ctx, ref)
			switch {
			case step == "the tag cannot be asked for" && isTag(ref):
				return v1.Descriptor{}, down
			case step == "the tag leads elsewhere" && isTag(ref) && err == nil:
				d.Digest.Hex = d.Digest.Hex[32:] + d.Digest.Hex[:32]
			}
			return d, err
		},
	})
}

// Whatever fails on the way, it is an error; and the tag is set only by the last
// step.
func TestPushAndSignThatFailsIsNoSuccess(t *testing.T) {
	for step, c := range map[string]struct {
		want error
		sent bool // the tag may be set
	}{
		"nothing":                        {nil, true},
		"the image is not taken":         {registry.ErrUnavailable, false},
		"the image cannot be read again": {registry.ErrUnavailable, false},
		"the tag is not taken":           {registry.ErrUnavailable, false},
		"the tag cannot be asked for":    {registry.ErrUnavailable, true},
		"the tag leads elsewhere":        {registry.ErrNotConfirmed, true},
	} {
		inner, repo := newStore(t)
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		hash, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		store := failingAt(step, inner, repo.Digest(hash.String()))
		signed, err := sign.PushAndSign(t.Context(), store, repo.Tag("v1"), image, sign.ImageOptions{}, newSigner(t))
		if !errors.Is(err, c.want) || (signed == nil) == (err == nil) {
			t.Errorf("%s: %+v, %v; want %v", step, signed, err, c.want)
		}
		if _, err := inner.Resolve(t.Context(), repo.Tag("v1")); !c.sent && !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: the tag is set: %v", step, err)
		}
	}
}

func TestPushAndSignThatCannotSignSendsNothing(t *testing.T) {
	store, repo := newStore(t)
	w := &watched{Store: store}
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	for label, o := range map[string]sign.ImageOptions{"no signer": {}, "an unknown format": {Formats: []registry.Format{registry.FormatEnvelope}}} {
		var signers []sign.Signer
		if o.Formats != nil {
			signers = append(signers, newSigner(t))
		}
		if signed, err := sign.PushAndSign(t.Context(), w, repo.Tag("v1"), image, o, signers...); signed != nil || !errors.Is(err, sign.ErrOptions) {
			t.Errorf("%s: %+v, %v; want ErrOptions", label, signed, err)
		}
	}
	if len(w.log) > 0 {
		t.Errorf("sent: %v", w.log)
	}
}
