//go:build unix

package gate_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// A list is refused where it is too long, whatever is asked of it: a client that takes a
// part for the whole would miss evidence.
func TestAttack_P17_ListsAreBoundedInBytes(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	long := &flooding{pages: 3} // of 0.8 MiB each
	var listing atomic.Bool
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if listing.Load() && strings.Contains(r.URL.Path, "/referrers/") {
			long.page(w, r)
			return
		}
		s.hosted.ServeHTTP(w, r)
	})
	for most, want := range map[int64]int{1 << 20: http.StatusBadGateway, 0: http.StatusOK} {
		listing.Store(false)
		s.start(registrytest.Start(t, upstream), func(c *gate.Config) { c.MaxListBytes = most })
		s.passes("signed")
		listing.Store(true)
		digest := s.signed.DigestStr()
		for _, path := range []string{"/v2/team/app/referrers/" + digest, "/v2/team/app/referrers/" + digest + "?artifactType=application%2Fother", manifestPath + strings.Replace(digest, ":", "-", 1)} {
			r := s.get(path)
			for r.status == http.StatusServiceUnavailable { // the manifests are read in parts
				r = s.get(path)
			}
			if want == http.StatusOK && strings.HasPrefix(path, manifestPath) {
				want = http.StatusNotFound // nothing that is listed is there
			}
			if r.status != want || r.err != nil || want == http.StatusBadGateway && !strings.Contains(r.message(), "more than the gate's limits allow") {
				t.Errorf("%d: %s: %d, %d bytes, %.200s", most, path, r.status, len(r.body), r.message())
			}
			if want == http.StatusOK && strings.Contains(string(r.body), `"digest"`) {
				t.Errorf("%s: %s", path, r.body)
			}
		}
		s.passes("signed")
	}
}

// Larger answers than most come whole, from a file, to many at once.
func TestLargeManifestsAreServedWhole(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	text := manifestOf("large")
	digest := s.hosted.Put("team/app", "large", ociManifest, []byte(text))
	s.sign(s.repo.Digest(digest))
	s.start(registrytest.Start(t, s.hosted), nil)
	done := make(chan reply)
	for range 20 {
		go func() { done <- s.get(manifestPath + "large") }()
	}
	for range 20 {
		if r := <-done; r.status != http.StatusOK || string(r.body) != text {
			t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
		}
	}
}
