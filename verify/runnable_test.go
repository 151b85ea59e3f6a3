package verify_test

import (
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What containerd would run of an index is tested with the plugin for it, in examples.
func TestRunnable_ImageAndIndex(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, ctx := w.verifier(policy.Signatures{}), t.Context()
	image, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := v.Runnable(ctx, w.store, image, amd64); err != nil || res != image {
		t.Errorf("one image: %+v, %v", res, err)
	}
	children := w.pushIndex(amd64, arm64, amd64)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	index, err := v.Image(ctx, w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := v.Runnable(ctx, w.store, index, arm64); err != nil || res.Digest != children[1] || res.Index != index {
		t.Errorf("listed once: %+v, %v", res, err)
	}
	_, err = v.Runnable(ctx, w.store, index, amd64)
	isDenied(t, nil, err, verify.ReasonAmbiguousPlatform)
	_, err = v.Runnable(ctx, w.store, index, v1.Platform{OS: "windows", Architecture: "amd64"})
	isDenied(t, nil, err, verify.ReasonNoPlatform)
}

func TestRunnable_ResultsOfOthers(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, other := w.verifier(policy.Signatures{}), w.verifier(policy.Signatures{})
	image, err := other.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []*verify.Result{nil, {Digest: w.image}, image} {
		if res, err := v.Runnable(t.Context(), w.store, foreign, amd64); res != nil || !errors.Is(err, verify.ErrResult) {
			t.Errorf("%+v, %v; want ErrResult", res, err)
		}
	}
}
