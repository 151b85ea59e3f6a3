package verify_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
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

// Beside an image that may run, an index that the policy denies is what would run on its
// platform.
func TestAttack_P23_PlatformDeniesADeniedIndexBesideAnImage(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64, arm64)
	entryOf := func(d name.Digest, p v1.Platform) v1.Descriptor {
		m, err := w.store.Manifest(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		entry := m.Descriptor
		entry.Platform = &v1.Platform{OS: p.OS, Architecture: p.Architecture}
		return entry
	}
	inner := w.image
	w.indexOf(entryOf(inner, arm64), entryOf(children[0], amd64))
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.denying("", inner)
	index, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Platform(t.Context(), w.store, index, arm64)
	isDenied(t, nil, err, verify.ReasonDeniedDigest)
	if res, err := v.Platform(t.Context(), w.store, index, amd64); err != nil || res.Digest != children[0] {
		t.Errorf("the image beside it: %v", err)
	}
}

// Of more indexes than are read for one platform, none is chosen.
func TestAttack_P23_TooManyIndexesForOnePlatformAreAnError(t *testing.T) {
	w := newWorld(t)
	child := w.pushIndex(arm64)[0]
	m, err := w.store.Manifest(t.Context(), child)
	if err != nil {
		t.Fatal(err)
	}
	on := &v1.Platform{OS: arm64.OS, Architecture: arm64.Architecture}
	var inner []v1.Descriptor
	for i := range 25 {
		entry := m.Descriptor
		entry.Platform, entry.Annotations = on, map[string]string{"n": strconv.Itoa(i)}
		w.indexOf(entry)
		listed, err := w.store.Manifest(t.Context(), w.image)
		if err != nil {
			t.Fatal(err)
		}
		listed.Descriptor.Platform = on
		inner = append(inner, listed.Descriptor)
	}
	w.indexOf(inner...)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1})
	index, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = v.Platform(t.Context(), w.store, index, arm64); !errors.Is(err, registry.ErrTooMany) {
		t.Errorf("error is %v, want ErrTooMany", err)
	}
}
