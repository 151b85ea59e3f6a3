package gate_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// An attacker who can push lists more manifests than are remembered. Each request for the
// list must not read as many again.
func TestAttack_P26_ALongListIsNotReadAgainAndAgain(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	subject := s.signed.DigestStr()
	good := s.attach(subject, 1, s.blob("application/json", []byte("{}")))
	all := []written{{MediaType: manifestType, Digest: good, Size: 1}}
	for i := range 9000 {
		all = append(all, written{MediaType: manifestType, Digest: digestOf(t, []byte(itoa(i))), Size: 1})
	}
	s.passes("signed")
	s.hosted.Put("team/app", tagsOf(subject)[0], indexType, indexOf(t, all...))
	path := "/v2/team/app/referrers/" + subject
	last, cost := 0, 0
	for range 11 {
		s.hosted.ResetRequests()
		last, cost = s.get(path).status, len(s.hosted.Requests())
	}
	if last != http.StatusOK || cost > 10 {
		t.Errorf("in the end: %d, after %d requests", last, cost)
	}
	s.lists("in the end", subject, good)
}

// So it must be with evidence whose annotations are large.
func TestAttack_P26_LargeAnnotationsHideNoLongList(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	subject, blob := s.signed.DigestStr(), s.blob("application/json", []byte("{}"))
	config := within(t, emptyType, []byte("{}"))
	var all []written
	for i := range 2000 {
		digest := s.put(map[string]any{
			"mediaType": manifestType, "artifactType": "application/json", "config": config, "layers": []piece{blob},
			"subject": piece{manifestType, subject, 1}, "annotations": map[string]string{"a": strings.Repeat("a", 7<<10) + itoa(i)},
		})
		all = append(all, written{MediaType: manifestType, Digest: digest, Size: 1})
	}
	s.passes("signed")
	s.hosted.Put("team/app", tagsOf(subject)[0], indexType, indexOf(t, all...))
	last := reply{}
	for range 3 {
		last = s.get("/v2/team/app/referrers/" + subject)
	}
	if last.status != http.StatusOK || strings.Count(string(last.body), "digest") != len(all) {
		t.Errorf("%d %.200s", last.status, last.body)
	}
}
