package verify_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// slow is a store that takes long, by a clock, to list referrers, and to read
// manifests.
type slow struct {
	registry.Store
	listing, reading func()
}

func (s slow) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	s.listing()
	return s.Store.Referrers(ctx, subject)
}

func (s slow) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	s.reading()
	return s.Store.Manifest(ctx, ref)
}

func nothing() {}

// A registry that delays its answers stretches nothing beyond its end, and at its end
// nothing counts.
func TestAttack_T5_NoResultHasEndedWhenItIsReturned(t *testing.T) {
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	ends := now.Add(time.Hour)
	date := ends.Format(time.RFC3339)
	key := strings.Replace(policyText, "{file: a.pub}", "{file: a.pub, notAfter: "+date+"}", 1)
	warn := strings.Replace(policyText, "    require:", "    mode: warn\n    require:", 1)
	expiredKey := []verify.Reason{verify.ReasonExpiredKey}
	for label, x := range map[string]struct {
		text     string
		from, to time.Time
		reason   verify.Reason // "": allowed
		because  []verify.Reason
	}{
		"just before its end":       {key, ends.Add(-time.Second), ends.Add(-1), "", nil},
		"at its end":                {key, ends, ends, verify.ReasonNoTrustedSignature, expiredKey},
		"read beyond its end":       {key, ends.Add(-time.Second), ends.Add(time.Hour), verify.ReasonNoTrustedSignature, expiredKey},
		"read until its end":        {key, ends.Add(-time.Second), ends, verify.ReasonNoTrustedSignature, expiredKey},
		"the policy":                {policyText + "expires: " + date + "\n", ends.Add(-time.Second), ends, verify.ReasonPolicyExpired, nil},
		"a warning, and the policy": {strings.Replace(warn, "by: release", "by: pair", 1) + "expires: " + date + "\n", ends.Add(-time.Second), ends, verify.ReasonPolicyExpired, nil},
	} {
		at := x.from
		v, err := verify.New(loaded(t, x.text, a, b, c), verify.Options{Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.Image(t.Context(), slow{w.store, func() { at = x.to }, nothing}, w.image)
		t.Log(label)
		if x.reason != "" {
			isDenied(t, res, err, x.reason, x.because...)
		} else if err != nil || !res.ValidAt(at) || !res.JudgedAt.Equal(x.from) {
			t.Errorf("%+v, %v", res, err)
		}
	}
}

// What ends, and what takes its place and ends as well, is not judged for ever.
func TestAttack_T5_WhatEndsOverAndOverIsUndecided(t *testing.T) {
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	w.sign(w.image, sign.ImageOptions{}, b)
	w.sign(w.image, sign.ImageOptions{}, c)
	text := strings.Replace(policyText, "by: release", "by: any", 1)
	text = strings.Replace(text, "roles:\n", "roles:\n  any: {keys: [a, b, c], threshold: 1}\n", 1)
	for file, ends := range map[string]time.Duration{"a.pub": time.Hour, "b.pub": 2 * time.Hour, "c.pub": 3 * time.Hour} {
		text = strings.Replace(text, "{file: "+file+"}", "{file: "+file+", notAfter: "+now.Add(ends).Format(time.RFC3339)+"}", 1)
	}
	at, listed, step := now, 0, time.Hour
	v, err := verify.New(loaded(t, text, a, b, c), verify.Options{Now: func() time.Time { return at }, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	store := slow{w.store, func() { listed, at = listed+1, at.Add(step) }, nothing}
	res, err := v.Image(t.Context(), store, w.image)
	if undecided := (*verify.UndecidedError)(nil); !errors.As(err, &undecided) || res != nil || len(undecided.Evidence) == 0 || listed != 2 {
		t.Errorf("%+v, %v after %d judgements", res, err, listed)
	}
	step = 0
	if res, err := v.Image(t.Context(), store, w.image); err != nil || len(res.Keys) != 1 || res.Keys[0].ID != c.key.ID() {
		t.Errorf("asked again: %+v, %v", res, err)
	}
}

func TestAttack_T5_AnIndexThatEndsWhileItIsReadVouchesForNothing(t *testing.T) {
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	children := w.pushIndex(amd64)
	w.sign(w.image, sign.ImageOptions{}, a)
	ends, at := now.Add(time.Hour), now
	text := strings.Replace(policyText, "{file: a.pub}", "{file: a.pub, notAfter: "+ends.Format(time.RFC3339)+"}", 1)
	v, err := verify.New(loaded(t, text, a, b, c), verify.Options{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	index, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Child(t.Context(), w.store, index, children[0]); err != nil {
		t.Fatal(err)
	}
	if res, err := v.Child(t.Context(), slow{w.store, nothing, func() { at = ends }}, index, children[0]); !errors.Is(err, verify.ErrResult) {
		t.Errorf("%+v, %v", res, err)
	}
}
