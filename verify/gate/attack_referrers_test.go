package gate_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// entries are those of the gate's list of referrers, by the API and by the fallback tag.
func (s *scene) entries(subject string) []v1.Descriptor {
	s.t.Helper()
	var list, tagged struct{ Manifests []v1.Descriptor }
	must(s.t, json.Unmarshal(s.serves("/v2/team/app/referrers/"+subject).body, &list))
	if r := s.get(manifestPath + tagsOf(subject)[0]); r.status == http.StatusOK {
		must(s.t, json.Unmarshal(r.body, &tagged))
	} else if len(list.Manifests) > 0 {
		s.t.Errorf("the fallback tag: %d %s", r.status, r.body)
	}
	if fmt.Sprint(list.Manifests) != fmt.Sprint(tagged.Manifests) {
		s.t.Errorf("by the API %v, by the tag %v", list.Manifests, tagged.Manifests)
	}
	return list.Manifests
}

// lists wants exactly these entries, beside the signature, and that each is served with its
// blobs.
func (s *scene) lists(label, subject string, want ...string) {
	s.t.Helper()
	var got []string
	for _, e := range s.entries(subject) {
		r := s.serves(manifestPath + e.Digest.String())
		var m v1.Manifest
		must(s.t, json.Unmarshal(r.body, &m))
		for _, blob := range append([]v1.Descriptor{m.Config}, m.Layers...) {
			if b := s.get(blobPath(blob)); len(blob.Data) == 0 && blob.Digest.Hex != "" && b.status != http.StatusOK {
				s.t.Errorf("%s: blob %s: %d %s", label, blob.Digest, b.status, b.body)
			}
		}
		if !strings.Contains(e.ArtifactType, "sigstore") {
			got = append(got, e.Digest.String())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: listed are %v, want %v", label, got, want)
	}
}

func (s *scene) put(manifest map[string]any) string {
	s.t.Helper()
	manifest["schemaVersion"] = 2
	text, err := json.Marshal(manifest)
	must(s.t, err)
	return s.hosted.Put("team/app", "", manifest["mediaType"].(string), text)
}

// oras attaches a file of any type, and its commands break at the first entry of a list that
// is then denied.
func TestAttack_P26_ListsHaveExactlyWhatPasses(t *testing.T) {
	for name, o := range map[string]registrytest.Options{"API": {}, "fallback tag": {NoReferrers: true}} {
		s := newScene(t, o, nil)
		subject := s.signed.DigestStr()
		good := s.attachTo(subject, "application/json", []byte(`{"x":1}`))
		for mediaType, content := range map[string]string{
			"text/plain": "hello\n", "application/octet-stream": "{}", "image/png": "\x89PNG", layerType: "{}",
			"application/json": `[1]`, "application/spdx+json": "text", "application/vnd.in-toto+json": `{"x":1}`,
		} {
			s.attachTo(subject, mediaType, []byte(content))
		}
		s.lists(name, subject, good)
	}
}

// What is listed is served, and what is served is listed, by whichever hash its blobs are
// named.
func TestAttack_P26_BlobsNamedBySHA512AreJudgedAlike(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	d, err := s.store.Resolve(t.Context(), s.signed)
	must(t, err)
	s.hosted.PutBlob("team/app", []byte("{}"))
	attach := func(content, named string) string {
		digest := fmt.Sprintf("sha512:%x", sha512.Sum512([]byte(named)))
		s.hosted.PutBlobAs("team/app", digest, []byte(content))
		return s.put(map[string]any{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/json", "subject": d,
			"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("{}")))},
			"layers": []map[string]any{{"mediaType": "application/json", "size": len(content), "digest": digest}},
		})
	}
	good := attach(`{"x":1}`, `{"x":1}`)
	attach("\x7fELF", "\x7fELF")
	attach(`{"x":2}`, `{"x":3}`)
	s.lists("SHA-512", s.signed.DigestStr(), good)
}

// attachTo attaches content of any type, in the fallback tag as well.
func (s *scene) attachTo(subject, mediaType string, content []byte) string {
	s.t.Helper()
	d, err := registrytest.PushReferrer(s.t.Context(), s.store, s.repo.Digest(subject), mediaType, content, nil)
	must(s.t, err)
	tag := tagsOf(subject)[0]
	var list struct{ Manifests []v1.Descriptor }
	if _, text, ok := s.hosted.Manifest("team/app", tag); ok {
		must(s.t, json.Unmarshal(text, &list))
	}
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": append(list.Manifests, d)})
	must(s.t, err)
	s.hosted.Put("team/app", tag, indexType, text)
	return d.Digest.String()
}

// A setting lets further types pass, by what their content is.
func TestAttack_P16_FurtherTypesLetNoImageThrough(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.EvidenceTypes = []string{"text/*", "application/x-report", "application/json"} })
	subject := s.signed.DigestStr()
	want := []string{
		s.attachTo(subject, "text/plain", []byte("hello\n")), s.attachTo(subject, "text/markdown", []byte("# x\n")),
		s.attachTo(subject, "application/x-report", []byte("<x/>")), s.attachTo(subject, "application/json", []byte("[1]")),
	}
	denied := []string{s.attachTo(subject, "application/x-other", []byte("text")), s.attachTo(subject, layerType, []byte("text"))}
	for name, content := range somethingElse() {
		if name == "text" || name == "a list" || name == "an object and a script" {
			continue // which is text
		}
		for _, mediaType := range []string{"text/plain", "application/x-report"} {
			denied = append(denied, s.attachTo(subject, mediaType, content))
		}
	}
	// A config that runs, with layers of a type that passes.
	config := s.blob(configType, []byte(`{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]}}`))
	for _, artifactType := range []string{"text/plain", configType, ""} {
		denied = append(denied, s.put(map[string]any{
			"mediaType": manifestType, "artifactType": artifactType, "config": config, "layers": []piece{s.blob("text/plain", []byte("evil\n"))}, "subject": piece{manifestType, subject, 1},
		}))
	}
	s.lists("further types", subject, want...)
	for _, digest := range denied {
		r := s.get(manifestPath + digest)
		if r.status != http.StatusOK {
			continue
		}
		var m v1.Manifest
		must(t, json.Unmarshal(r.body, &m))
		if b := s.get(blobPath(m.Layers[0])); b.status != http.StatusForbidden {
			t.Errorf("%s: %d %.40q", m.Layers[0].MediaType, b.status, b.body)
		}
	}
}

