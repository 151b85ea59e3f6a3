package proxy_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/proxy"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
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

func TestAttack_P4_AChildIsAllowedNoLongerThanTheDecisionAboutItsIndex(t *testing.T) {
	clock := &movedClock{}
	s := newScene(t, registrytest.Options{}, func(c *proxy.Config) { c.Now = clock.now })
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	s.passes("index")
	clock.add(5*time.Minute - time.Second) // AllowedFor is 5 minutes
	s.passes(children[0].DigestStr())
	layer := s.parts(children[0])[1]
	if r := s.get(blobPath(layer)); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.unsign(index)
	clock.add(2 * time.Second)
	s.denied(manifestPath+index.DigestStr(), "no-signature")
	s.denied(manifestPath+children[0].DigestStr(), "no-signature")
	s.denied(blobPath(layer), "no-signature")
}
