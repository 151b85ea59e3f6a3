package gate_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func (s *scene) fallbackOf(subject string, digests ...string) {
	var all []piece
	for _, d := range digests {
		_, text, _ := s.hosted.Manifest("team/app", d)
		all = append(all, piece{manifestType, d, len(text)})
	}
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": all})
	must(s.t, err)
	s.hosted.Put("team/app", tagsOf(subject)[0], indexType, text)
}

func sceneOfTwo(t *testing.T) (s *scene, other name.Digest) {
	s = newScene(t, registrytest.Options{NoReferrers: true}, nil)
	other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{Seed: "other"})
	must(t, err)
	s.sign(other)
	return s, other
}

// A fallback tag of another subject lists evidence first.
func TestAttack_P26_AnotherSubjectsListProvesNothing(t *testing.T) {
	s, other := sceneOfTwo(t)
	s.passes("signed")
	s.passes("other")
	bad := s.attach(s.signed.DigestStr(), 1, s.blob("application/json", []byte("\x7fELF")))
	s.fallbackOf(other.DigestStr(), bad)
	s.serves("/v2/team/app/referrers/" + other.DigestStr())
	s.fallbackOf(s.signed.DigestStr(), bad)
	if s.listed(bad) {
		t.Error("evidence whose blob does not pass is listed")
	}
}

func TestAttack_P26_AnotherSubjectsListWithholdsNothing(t *testing.T) {
	for _, poison := range []bool{false, true} {
		s, other := sceneOfTwo(t)
		s.passes("signed")
		s.passes("other")
		good := s.attach(s.signed.DigestStr(), 1, s.blob("application/json", []byte(`{"x":1}`)))
		var junk []string
		for i := range 32 {
			text, err := json.Marshal(map[string]any{
				"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(configType, []byte(`{"os":"linux"}`)), "layers": []piece{s.blob(layerType, []byte("x"))},
				"subject": piece{manifestType, s.signed.DigestStr(), 1}, "annotations": map[string]string{"n": itoa(i)},
			})
			must(t, err)
			junk = append(junk, s.hosted.Put("team/app", "", manifestType, text))
		}
		if poison {
			s.fallbackOf(other.DigestStr(), good)
			s.serves("/v2/team/app/referrers/" + other.DigestStr())
		}
		s.fallbackOf(s.signed.DigestStr(), append(junk, good)...)
		if !s.listed(good) {
			t.Errorf("poison %t: good evidence is withheld", poison)
		}
	}
}

func TestAttack_P26_AnUpstreamTellsNothingOfOthersBlobs(t *testing.T) {
	for _, poison := range []bool{false, true} {
		s := newScene(t, registrytest.Options{}, nil)
		layer := s.blob("application/json", []byte(`{"x":1}`))
		good := s.attach(s.signed.DigestStr(), 1, layer)
		evil := registrytest.New(registrytest.Options{})
		repo, err := name.NewRepository("evil.example/team/app")
		must(t, err)
		// The registry copies the signed image and its signature.
		image, err := registrytest.PushImage(t.Context(), evil.Store(), repo.Tag("signed"), registrytest.ImageOptions{})
		must(t, err)
		signOn(t, evil, image, s.signer)
		mt, text, _ := s.hosted.Manifest("team/app", good)
		evil.Put("team/app", "", mt, text)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/blobs/"+s.blob(emptyType, []byte("{}")).Digest) {
				if r.Method == http.MethodGet {
					_, _ = w.Write(bytes.Repeat([]byte("x"), 2<<20))
				}
				return
			}
			evil.ServeHTTP(w, r)
		})
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
			c.MaxEvidenceBytes = 1 << 20
			c.Upstreams = append(c.Upstreams, gate.Upstream{Registry: "evil.example", Address: registrytest.Start(t, h)})
		})
		if poison {
			t.Log(s.get("/v2/evil.example/team/app/manifests/signed").status, s.get("/v2/evil.example/team/app/manifests/"+good).status)
			r := s.get("/v2/evil.example/team/app/blobs/" + s.blob(emptyType, []byte("{}")).Digest)
			t.Logf("evil: %d %s", r.status, r.body)
		}
		pre := "/v2/" + known + "/team/app/"
		s.serves(pre + "manifests/signed")
		s.serves(pre + "manifests/" + good)
		if r := s.get(pre + "referrers/" + s.signed.DigestStr()); !strings.Contains(string(r.body), good) {
			t.Errorf("poison %t: withheld from the list: %d", poison, r.status)
		}
		if r := s.get(pre + "blobs/" + layer.Digest); r.status != 200 {
			t.Errorf("poison %t: good blob: %d %s", poison, r.status, r.body)
		}
	}
}