func TestEvidenceTypesMustBeMediaTypesOfNoImage(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	for mediaType, fine := range map[string]bool{
		"text/plain": true, "text/*": true, "application/vnd.x*": true, "": false, "*": false, "*/*": false, "text": false, "text/": false, "/plain": false, "text/a b": false,
		layerType: false, configType: false, "application/vnd.docker.image.rootfs.diff.tar.gzip": false, "application/vnd.oci.image.*": false,
	} {
		_, err := gate.NewHandler(gate.Config{Verifier: s.verifier(nil), Upstreams: []gate.Upstream{{Registry: known}}, EvidenceTypes: []string{mediaType}})
		if (err == nil) != fine {
			t.Errorf("%q: %v", mediaType, err)
		}
	}
}

// What the upstream's entry says of a manifest counts for nothing.
func TestAttack_P26_EntriesAreWrittenFromTheManifest(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	subject := s.signed.DigestStr()
	good := s.put(map[string]any{
		"mediaType": manifestType, "artifactType": "application/x-scan", "config": within(t, emptyType, []byte("{}")), "layers": []piece{s.blob("application/json", []byte("{}"))},
		"subject": piece{manifestType, subject, 1}, "annotations": map[string]string{"a": "b"},
	})
	plain := s.attach(subject, 1, s.blob("text/plain", []byte("x")))
	lie := written{MediaType: indexType, Digest: good, Size: 7, ArtifactType: configType, Annotations: map[string]string{"evil": "yes"}, URLs: []string{"https://registry.example.test/x"}, Platform: amd64}
	honest := written{MediaType: manifestType, Digest: plain, Size: 300, ArtifactType: "application/vnd.dev.sigstore.bundle.v0.3+json"}
	absent := written{MediaType: manifestType, Digest: digestOf(t, []byte("absent")), Size: 3}
	s.passes("signed") // whose signature is not listed any more after this
	s.hosted.Put("team/app", tagsOf(subject)[0], indexType, indexOf(t, lie, honest, absent, lie))
	s.hosted.ResetRequests()
	entries := s.entries(subject)
	if len(entries) != 1 || entries[0].Digest.String() != good || string(entries[0].MediaType) != manifestType || entries[0].ArtifactType != "application/x-scan" ||
		fmt.Sprint(entries[0].Annotations) != "map[a:b]" || entries[0].Platform != nil || len(entries[0].URLs) > 0 || entries[0].Size < 100 {
		t.Errorf("%+v", entries)
	}
	s.lists("lies", subject, good)
}

