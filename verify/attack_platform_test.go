package verify_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// An entry for a platform may be an index: what it lists for that platform would run.
func TestAttack_P23_PlatformLooksIntoAnIndex(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64, arm64)
	inner, err := w.store.Manifest(t.Context(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	entry := inner.Descriptor
	entry.Platform = &v1.Platform{OS: arm64.OS, Architecture: arm64.Architecture}
	w.indexOf(entry)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.denying("", children[1]) // that of arm64
	index, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Platform(t.Context(), w.store, index, arm64)
	if err == nil {
		t.Logf("allowed %s, denied children %+v", res.Digest, res.DeniedChildren)
	}
	isDenied(t, nil, err, verify.ReasonDeniedDigest)
}

// An index that is listed for the platform, or for none, and that the policy denies, is
// what would run; and of more than can be read none is chosen.
func TestAttack_P23_PlatformEndsAtWhatItCannotFollow(t *testing.T) {
	w := newWorld(t)
	w.pushIndex(amd64)
	inner, err := w.store.Manifest(t.Context(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	entry := inner.Descriptor // for no platform
	w.indexOf(entry)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	free := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1})
	index, err := free.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := free.Platform(t.Context(), w.store, index, amd64); err != nil {
		t.Errorf("an index for no platform: %v", err)
	}
	v := w.denying("", w.image.Context().Digest(entry.Digest.String()))
	if index, err = v.Image(t.Context(), w.store, w.image); err == nil {
		_, err = v.Platform(t.Context(), w.store, index, amd64)
	}
	isDenied(t, nil, err, verify.ReasonDeniedDigest)
}
