package gate_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// listed reports whether the list of the signed image has an entry.
func (s *scene) listed(digest string, header ...string) bool {
	s.t.Helper()
	r := s.get("/v2/team/app/referrers/"+s.signed.DigestStr(), header...)
	if r.status != http.StatusOK {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	return strings.Contains(string(r.body), digest)
}

func TestReferrersWhoseBlobsDoNotPassAreNotListed(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxEvidenceBytes = 1000 })
	long := []byte(`{"x":"` + strings.Repeat("x", 1000) + `"}`)
	honest := s.attach(s.signed.DigestStr(), 1, s.blob("application/json", long))
	lie := s.blob("application/json", long)
	lie.Size = 10
	liar := s.attach(s.signed.DigestStr(), 2, lie)
	gone := s.attach(s.signed.DigestStr(), 3, piece{"application/json", digestOf(t, []byte("gone")), 4})
	good := s.attach(s.signed.DigestStr(), 4, s.blob("application/json", []byte("[1]")), s.blob("application/json", []byte(`{"x":1}`)))
	best := s.attach(s.signed.DigestStr(), 5, s.blob("application/json", []byte(`{"x":1}`)))
	for digest, want := range map[string]bool{honest: false, liar: false, gone: false, good: false, best: true} {
		if got := s.listed(digest); got != want {
			t.Errorf("%s is listed: %t, want %t", digest, got, want)
		}
	}
}

func TestAReferrerThatCannotBeReadLeavesNoListBehind(t *testing.T) {
	for status, want := range map[int]int{http.StatusInternalServerError: http.StatusBadGateway, http.StatusServiceUnavailable: http.StatusServiceUnavailable, http.StatusForbidden: http.StatusOK} {
		s := newScene(t, registrytest.Options{}, nil)
		digest := s.attach(s.signed.DigestStr(), 1, s.blob("application/json", []byte(`{"x":1}`)))
		s.passes("signed")
		mend := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: digest, Do: registrytest.Status(status)})
		if r := s.get("/v2/team/app/referrers/" + s.signed.DigestStr()); r.status != want || strings.Contains(string(r.body), digest) {
			t.Errorf("%d: %d %s", status, r.status, r.body)
		}
		mend()
		if want != http.StatusOK && !s.listed(digest) {
			t.Errorf("%d: it is not listed afterwards", status)
		}
	}
}

// A registry may list a manifest before it gives it.
func TestAReferrerThatComesLateIsListed(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now }, verify.Options{AllowedTTL: time.Hour})
	digest := s.attach(s.signed.DigestStr(), 1, s.blob("application/json", []byte(`{"x":1}`)))
	s.passes("signed")
	mend := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: digest, Do: registrytest.Status(http.StatusNotFound)})
	if s.listed(digest) {
		t.Error("it is listed and is not there")
	}
	mend()
	clock.pass(2 * time.Minute)
	if !s.listed(digest) {
		t.Error("it is there and is not listed")
	}
}

func TestAListThatIsTooLongWithItsManifestsIsAnError(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, func(c *gate.Config) { c.MaxListBytes = 2000 })
	var all []written
	for i := range 4 {
		text, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(emptyType, []byte("{}")), "layers": []piece{s.blob("application/json", []byte(`{"x":1}`))},
			"subject": piece{manifestType, s.signed.DigestStr(), 1}, "annotations": map[string]string{"a": strings.Repeat("a", 1000) + itoa(i)},
		})
		must(t, err)
		all = append(all, written{MediaType: manifestType, Digest: s.hosted.Put("team/app", "", manifestType, text), Size: len(text)})
	}
	s.passes("signed")
	s.hosted.Put("team/app", tagsOf(s.signed.DigestStr())[0], indexType, indexOf(t, all...))
	if r := s.get("/v2/team/app/referrers/" + s.signed.DigestStr()); r.status != http.StatusBadGateway || !strings.Contains(r.message(), "more than the gate's limits allow") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// The gate holds evidence of one tenant's repository, which another tenant's list names.
func TestAttack_P7_ListsTellNothingOfOtherRepositories(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	s.start(registrytest.Start(t, s.tenants(map[string]string{"jane": "team/app", "mallory": "mallory/app"})), func(c *gate.Config) { c.Credentials = gate.PassThrough })
	repo, err := name.NewRepository(known + "/mallory/app")
	must(t, err)
	own, err := registrytest.PushImage(t.Context(), s.store, repo.Tag("own"), registrytest.ImageOptions{Seed: "own"})
	must(t, err)
	s.sign(own)
	about := func(subject string, blob piece) []byte {
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": within(t, emptyType, []byte("{}")), "layers": []piece{blob}, "subject": piece{manifestType, subject, 1}})
		must(t, err)
		return text
	}
	content := []byte(`{"secret":1}`)
	janes := piece{"application/json", s.hosted.PutBlob("team/app", content), len(content)}
	// Jane's evidence about her image, and a copy that is about Mallory's.
	hers := s.hosted.Put("team/app", "", manifestType, about(s.signed.DigestStr(), janes))
	foreign := s.hosted.Put("team/app", "", manifestType, about(own.DigestStr(), janes))
	without := s.hosted.Put("mallory/app", "", manifestType, about(own.DigestStr(), janes)) // the manifest is there, its blob is not
	s.passesWith("jane", manifestPath+"signed")
	s.passesWith("mallory", "/v2/mallory/app/manifests/own")
	list := func(repo, subject string, digests ...string) {
		var all []written
		for _, d := range digests {
			all = append(all, written{MediaType: manifestType, Digest: d, Size: 1})
		}
		s.hosted.Put(repo, tagsOf(subject)[0], indexType, indexOf(t, all...))
	}
	list("team/app", s.signed.DigestStr(), hers, foreign)
	list("mallory/app", own.DigestStr(), foreign, without)
	if r := s.get("/v2/team/app/referrers/"+s.signed.DigestStr(), basic("jane")...); r.status != http.StatusOK || !strings.Contains(string(r.body), hers) {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.passesWith("jane", manifestPath+hers)
	s.passesWith("jane", "/v2/team/app/blobs/"+janes.Digest)
	if r := s.get("/v2/mallory/app/referrers/"+own.DigestStr(), basic("mallory")...); r.status != http.StatusOK || strings.Contains(string(r.body), `"digest"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func (s *scene) passesWith(user, path string) {
	s.t.Helper()
	if r := s.get(path, basic(user)...); r.status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, r.status, r.body)
	}
}