// Referrers of other kinds: an index, a manifest about something else, evidence about
// evidence, an artifact that is signed itself.
func TestAttack_P26_OnlyReferrersOfTheSubjectAreListed(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	subject := s.signed.DigestStr()
	about := piece{manifestType, subject, 1}
	_, text, _ := s.hosted.Manifest("team/app", subject)
	index := map[string]any{"mediaType": indexType, "manifests": []piece{{manifestType, s.unsigned.DigestStr(), len(text)}}, "subject": about}
	unsigned := s.put(index)
	index["annotations"] = map[string]string{"signed": "yes"}
	signed := s.put(index)
	s.sign(s.repo.Digest(signed))
	evidence := s.attach(subject, 1, s.blob("application/json", []byte("{}")))
	s.attach(s.unsigned.DigestStr(), 2, s.blob("application/json", []byte("{}")))
	s.lists("of an image", subject, evidence, signed)
	s.denied(manifestPath+unsigned, "no-signature")

	nested := evidence
	for i := range 7 {
		next := s.attach(nested, 3+i, s.blob("application/json", []byte("{}")))
		r := s.get("/v2/team/app/referrers/" + nested)
		passes := s.get(manifestPath+next).status == http.StatusOK
		if listed := strings.Contains(string(r.body), next); listed != passes {
			t.Errorf("evidence of level %d: listed %t, passes %t", i+2, listed, passes)
		}
		nested = next
	}
}

// The list follows the policy.
func TestAttack_P26_DeniedDigestsAreNotListed(t *testing.T) {
	source := &replaceable{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		source.set(c.Verifier.(*verify.Verifier))
		c.Verifier = source
	})
	subject := s.signed.DigestStr()
	one, blob := s.attach(subject, 1, s.blob("application/json", []byte(`{"n":1}`))), s.blob("application/json", []byte(`{"n":2}`))
	two, three := s.attach(subject, 2, blob), s.attach(subject, 3, s.blob("application/json", []byte(`{"n":3}`)))
	s.lists("before", subject, one, two, three)
	source.set(s.verifier(func(p *policy.Policy) {
		p.DenyDigests = []policy.DeniedDigest{{Digest: one, Reason: "x"}, {Digest: blob.Digest, Reason: "x"}}
	}))
	s.lists("afterwards", subject, three)
}

// An attacker who can push lists any number of manifests that are not there, or are images.
func TestAttack_P26_ListsOfAnyLengthCostSoMuch(t *testing.T) {
	s := newScene(t, registrytest.Options{NoReferrers: true}, nil)
	subject := s.signed.DigestStr()
	var all []written
	for i := range 2500 {
		all = append(all, written{MediaType: manifestType, Digest: digestOf(t, []byte(itoa(i))), Size: 1})
	}
	for i := range 100 {
		all = append(all, written{MediaType: manifestType, Digest: s.put(map[string]any{
			"mediaType": manifestType, "config": s.blob(configType, []byte("{}")), "layers": []piece{}, "subject": piece{manifestType, subject, 1}, "annotations": map[string]string{"n": itoa(i)},
		}), Size: 1})
	}
	good := s.attach(subject, 1, s.blob("application/json", []byte("{}")))
	all = append(all, written{MediaType: manifestType, Digest: good, Size: 1})
	s.passes("signed")
	s.hosted.Put("team/app", tagsOf(subject)[0], indexType, indexOf(t, all...))
	path := "/v2/team/app/referrers/" + subject
	for i, want := range []int{http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusOK, http.StatusOK} {
		s.hosted.ResetRequests()
		if r := s.get(path); r.status != want || want != http.StatusOK && r.header.Get("Retry-After") == "" {
			t.Errorf("%d: %d %.200s", i, r.status, r.body)
		}
		if n := len(s.hosted.Requests()); n > 1400 || i == 3 && n > 0 {
			t.Errorf("%d: %d requests", i, n)
		}
	}
	s.lists("in the end", subject, good)
}
