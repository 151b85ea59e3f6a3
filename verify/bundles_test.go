package verify_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// bundle is one that a person has signed about a digest.
func (w *world) bundle(by person) []byte {
	w.t.Helper()
	image := w.push()
	w.image = image
	w.sign(image, sign.ImageOptions{}, by)
	for item, err := range registry.Evidence(w.t.Context(), w.store, image, registry.Limits{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		return item.Payload
	}
	w.t.Fatal("nothing is attached")
	return nil
}

func TestBundlesAtHandAreJudgedAsThoseOfARegistry(t *testing.T) {
	w := newWorld(t)
	good := w.bundle(w.trusted)
	image := w.image
	strangers := w.bundle(w.other)
	elsewhere := w.bundle(w.trusted)
	v := w.verifier(policy.Signatures{})

	res, err := v.Bundles(t.Context(), image, []byte("garbage"), strangers, good)
	if err != nil || res.Digest != image || len(res.Keys) != 1 || res.Keys[0].ID != w.trusted.key.ID() || res.Keys[0].Evidence != "" {
		t.Fatalf("%+v, %v", res, err)
	}
	want := []verify.Reason{verify.ReasonMalformed, verify.ReasonUntrustedKey, verify.ReasonCounted}
	for i, e := range res.Evidence {
		if e.Reason != want[i] || e.Place != verify.PlaceGiven || e.Manifest != "" {
			t.Errorf("piece %d: %+v, want %s", i, e, want[i])
		}
	}
	for name, test := range map[string]struct {
		bundles [][]byte
		reason  verify.Reason
	}{
		"none":                         {nil, verify.ReasonNoSignature},
		"garbage":                      {[][]byte{[]byte("{}")}, verify.ReasonNoTrustedSignature},
		"a stranger's":                 {[][]byte{strangers}, verify.ReasonNoTrustedSignature},
		"E1 good, about another image": {[][]byte{elsewhere}, verify.ReasonNoTrustedSignature},
	} {
		res, err := v.Bundles(t.Context(), image, test.bundles...)
		var denied *verify.Error
		if !errors.As(err, &denied) || denied.Reason != test.reason || res != nil {
			t.Errorf("%s: %v, %v; want %s", name, res, err, test.reason)
		}
	}
}

func TestAttack_E8_TheSameBundleTwiceIsOneKey(t *testing.T) {
	w := newWorld(t)
	good := w.bundle(w.trusted)
	v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, w.other.key}, Threshold: 2})
	var denied *verify.Error
	if _, err := v.Bundles(t.Context(), w.image, good, good); !errors.As(err, &denied) || denied.Reason != verify.ReasonThreshold {
		t.Errorf("%v, want %s", err, verify.ReasonThreshold)
	}
}

func TestAttack_E9_BundlesAtHandAreBounded(t *testing.T) {
	w := newWorld(t)
	good := w.bundle(w.trusted)
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy(),
		verify.Options{Limits: registry.Limits{MaxItems: 2, MaxPayloadBytes: int64(len(good))}})
	if err != nil {
		t.Fatal(err)
	}
	var denied *verify.Error
	_, err = v.Bundles(t.Context(), w.image, []byte("1"), []byte("2"), good)
	if !errors.As(err, &denied) || denied.Reason != verify.ReasonTooMuchEvidence {
		t.Errorf("three where two are allowed: %v", err)
	}
	_, err = v.Bundles(t.Context(), w.image, append(good[:len(good):len(good)], ' '))
	if !errors.As(err, &denied) || len(denied.Evidence) != 1 || denied.Evidence[0].Reason != verify.ReasonTooLarge {
		t.Errorf("one that is too large: %v", err)
	}
	if _, err := v.Bundles(t.Context(), w.image, []byte("1"), good); err != nil {
		t.Errorf("two: %v", err)
	}
}

func TestBundlesCannotAnswerForTheImageItself(t *testing.T) {
	w := newWorld(t)
	good := w.bundle(w.trusted)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	p.Rules[0].Require = append(p.Rules[0].Require, policy.Requirement{Config: &policy.ConfigRequirement{NonRoot: true}})
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var undecided *verify.UndecidedError
	if res, err := v.Bundles(t.Context(), w.image, good); !errors.As(err, &undecided) || res != nil {
		t.Errorf("%v, %v; want *UndecidedError", res, err)
	}
}

func TestBundlesEndWithTheirContext(t *testing.T) {
	w := newWorld(t)
	good := w.bundle(w.trusted)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res, err := w.verifier(policy.Signatures{}).Bundles(ctx, w.image, good); !errors.Is(err, context.Canceled) || res != nil {
		t.Errorf("%v, %v; want context.Canceled", res, err)
	}
}
