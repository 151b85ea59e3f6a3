package gate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// sharedMap is a DecisionStore.
type sharedMap struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (s *sharedMap) Get(_ context.Context, name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[name]
	return v, ok
}

func (s *sharedMap) Put(_ context.Context, name string, value []byte, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[name] = value
}

// lies are manifests of an attacker's, which list a blob as what it is not.
func (s *scene) lies(good piece) {
	s.t.Helper()
	for i := range 6 {
		s.passes(s.attach(s.signed.DigestStr(), 100+i, piece{"application/cose", good.Digest, good.Size}))
	}
}

const aStatement = `{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}`

// A gate that has the decision from another one never counts the manifest again that says
// rightly what the blob is: four lies are enough, for as long as the decision holds.
func TestAttack_E21_LiesHideABlobWithSharedDecisions(t *testing.T) {
	shared := &sharedMap{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil, verify.Options{Cache: sharing(t, shared, "k")})
	good := s.blob("application/vnd.in-toto+json", []byte(aStatement))
	evidence := s.attach(s.signed.DigestStr(), 0, good)
	s.passes(evidence)
	s.serves("/v2/team/app/blobs/" + good.Digest)
	s.start(registrytest.Start(t, s.hosted), nil) // another gate, or this one after a restart
	s.passes(evidence)
	s.lies(good)
	for range 2 {
		s.passes(evidence)
		if r := s.get("/v2/team/app/blobs/" + good.Digest); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// A pull that is under way when the policy is replaced.
func TestAttack_E21_LiesHideABlobFromASlowPull(t *testing.T) {
	source := &replaceable{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		source.set(c.Verifier.(*verify.Verifier))
		c.Verifier = source
	})
	good := s.blob("application/vnd.in-toto+json", []byte(aStatement))
	s.passes(s.attach(s.signed.DigestStr(), 0, good))
	s.lies(good)
	source.set(s.verifier(func(p *policy.Policy) {
		p.DenyDigests = []policy.DeniedDigest{{Digest: "sha256:" + strings.Repeat("0", 64), Reason: "x"}}
	}))
	if r := s.get("/v2/team/app/blobs/" + good.Digest); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Decisions about blobs are driven out by others, while the one about the manifest is used.
func TestAttack_E21_LiesHideABlobAfterAFlood(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxDecisions = 100 })
	good := s.blob("application/vnd.in-toto+json", []byte(aStatement))
	evidence := s.attach(s.signed.DigestStr(), 0, good)
	s.passes(evidence)
	s.lies(good)
	for i := range 60 {
		s.passes(s.attach(s.signed.DigestStr(), 200+i, s.blob("application/json", fmt.Appendf(nil, `{"x":%d}`, i))))
		s.passes(evidence)
	}
	s.passes(evidence)
	if r := s.get("/v2/team/app/blobs/" + good.Digest); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A manifest whose config names a platform and a command, as encoding/json reads it.
func TestAttack_P15_AConfigThatRunsPassesAsEvidence(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	runs := []byte(`{"Architecture":"amd64","OS":"linux","Config":{"Entrypoint":["sh","-c","evil"]},"rootfs":{"type":"layers","diff_ids":[]}}`)
	layer := within(t, "application/json", []byte("{}"))
	tag := tagsOf(s.signed.DigestStr())[1]
	for name, config := range map[string]written{
		"inline": within(t, configType, runs),
		"blob":   {MediaType: configType, Digest: s.hosted.PutBlob("team/app", runs), Size: len(runs)},
	} {
		digest := s.hosted.Put("team/app", tag, manifestType, manifestText(t, config, []written{layer}, map[string]any{"annotations": map[string]string{"n": name}}))
		for face, get := range s.faces(nil) {
			manifest := get(manifestPath + tag)
			blob := get("/v2/team/app/blobs/" + config.Digest)
			if manifest.status == http.StatusOK && (name == "inline" || blob.status == http.StatusOK) {
				t.Errorf("%s, %s: %s passes: %s", face, name, digest, manifest.body)
			}
		}
	}
}

// ownList makes the gate's list another one than the upstream's, and returns its digest.
func (s *scene) ownList() string {
	s.t.Helper()
	tag := tagsOf(s.signed.DigestStr())[0]
	entry := written{MediaType: manifestType, Digest: digestOf(s.t, []byte("x")), Size: 1, URLs: []string{"https://registry.example.test/x"}}
	s.hosted.Put("team/app", tag, indexType, indexOf(s.t, entry))
	s.sign(s.signed)
	r := s.serves(manifestPath + tag)
	own := r.header.Get("Docker-Content-Digest")
	s.serves(manifestPath + own)
	return own
}

// Clients ask for the list by the digest that HEAD of its tag gave them (containerd,
// Docker). By then the gate has read much that it refuses.
func TestAttack_E19_AFloodDrivesOutTheGatesList(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	own := s.ownList()
	for i := range 12 { // by a writer
		text := manifestText(t, written{MediaType: configType, Digest: digestOf(t, []byte(itoa(i))), Size: 1}, []written{}, map[string]any{"annotations": map[string]string{"x": strings.Repeat("x", 1<<20) + itoa(i)}})
		s.denied(manifestPath+s.hosted.Put("team/app", "", manifestType, text), "no-signature")
	}
	if r := s.get(manifestPath + own); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// The tag is asked of one replica, the digest of another one.
func TestAttack_E19_AnotherReplicaKnowsTheGatesList(t *testing.T) {
	shared := &sharedMap{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil, verify.Options{Cache: sharing(t, shared, "k")})
	own := s.ownList()
	s.start(registrytest.Start(t, s.hosted), nil)
	if r := s.get(manifestPath + own); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Clients bound a list at 4 MiB (oras-go, and the specification's advice for manifests);
// the upstream gives it in pages, the gate in one piece.
func TestAttack_E21_LargeAnnotationsBreakTheList(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.passes("signed") // that it is denied after these is another matter
	for i := range 50 {
		layer := within(t, "application/json", []byte("{}"))
		text := manifestText(t, within(t, emptyType, []byte("{}")), []written{layer}, map[string]any{
			"subject":     written{MediaType: manifestType, Digest: s.signed.DigestStr(), Size: 1},
			"annotations": map[string]string{"x": strings.Repeat("x", 100<<10) + itoa(i)},
		})
		s.hosted.Put("team/app", "", manifestType, text)
	}
	// The upstream gives them in pages of ten.
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			s.hosted.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		s.hosted.ServeHTTP(answer, r)
		var list struct{ Manifests []json.RawMessage }
		must(t, json.Unmarshal(answer.Body.Bytes(), &list))
		from, _ := strconv.Atoi(r.URL.Query().Get("last"))
		to := min(from+10, len(list.Manifests))
		if to < len(list.Manifests) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?last=%d>; rel="next"`, r.URL.Path, to))
		}
		w.Header().Set("Content-Type", indexType)
		text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": list.Manifests[from:to]})
		must(t, err)
		_, _ = w.Write(text)
	}))
	t.Cleanup(upstream.Close)
	s.start(strings.TrimPrefix(upstream.URL, "http://"), nil)
	r := s.serves("/v2/team/app/referrers/" + s.signed.DigestStr())
	if len(r.body) > 4<<20 {
		t.Errorf("a list of %d bytes, Link %q", len(r.body), r.header.Get("Link"))
	}
}

// The image goes on to pass, too: the evidence is small, and there is little of it.
func TestAttack_E21_LargeAnnotationsDenyTheImage(t *testing.T) {
	for many, size := range map[int]int{2: 2200 << 10, 50: 100 << 10, 51: 10} {
		s := newScene(t, registrytest.Options{}, nil)
		for i := range many {
			layer := within(t, "application/json", []byte("{}"))
			text := manifestText(t, within(t, emptyType, []byte("{}")), []written{layer}, map[string]any{
				"subject":     written{MediaType: manifestType, Digest: s.signed.DigestStr(), Size: 1},
				"annotations": map[string]string{"x": strings.Repeat("x", size) + itoa(i)},
			})
			s.hosted.Put("team/app", "", manifestType, text)
		}
		if r := s.get(manifestPath + "signed"); r.status != http.StatusOK {
			t.Errorf("%d of %d: %d %.500s", many, size, r.status, r.body)
		}
	}
}

// A blob of an image that is in the store is taken for evidence in another repository.
func TestAttack_P16_StoredEvidenceHasABoundToo(t *testing.T) {
	content := []byte(`{"x":"` + strings.Repeat("x", 10_000) + `"}`)
	for kind, stored := range map[string]bool{"without a store": false, "with a store": true} {
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
			c.MaxEvidenceBytes = 8 << 10
			if stored {
				c.Store = openStore(t, t.TempDir(), store.Options{})
			}
		})
		// A signed image of another repository has the content as a layer.
		other := s.repo.Registry.Repo("team", "other")
		config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
		put := func(repo, mediaType string, c []byte) written {
			return written{MediaType: mediaType, Digest: s.hosted.PutBlob(repo, c), Size: len(c)}
		}
		layer := put("team/other", gzippedType, content)
		image := other.Digest(s.hosted.Put("team/other", "x", manifestType, manifestText(t, put("team/other", configType, config), []written{layer}, nil)))
		s.sign(image)
		s.serves("/v2/team/other/manifests/x")
		s.serves("/v2/team/other/blobs/" + layer.Digest)
		s.passes(s.attach(s.signed.DigestStr(), 0, piece{"application/json", s.hosted.PutBlob("team/app", content), 10}))
		if r := s.get("/v2/team/app/blobs/" + layer.Digest); r.status == http.StatusOK {
			t.Errorf("%s: %d bytes pass as evidence", kind, len(r.body))
		}
	}
}

// oras 1.0 and 1.1 (attach --artifact-type T): the config's media type is T, its content {}.
func TestEvidenceOfORASOnePasses(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	config := within(t, "application/vnd.acme.sbom.v1", []byte("{}"))
	config.Data = nil
	s.hosted.PutBlob("team/app", []byte("{}"))
	text := manifestText(t, config, []written{within(t, "application/json", []byte(`{"x":1}`))}, map[string]any{"subject": written{MediaType: manifestType, Digest: s.signed.DigestStr(), Size: 1}})
	if r := s.get(manifestPath + s.hosted.Put("team/app", "", manifestType, text)); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What trivy-plugin-referrer writes: go-containerregistry's config under the artifact's
// media type.
func TestEvidenceOfTrivyPasses(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	const mediaType = "application/vnd.cyclonedx+json"
	put := func(content string) written {
		return written{MediaType: mediaType, Digest: s.hosted.PutBlob("team/app", []byte(content)), Size: len(content)}
	}
	config := put(`{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"}],"os":"","rootfs":{"type":"layers","diff_ids":["sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"]},"config":{}}`)
	layer := put(`{"bomFormat":"CycloneDX","specVersion":"1.5"}`)
	digest := s.hosted.Put("team/app", "", manifestType, manifestText(t, config, []written{layer}, map[string]any{"subject": written{MediaType: manifestType, Digest: s.signed.DigestStr(), Size: 1}}))
	s.passes(digest)
	for _, d := range []written{layer, config} {
		if r := s.get("/v2/team/app/blobs/" + d.Digest); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// Evidence of an attacker's lists a layer of a signed image, which is larger than evidence
// may be. A gate that has the decision about the image from another one has no permit for
// the layer yet, and takes it for evidence from then on.
func TestAttack_E21_EvidenceTakesAnImagesLayerAway(t *testing.T) {
	for kind, withStore := range map[string]bool{"without a store": false, "with a store": true} {
		shared := &sharedMap{all: make(map[string][]byte)}
		change := func(c *gate.Config) {
			c.MaxEvidenceBytes = 100
			if withStore {
				c.Store = openStore(t, t.TempDir(), store.Options{})
			}
		}
		s := newScene(t, registrytest.Options{}, change, verify.Options{Cache: sharing(t, shared, "k")})
		s.passes("signed")
		s.start(registrytest.Start(t, s.hosted), change) // another gate, or this one after a restart
		s.passes("signed")
		for _, part := range s.parts(s.signed)[1:] {
			s.passes(s.attach(s.signed.DigestStr(), 0, piece{"application/json", part.Digest.String(), 10}))
			s.passes("signed")
			if r := s.get(blobPath(part)); r.status != http.StatusOK {
				t.Errorf("%s: a layer of %d bytes: %d %s", kind, part.Size, r.status, r.body)
			}
		}
	}
}

// The same where the policy is replaced while an image is pulled, by evidence about another
// image.
func TestAttack_E21_EvidenceTakesALayerFromASlowPull(t *testing.T) {
	source := &replaceable{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		source.set(c.Verifier.(*verify.Verifier))
		c.Verifier, c.MaxEvidenceBytes = source, 100
	})
	other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{Config: v1.Config{User: "other"}})
	must(t, err)
	s.sign(other)
	s.passes("other")
	source.set(s.verifier(func(p *policy.Policy) {
		p.DenyDigests = []policy.DeniedDigest{{Digest: "sha256:" + strings.Repeat("0", 64), Reason: "x"}}
	}))
	config := s.parts(other)[0] // the layers are those of the other image
	s.passes(s.attach(s.signed.DigestStr(), 0, piece{"application/json", config.Digest.String(), 10}))
	if r := s.get(blobPath(config)); r.status != http.StatusOK {
		t.Errorf("%d bytes: %d %s", config.Size, r.status, r.body)
	}
}
