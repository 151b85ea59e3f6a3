package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

var noPlatform = v1.Platform{OS: "unknown", Architecture: "unknown"}

// denying makes a verifier whose policy denies digests.
func (w *world) denying(mode policy.Mode, digests ...name.Digest) *verify.Verifier {
	w.t.Helper()
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	p.Rules[0].Mode = mode
	for _, d := range digests {
		p.DenyDigests = append(p.DenyDigests, policy.DeniedDigest{Digest: d.DigestStr(), Reason: "CVE-1"})
	}
	v, err := verify.New(p, verify.Options{Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func TestAttack_P23_AnIndexOfWhichAllImagesAreDeniedIsDenied(t *testing.T) {
	for label, platforms := range map[string][]v1.Platform{
		"one": {amd64}, "two": {amd64, arm64}, "with attestations": {amd64, noPlatform},
	} {
		for _, mode := range []policy.Mode{policy.ModeEnforce, policy.ModeWarn} {
			w := newWorld(t)
			children := w.pushIndex(platforms...)
			if mode == policy.ModeEnforce {
				w.sign(w.image, sign.ImageOptions{}, w.trusted)
			}
			if label == "with attestations" {
				children = children[:1]
			}
			v := w.denying(mode, children...)
			for range 2 { // the second answer is the cache's
				res, err := v.Image(t.Context(), w.store, w.image)
				isDenied(t, res, err, verify.ReasonDeniedDigest)
				if !strings.Contains(err.Error(), "CVE-1") || !strings.Contains(err.Error(), children[0].DigestStr()) {
					t.Errorf("%s: %v does not say what is denied", label, err)
				}
			}
		}
	}
}

func TestAttack_P23_DeniedChildrenOfAnAllowedIndexAreNamed(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64, arm64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.denying("", children[0])
	index, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	want := verify.DeniedChild{Digest: children[0].DigestStr(), Platform: "linux/amd64", Reason: "CVE-1"}
	if len(index.DeniedChildren) != 1 || index.DeniedChildren[0] != want {
		t.Errorf("%+v, want %+v", index.DeniedChildren, want)
	}
	text, err := json.Marshal(index)
	if err != nil || !strings.Contains(string(text), `"deniedChildren":[{"digest":"`+children[0].DigestStr()) {
		t.Errorf("%s, %v", text, err)
	}
	_, err = v.Platform(t.Context(), w.store, index, amd64)
	isDenied(t, nil, err, verify.ReasonDeniedDigest)
	if res, err := v.Platform(t.Context(), w.store, index, arm64); err != nil || res.Digest != children[1] {
		t.Errorf("%v, %v", res, err)
	}
}

// An index that lists only an index whose images are all denied is no way around.
func TestAttack_P23_NestedIndexesHideNoDeniedImage(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64, arm64)
	inner, err := w.store.Manifest(t.Context(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	innerDigest := w.image
	w.indexOf(inner.Descriptor)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	res, err := w.denying("", children...).Image(t.Context(), w.store, w.image)
	isDenied(t, res, err, verify.ReasonDeniedDigest)
	res, err = w.denying("", innerDigest).Image(t.Context(), w.store, w.image)
	isDenied(t, res, err, verify.ReasonDeniedDigest)
	res, err = w.denying("", children[1]).Image(t.Context(), w.store, w.image)
	if err != nil || len(res.DeniedChildren) != 1 || res.DeniedChildren[0].Digest != children[1].DigestStr() {
		t.Errorf("%+v, %v", res, err)
	}

	// Beside a good image, the inner index is denied where it is asked for.
	good, err := w.store.Resolve(t.Context(), w.push())
	if err != nil {
		t.Fatal(err)
	}
	w.indexOf(inner.Descriptor, good)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.denying("", children...)
	res, err = v.Image(t.Context(), w.store, w.image)
	if err != nil || len(res.DeniedChildren) != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	_, err = v.Child(t.Context(), w.store, res, innerDigest)
	isDenied(t, nil, err, verify.ReasonDeniedDigest)
}

// A denial never fails open: what cannot be read is not known to list something else.
func TestAttack_P23_AnIndexThatCannotBeReadIsUndecided(t *testing.T) {
	for _, fails := range []registry.Kind{registry.ErrUnavailable, registry.ErrNotFound, registry.ErrMalformed} {
		w := newWorld(t)
		children := w.pushIndex(amd64)
		w.sign(w.image, sign.ImageOptions{}, w.trusted)
		broken := registrytest.Faulty(w.store, registrytest.Hooks{Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
			if ref.Identifier() == w.image.DigestStr() {
				return registry.Manifest{}, &registry.Error{Op: "read", Kind: fails}
			}
			return w.store.Manifest(ctx, ref)
		}})
		var undecided *verify.UndecidedError
		if res, err := w.denying("", children...).Image(t.Context(), broken, w.image); res != nil || !errors.As(err, &undecided) {
			t.Errorf("%s: %v, %v; want *UndecidedError", fails, res, err)
		}
		if _, err := w.denying("").Image(t.Context(), broken, w.image); err != nil {
			t.Errorf("%s, of a policy that denies no digest: %v", fails, err)
		}
	}
}

// indexAt is the world's store, with another way to read the manifest of the image.
func (w *world) indexAt(read func() (registry.Manifest, error)) registry.Reader {
	return registrytest.Faulty(w.store, registrytest.Hooks{Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
		if ref.Identifier() == w.image.DigestStr() {
			return read()
		}
		return w.store.Manifest(ctx, ref)
	}})
}

func TestAttack_P23_APanicAmidAnIndexIsUndecided(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	r := w.indexAt(func() (registry.Manifest, error) { panic("unforeseen") })
	var undecided *verify.UndecidedError
	if res, err := w.denying("", children...).Image(t.Context(), r, w.image); res != nil || !errors.As(err, &undecided) {
		t.Errorf("%v, %v; want *UndecidedError", res, err)
	}
}

func TestAttack_P23_AContextThatEndsAmidAnIndexIsNoDecision(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	m, err := w.store.Manifest(t.Context(), w.image)
	if err != nil {
		t.Fatal(err)
	}
	for label, fails := range map[string]error{"at once": context.Canceled, "once it is read": nil} {
		ctx, cancel := context.WithCancel(t.Context())
		r := w.indexAt(func() (registry.Manifest, error) { cancel(); return m, fails })
		if res, err := w.denying("", children...).Image(ctx, r, w.image); res != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, %v", label, res, err)
		}
	}
}

// No client runs a manifest of a type that is none of an image or an index.
func TestAManifestOfAnUnknownTypeHasNoChildren(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	r := w.indexAt(func() (registry.Manifest, error) {
		return registry.Manifest{}, &registry.Error{Op: "read", Kind: registry.ErrUnsupported}
	})
	if res, err := w.denying("", children...).Image(t.Context(), r, w.image); err != nil || len(res.DeniedChildren) != 0 {
		t.Errorf("%v, %v", res, err)
	}
}

func TestAttack_P23_IndexesThatNestTooDeepAreUndecided(t *testing.T) {
	w := newWorld(t)
	children := w.pushIndex(amd64)
	for range 20 {
		m, err := w.store.Manifest(t.Context(), w.image)
		if err != nil {
			t.Fatal(err)
		}
		w.indexOf(m.Descriptor)
	}
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	var undecided *verify.UndecidedError
	res, err := w.denying("", children...).Image(t.Context(), w.store, w.image)
	if res != nil || !errors.As(err, &undecided) || !strings.Contains(err.Error(), "nests more than 4 levels") {
		t.Errorf("%v, %v; want *UndecidedError", res, err)
	}
}
