package gate_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

func basic(user string) []string {
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.SetBasicAuth(user, "secret")
	return []string{"Authorization", req.Header.Get("Authorization")}
}

// tenants is an upstream whose users each read one repository.
func (s *scene) tenants(repos map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		switch repo, known := repos[user]; {
		case !known:
			w.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
			w.WriteHeader(http.StatusUnauthorized)
		case !strings.HasPrefix(r.URL.Path, "/v2/"+repo+"/"):
			w.WriteHeader(http.StatusForbidden)
		default:
			s.hosted.ServeHTTP(w, r)
		}
	})
}

// copyEvidence puts the evidence about the signed image into another repository,
// and not the image: everyone who knows a digest can sign it.
func (s *scene) copyEvidence(to string) {
	s.t.Helper()
	for d, err := range s.store.Referrers(s.t.Context(), s.signed) {
		must(s.t, err)
		_, text, _ := s.hosted.Manifest("team/app", d.Digest.String())
		var m v1.Manifest
		must(s.t, json.Unmarshal(text, &m))
		for _, l := range append(m.Layers, m.Config) {
			body, err := s.store.Blob(s.t.Context(), s.repo.Digest(l.Digest.String()), l.Size)
			must(s.t, err)
			content, err := io.ReadAll(body)
			must(s.t, err)
			s.hosted.PutBlob(to, content)
		}
		s.hosted.Put(to, "", manifestType, text)
	}
}

