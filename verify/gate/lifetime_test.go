package gate_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// movedClock is a clock that can be set ahead, and back.
type movedClock struct{ ahead atomic.Int64 }

func (c *movedClock) now() time.Time      { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) }
func (c *movedClock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// unsign deletes what refers to an image.
func (s *scene) unsign(d name.Digest) {
	s.t.Helper()
	for r, err := range s.store.Referrers(s.t.Context(), d) {
		must(s.t, err)
		s.hosted.Delete("team/app", r.Digest.String())
	}
}

func TestAttack_P4_ChildIsAllowedNoLongerThanItsIndex(t *testing.T) {
	clock := &movedClock{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now })
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	s.passes("index")
	clock.add(5*time.Minute - time.Second) // AllowedTTL is 5 minutes
	s.passes(children[0].DigestStr())
	layer := s.parts(children[0])[1]
	if r := s.get(blobPath(layer)); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.unsign(index)
	clock.add(2 * time.Second)
	s.denied(manifestPath+index.DigestStr(), "no-signature")
	s.denied(manifestPath+children[0].DigestStr(), "no-signature")
	s.denied(blobPath(layer), "no-signature")
}

const year = 365 * 24 * time.Hour

func TestAttack_P10_ClockAheadOpensNoBlobPastItsManifest(t *testing.T) {
	clock := &movedClock{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now })
	clock.add(year)
	s.passes("signed")
	clock.add(-year)
	layer := s.parts(s.signed)[1]
	s.unsign(s.signed)
	s.denied(manifestPath+s.signed.DigestStr(), "no-signature")
	s.denied(blobPath(layer), "no-signature")
}

func TestAttack_P10_WhatTagsNamedWhileTheClockWasAheadIsAskedAnew(t *testing.T) {
	clock := &movedClock{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now })
	clock.add(year)
	s.passes("signed")
	if r := s.get(manifestPath + "later"); r.status != http.StatusNotFound {
		t.Fatalf("%d %s", r.status, r.body)
	}
	clock.add(-year)
	_, _, good := s.hosted.Manifest("team/app", "signed")
	_, bad, found := s.hosted.Manifest("team/app", "unsigned")
	if !good || !found {
		t.Fatal("the scene lacks an image")
	}
	s.hosted.Put("team/app", "signed", manifestType, bad)
	s.denied(manifestPath+"signed", "no-signature")
	later, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("later"), registrytest.ImageOptions{Seed: "later"})
	must(t, err)
	s.sign(later)
	s.passes("later")
}

func TestAttack_P10_UpstreamsAnswerUnderAClockAheadOpensNothing(t *testing.T) {
	clock := &movedClock{}
	s := newScene(t, registrytest.Options{}, nil)
	readers := map[string]string{"jane": "team/app"}
	s.start(registrytest.Start(t, s.tenants(readers)), func(c *gate.Config) { c.Credentials, c.Now = gate.PassThrough, clock.now })
	clock.add(year)
	paths := []string{manifestPath + s.signed.DigestStr(), blobPath(s.parts(s.signed)[1])}
	for _, path := range paths {
		if r := s.get(path, basic("jane")...); r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
	}
	clock.add(-year)
	readers["jane"] = "team/other"
	for _, path := range paths {
		if r := s.get(path, basic("jane")...); r.status != http.StatusForbidden {
			t.Errorf("%s: %d, where the credentials may read it no more", path, r.status)
		}
	}
}

func TestAttack_P8_AGateUsesNoSharedDecisionForLongerThanItsOwn(t *testing.T) {
	clock, shared := &movedClock{}, &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil)
	upstream := registrytest.Start(t, s.hosted)
	open := func(allowedTTL time.Duration) {
		s.judging = verify.Options{Now: clock.now, Cache: sharing(t, shared, "k"), AllowedTTL: allowedTTL}
		s.start(upstream, func(c *gate.Config) { c.Now = clock.now })
	}
	open(24 * time.Hour)
	s.passes("signed")
	s.unsign(s.signed)
	clock.add(30 * time.Second)
	open(time.Minute)
	s.passes(s.signed.DigestStr())
	clock.add(24*time.Hour - time.Minute)
	open(24 * time.Hour)
	s.passes(s.signed.DigestStr())
	open(time.Minute)
	s.denied(manifestPath+s.signed.DigestStr(), "no-signature")
}