// One client may read the image, and not the evidence repository, which the registry hides (404).
func TestAttack_P7_ADenialHoldsForItsCredentials(t *testing.T) {
	for _, first := range []bool{false, true} {
		s := newScene(t, registrytest.Options{}, nil)
		at, err := name.NewRepository(known + "/evidence/all")
		must(t, err)
		s.signApart(s.hosted, s.unsigned, at)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, _, _ := r.BasicAuth()
			switch {
			case user == "":
				w.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
				w.WriteHeader(http.StatusUnauthorized)
			case user != "jane" && strings.HasPrefix(r.URL.Path, "/v2/evidence/"):
				http.NotFound(w, r)
			default:
				s.hosted.ServeHTTP(w, r)
			}
		})
		s.start(registrytest.Start(t, h), func(c *gate.Config) {
			c.Credentials, c.Verifier = gate.PassThrough, s.verifier(rulesApart(at))
		})
		if first {
			r := s.get(manifestPath+"unsigned", basic("mallory")...)
			t.Logf("mallory: %d %s", r.status, r.body)
		}
		if r := s.get(manifestPath+"unsigned", basic("jane")...); r.status != http.StatusOK {
			t.Errorf("mallory first %t: jane, who may read the evidence: %d %s", first, r.status, r.body)
		}
	}
}

// A blob that is being read for two clients fails each with its own error.
func TestAttack_P7_ABlobsErrorIsOfItsCredentials(t *testing.T) {
	for _, first := range []bool{false, true} {
		s := newScene(t, registrytest.Options{}, nil)
		layer := s.blob("application/json", []byte(`{"x":1}`))
		good := s.attach(s.signed.DigestStr(), 1, layer)
		began, end := make(chan struct{}, 9), make(chan struct{})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, _, _ := r.BasicAuth()
			if user == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="upstream"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if user == "mallory" && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+layer.Digest) {
				began <- struct{}{}
				<-end
				w.WriteHeader(http.StatusForbidden)
				return
			}
			s.hosted.ServeHTTP(w, r)
		})
		s.start(registrytest.Start(t, h), func(c *gate.Config) { c.Credentials = gate.PassThrough })
		s.passesWith("mallory", manifestPath+"signed")
		s.passesWith("jane", manifestPath+"signed")
		path := "/v2/team/app/referrers/" + s.signed.DigestStr()
		done := make(chan struct{})
		if first {
			go func() { defer close(done); s.get(path, basic("mallory")...) }()
			<-began
		} else {
			close(done)
		}
		time.AfterFunc(1500*time.Millisecond, func() { close(end) })
		r := s.get(path, basic("jane")...)
		if !strings.Contains(string(r.body), good) {
			t.Errorf("mallory first %t: %d withheld from jane: %.200s", first, r.status, r.body)
		}
		<-done
		r = s.get(path, basic("jane")...)
		if !strings.Contains(string(r.body), good) {
			t.Errorf("mallory first %t: again, once mallory is gone: %d withheld", first, r.status)
		}
	}
}

// The policy denies by SHA-256, and manifests may name a blob by SHA-512.
func TestAttack_P3_ADeniedBlobHasNoOtherName(t *testing.T) {
	content := []byte(`{"denied":1}`)
	other := fmt.Sprintf("sha512:%x", sha512.Sum512(content))
	for label, denies := range map[string]bool{"denied": true, "another is denied": false} {
		t.Run(label, func(t *testing.T) {
			s := newScene(t, registrytest.Options{}, nil)
			blob := s.blob("application/json", content)
			s.hosted.PutBlobAs("team/app", other, content)
			digest := blob.Digest
			if !denies {
				digest = "sha256:" + strings.Repeat("0", 64)
			}
			s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
				c.Verifier = s.verifier(func(p *policy.Policy) { p.DenyDigests = []policy.DeniedDigest{{Digest: digest, Reason: "x"}} })
			})
			m := s.attach(s.signed.DigestStr(), 1, piece{"application/json", other, len(content)})
			s.serves(manifestPath + m)
			if s.listed(m) == denies {
				t.Errorf("listed: %t", !denies)
			}
			for range 2 {
				if r := s.get("/v2/team/app/blobs/" + other); r.status == http.StatusForbidden != denies {
					t.Errorf("%d %s", r.status, r.body)
				}
				if r := s.ask(http.MethodHead, "/v2/team/app/blobs/"+other); r.status == http.StatusForbidden != denies {
					t.Errorf("HEAD: %d", r.status)
				}
			}
		})
	}
}

// Clients take content in a descriptor instead of asking for the blob.
func TestAttack_P15_ADeniedBlobIsNotCarriedInline(t *testing.T) {
	content := []byte(`{"denied":1}`)
	other := fmt.Sprintf("sha512:%x", sha512.Sum512(content))
	s := newScene(t, registrytest.Options{}, nil)
	blob := s.blob("application/json", content)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Verifier = s.verifier(func(p *policy.Policy) { p.DenyDigests = []policy.DeniedDigest{{Digest: blob.Digest, Reason: "x"}} })
	})
	for _, digest := range []string{blob.Digest, other} {
		text, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(emptyType, []byte("{}")),
			"layers":  []any{map[string]any{"mediaType": "application/json", "digest": digest, "size": len(content), "data": base64.StdEncoding.EncodeToString(content)}},
			"subject": piece{manifestType, s.signed.DigestStr(), 1},
		})
		must(t, err)
		m := s.hosted.Put("team/app", "", manifestType, text)
		if s.listed(m) {
			t.Errorf("%s is listed", digest)
		}
		if r := s.get(manifestPath + m); r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", digest, r.status, r.body)
		}
	}
}