// A tenant has the digest of another one's private image signed in a repository of
// its own, and asks there for the content that the gate holds.
func TestAttack_P7_ReadableRepositoryOpensNoOthersContent(t *testing.T) {
	for _, stored := range []bool{true, false} {
		s := newScene(t, registrytest.Options{}, nil)
		upstream := registrytest.Start(t, s.tenants(map[string]string{"jane": "team/app", "mallory": "mallory/app"}))
		s.start(upstream, func(c *gate.Config) {
			c.Credentials = gate.PassThrough
			if stored {
				c.Store = openStore(t, t.TempDir(), store.Options{})
			}
		})
		repo, err := name.NewRepository(known + "/mallory/app")
		must(t, err)
		own, err := registrytest.PushImage(t.Context(), s.store, repo.Tag("own"), registrytest.ImageOptions{Seed: "own"})
		must(t, err)
		s.sign(own)
		s.copyEvidence("mallory/app")
		layer := s.parts(s.signed)[1]
		for _, path := range []string{"/v2/team/app/manifests/signed", blobPath(layer)} {
			if r := s.get(path, basic("jane")...); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		for range 2 {
			// The gate is told that mallory may read mallory/app.
			if r := s.get("/v2/mallory/app/manifests/"+own.DigestStr(), basic("mallory")...); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			for path, code := range map[string]string{"manifests/" + s.signed.DigestStr(): "MANIFEST_UNKNOWN", "blobs/" + layer.Digest.String(): "BLOB_UNKNOWN"} {
				if r := s.get("/v2/mallory/app/"+path, basic("mallory")...); r.status != http.StatusNotFound || !strings.HasPrefix(r.message(), code+": ") {
					t.Errorf("stored %v: %s: %d %.100s", stored, path, r.status, r.body)
				}
			}
		}
	}
}

// What was taken out of a repository is not given out of it any more.
func TestAttack_P7_AnUpstreamsWordAboutContentHoldsOnlyForAWhile(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.tenants(map[string]string{"jane": "team/app"})), func(c *gate.Config) {
		c.Credentials, c.AccessTTL = gate.PassThrough, 50*time.Millisecond
		c.Store = openStore(t, t.TempDir(), store.Options{})
	})
	layer := s.parts(s.signed)[1]
	paths := []string{"/v2/team/app/manifests/" + s.signed.DigestStr(), blobPath(layer)}
	for _, path := range paths {
		if r := s.get(path, basic("jane")...); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if !s.hosted.Delete("team/app", s.signed.DigestStr()) {
		t.Fatal("it was not there")
	}
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Status(http.StatusNotFound)})
	time.Sleep(60 * time.Millisecond)
	for _, path := range paths {
		// Other content of the repository is still there, and the credentials may read it.
		if r := s.get("/v2/team/app/manifests/"+s.unsigned.DigestStr(), basic("jane")...); r.status != http.StatusForbidden {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if r := s.get(path, basic("jane")...); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

// A client that tries credentials does not fill the process with connections.
func TestAttack_P11_CredentialsShareTheirConnections(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	var opened atomic.Int64
	upstream := httptest.NewUnstartedServer(s.tenants(nil))
	upstream.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	upstream.Start()
	t.Cleanup(upstream.Close)
	s.start(strings.TrimPrefix(upstream.URL, "http://"), func(c *gate.Config) { c.Credentials = gate.PassThrough })
	for i := range 100 {
		if r := s.get("/v2/team/app/manifests/signed", basic("u"+itoa(i))...); r.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if n := opened.Load(); n > 10 {
		t.Errorf("%d connections for 100 credentials, one after another", n)
	}
}

// Who may read a repository is told of a subject that is not there that nothing
// refers to it; anybody else gets the upstream's answer. It does not matter whose
// credentials are used.
func TestReferrersOfAMissingSubjectAreNoneForReaders(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	missing := "/v2/team/app/referrers/sha256:" + strings.Repeat("0a", 32)
	none := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	if r := s.get(missing); r.status != http.StatusOK || string(r.body) != none {
		t.Errorf("the operator's credentials: %d %s", r.status, r.body)
	}
	if r := s.get(strings.Replace(missing, "team/app", "team/none", 1)); r.status != http.StatusNotFound {
		t.Errorf("a repository that is not there: %d %s", r.status, r.body)
	}
	for _, mode := range []gate.Credentials{gate.PassThrough, gate.PassThroughOrAnonymous} {
		s.start(registrytest.Start(t, s.tenants(map[string]string{"jane": "team/app", "mallory": "mallory/app"})), func(c *gate.Config) { c.Credentials = mode })
		if r := s.get(missing, basic("jane")...); r.status != http.StatusOK || string(r.body) != none {
			t.Errorf("%s: jane: %d %s", mode, r.status, r.body)
		}
		if r := s.get(missing, basic("mallory")...); r.status != http.StatusForbidden {
			t.Errorf("%s: mallory: %d %s", mode, r.status, r.body)
		}
		if r := s.get(missing, basic("nobody")...); r.status != http.StatusUnauthorized {
			t.Errorf("%s: nobody: %d %s", mode, r.status, r.body)
		}
	}
	// A registry that hides from strangers what is there.
	hides := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.start(registrytest.Start(t, hides), func(c *gate.Config) { c.Credentials = gate.PassThroughOrAnonymous })
	if r := s.get(missing); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestUpstreamsAnswerForARepositoryHoldsForMissingContent(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.tenants(map[string]string{"jane": "team/app", "ken": "team/other"})), func(c *gate.Config) { c.Credentials = gate.PassThrough })
	for i := range 3 {
		path := "/v2/team/app/referrers/sha256:" + strings.Repeat(itoa(i), 64)
		if r := s.get(path, basic("jane")...); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := s.get(path, basic("ken")...); r.status != http.StatusForbidden {
			t.Errorf("other credentials: %d %s", r.status, r.body)
		}
	}
	asked := 0
	for _, r := range s.hosted.Requests() {
		if r.Kind == registrytest.KindTags {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the upstream was asked %d times whether jane may read the repository", asked)
	}
}

// What a tag named is no more a client's than what it asks for by digest: not once its
// access was withdrawn, and not while that is unknown.
func TestAttack_P7_WhatATagNamesIsGivenOnlyToWhoMayReadItNow(t *testing.T) {
	for label, at := range map[string]struct {
		status, want int
		code         string
		tagTTL       time.Duration
	}{
		"the upstream is down":            {http.StatusServiceUnavailable, http.StatusServiceUnavailable, "UNAVAILABLE: ", 0},
		"access is withdrawn":             {http.StatusForbidden, http.StatusForbidden, "DENIED: ", time.Hour},
		"the upstream is down, tags hold": {http.StatusServiceUnavailable, http.StatusServiceUnavailable, "UNAVAILABLE: ", time.Hour},
	} {
		clock, status := &movedClock{}, atomic.Int32{}
		s := newScene(t, registrytest.Options{}, nil)
		s.sign(s.signed, registry.FormatSimpleSigning)
		inner := s.tenants(map[string]string{"jane": "team/app"})
		upstream := registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n := int(status.Load()); n != 0 {
				w.WriteHeader(n)
				return
			}
			inner.ServeHTTP(w, r)
		}))
		s.start(upstream, func(c *gate.Config) { c.Credentials, c.Now, c.TagTTL = gate.PassThrough, clock.now, at.tagTTL })
		tags := []string{"signed", strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".sig"}
		for _, tag := range tags {
			if r := s.get(manifestPath+tag, basic("jane")...); r.status != http.StatusOK {
				t.Fatalf("%s: %s: %d %s", label, tag, r.status, r.body)
			}
		}
		status.Store(int32(at.status))
		clock.add(20 * time.Second) // AccessTTL is 30 seconds
		for _, tag := range tags {
			if r := s.get(manifestPath+tag, basic("jane")...); at.want == http.StatusServiceUnavailable && r.status != http.StatusOK {
				t.Errorf("%s: %s within AccessTTL: %d %s", label, tag, r.status, r.body)
			}
		}
		clock.add(20 * time.Second)
		for _, tag := range append(tags, s.signed.DigestStr()) {
			if r := s.get(manifestPath+tag, basic("jane")...); r.status != at.want || !strings.HasPrefix(r.message(), at.code) {
				t.Errorf("%s: %s: %d %.100s", label, tag, r.status, r.body)
			}
		}
	}
}

// That credentials were given what a tag names is an answer to whether they may read it.
func TestTagsOfWhoMayReadThemCostTheUpstreamNothingMore(t *testing.T) {
	clock := &movedClock{}
	s := newScene(t, registrytest.Options{}, nil)
	cost := func(credentials []string) (all []int) {
		for range 4 {
			s.hosted.ResetRequests()
			if r := s.get(manifestPath+"signed", credentials...); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			n := 0
			for _, r := range s.hosted.Requests() { // how much evidence is looked at varies
				if strings.HasSuffix(r.Path, "/signed") || strings.HasSuffix(r.Path, "manifests/"+s.signed.DigestStr()) {
					n++
				}
			}
			all = append(all, n)
			clock.add(6 * time.Second) // TagTTL is 10 seconds, AccessTTL 30
		}
		return all
	}
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Now = clock.now })
	operators := cost(nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Now, c.Credentials = clock.now, gate.PassThrough })
	if clients := cost(basic("jane")); !slices.Equal(clients, operators) {
		t.Errorf("requests for a client's credentials: %v; for the operator's: %v", clients, operators)
	}
}
