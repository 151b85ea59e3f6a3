package gate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	emptyType    = "application/vnd.oci.empty.v1+json"
)

// piece is a descriptor as the writer of a manifest likes it.
type piece struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// blob puts content into the repository.
func (s *scene) blob(mediaType string, content []byte) piece {
	return piece{mediaType, s.hosted.PutBlob("team/app", content), len(content)}
}

// attach pushes a manifest that looks like evidence about a subject; n tells it from
// others.
func (s *scene) attach(subject string, n int, layers ...piece) (digest string) {
	s.t.Helper()
	text, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": s.blob(emptyType, []byte("{}")), "layers": layers,
		"subject": piece{manifestType, subject, 1}, "annotations": map[string]string{"n": itoa(n)},
	})
	must(s.t, err)
	return s.hosted.Put("team/app", "", manifestType, text)
}

// unsignedImage pushes an image of one layer.
func (s *scene) unsignedImage(name string, layer []byte) (manifest, config, content piece) {
	s.t.Helper()
	config, content = s.blob(configType, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"User":%q}}`, name)), s.blob(layerType, layer)
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []piece{content}})
	must(s.t, err)
	return piece{manifestType, s.hosted.Put("team/app", "", manifestType, text), len(text)}, config, content
}

func (s *scene) serves(path string) reply {
	s.t.Helper()
	r := s.get(path)
	if r.status != http.StatusOK || r.err != nil {
		s.t.Fatalf("%s: %d %s, %v", path, r.status, r.body, r.err)
	}
	return r
}

// pulls wants a manifest and all that it lists.
func (s *scene) pulls(label, ref string, parts []v1.Descriptor) {
	s.t.Helper()
	s.passes(ref)
	for _, d := range parts {
		if r := s.get(blobPath(d)); r.status != http.StatusOK {
			s.t.Errorf("%s: %s: %d %s", label, d.Digest, r.status, r.body)
		}
	}
}

// oldTar is an archive of the seventh edition, without a magic number, whose
// checksum field the caller writes.
func oldTar(field func(header []byte) string) []byte {
	b := make([]byte, 1536)
	copy(b, "bin/s\xff\x00")
	copy(b[100:], "0000755\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	copy(b[148:156], field(b[:512]))
	return b
}

// checksum is that of a header whose checksum field is empty yet.
func checksum(header []byte, value func(byte) int) int {
	sum := 8 * int(' ')
	for _, c := range header {
		sum += value(c)
	}
	return sum
}

// archives are those that some client unpacks although they do not look like it.
func archives() map[string][]byte {
	signed := func(c byte) int { return int(int8(c)) }
	unsigned := func(c byte) int { return int(c) }
	padded := func(magic string) []byte { return append([]byte(magic), make([]byte, 600)...) }
	return map[string][]byte{
		"a tar with a signed checksum":              oldTar(func(h []byte) string { return fmt.Sprintf("%06o\x00 ", checksum(h, signed)) }),
		"a tar with bytes behind the checksum":      oldTar(func(h []byte) string { return fmt.Sprintf("%06o\x00x", checksum(h, unsigned)) }),
		"a tar with a NUL before the checksum":      oldTar(func(h []byte) string { return fmt.Sprintf("\x00%06o ", checksum(h, unsigned)) }),
		"zstd behind a skippable frame":             padded("\x50\x2a\x4d\x18\x00\x00\x00\x00\x28\xb5\x2f\xfd"),
		"zstd behind the last of the skippable":     padded("\x5f\x2a\x4d\x18\x00\x00\x00\x00\x28\xb5\x2f\xfd"),
		"SquashFS of the other byte order":          padded("sqsh"),
		"LZH":                                       padded("\x1f\xa0"),
		"LZ4":                                       padded("\x04\x22\x4d\x18"),
		"lzip":                                      padded("LZIP"),
		"a tar, gzipped, that starts as gzip does ": padded("\x1f\x8b\x08"),
	}
}

// Evidence about a good image lists the manifest, the config and the layer of an
// unsigned one. All of that is then "a blob that a manifest lists which passes".
func TestAttack_P3_EvidenceListingAnUnsignedImageOpensNothing(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.passes("signed")
	n := 0
	for label, archive := range archives() {
		n++
		image, config, layer := s.unsignedImage(label, archive)
		s.denied("/v2/team/app/manifests/"+image.Digest, "no-signature")
		config.MediaType, layer.MediaType = "application/json", "application/json"
		asBlob := piece{"application/json", image.Digest, image.Size}
		evidence := s.attach(s.signed.DigestStr(), n, asBlob, config, layer)
		s.serves("/v2/team/app/manifests/" + evidence)
		s.denied("/v2/team/app/manifests/"+image.Digest, "no-signature")
		r := s.denied("/v2/team/app/blobs/"+layer.Digest, "was attached as evidence, and is an archive")
		if len(r.body) > 400 {
			t.Errorf("%s: %d bytes", label, len(r.body))
		}
	}
	for _, reason := range s.events.reasons(gate.EventDenied) {
		if reason != "no-signature" && reason != "not-evidence" {
			t.Errorf("denied for %s", reason)
		}
	}
}

// The other way round: the manifest of a good image, listed as a blob by evidence
// about another one, stays a manifest.
func TestAttack_P3_EvidenceListingAGoodManifestDoesNotDenyIt(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{Seed: "other"})
	must(t, err)
	s.sign(other)
	_, text, _ := s.hosted.Manifest("team/app", s.signed.DigestStr())
	s.serves("/v2/team/app/manifests/" + s.attach(other.DigestStr(), 1, piece{"application/json", s.signed.DigestStr(), len(text)}))
	for _, ref := range []string{"signed", s.signed.DigestStr()} {
		s.pulls(ref, ref, s.parts(s.signed))
	}
}

// Who can push asks for evidence under a tag again and again: it is judged once.
func TestAttack_P6_EvidenceUnderATagIsJudgedOnceForAllWhoAsk(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	digest := s.attach(s.signed.DigestStr(), 1, s.blob("application/json", []byte(`{"x":1}`)))
	s.hosted.SetTag("team/app", "evidence", digest)
	s.denied("/v2/team/app/manifests/evidence", "no-signature")
	s.hosted.ResetRequests()
	for range 20 {
		s.denied("/v2/team/app/manifests/evidence", "no-signature")
	}
	for _, r := range s.hosted.Requests() {
		if r.Kind == registrytest.KindReferrers {
			t.Fatal("it was judged again")
		}
	}
}

// What is evidence and passes by itself under a tag has its blobs, whatever they are.
func TestEvidenceThatPassesByItselfUnderATagHasItsBlobs(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	archive := s.blob("application/json", append([]byte("\x1f\x8b"), make([]byte, 600)...))
	digest := s.attach(s.signed.DigestStr(), 1, archive)
	s.hosted.SetTag("team/app", "evidence", digest)
	s.serves("/v2/team/app/manifests/" + digest)
	s.denied("/v2/team/app/blobs/"+archive.Digest, "was attached as evidence, and is an archive")
	s.sign(s.repo.Digest(digest))
	for range 2 {
		s.serves("/v2/team/app/manifests/evidence")
		s.serves("/v2/team/app/blobs/" + archive.Digest)
	}
}

// One manifest of evidence with very many layers drives out nothing of an image whose
// pull is under way, and of more layers than evidence has it is none.
func TestAttack_P6_EvidenceWithManyLayersDrivesOutNothingGood(t *testing.T) {
	const lives = 300 * time.Millisecond
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxDecisions = 500 }, verify.Options{AllowedTTL: lives})
	parts := s.parts(s.signed)
	s.pulls("before", "signed", parts)
	many := make([]piece, 0, 1001)
	for i := range cap(many) {
		many = append(many, piece{"application/json", registryDigest(t, []byte(`{"schemaVersion":2,"manifests":[],"annotations":{"n":"`+itoa(i)+`"}}`)), 7})
	}
	s.serves("/v2/team/app/manifests/" + s.attach(s.signed.DigestStr(), 1, many[1:]...))
	for range 2 {
		for _, d := range parts {
			s.serves(blobPath(d))
		}
		time.Sleep(lives + 10*time.Millisecond) // then it is looked for who lists them
	}
	s.pulls("afterwards", "signed", parts)
	s.denied("/v2/team/app/manifests/"+s.attach(s.signed.DigestStr(), 2, many...), "no-signature")
}

// A decision that is used all the time outlives what follows from it for blobs.
func TestAManifestThatPassesHasItsBlobsWhateverElseWasPulled(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxDecisions = 20 })
	payload := s.blob("application/json", []byte(`{"x":1}`))
	evidence := s.attach(s.signed.DigestStr(), 1, payload)
	s.passes("signed")
	s.serves("/v2/team/app/manifests/" + evidence)
	for i := range 20 {
		other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("o"+itoa(i)), registrytest.ImageOptions{Seed: "o" + itoa(i)})
		must(t, err)
		s.sign(other)
		s.passes("o" + itoa(i))
		s.passes("signed")
		s.serves("/v2/team/app/manifests/" + s.attach(s.signed.DigestStr(), 2+i, s.blob("application/json", []byte(`{"x":"`+itoa(i)+`"}`))))
		s.serves("/v2/team/app/manifests/" + evidence)
	}
	s.pulls("signed", "signed", s.parts(s.signed))
	s.serves("/v2/team/app/blobs/" + payload.Digest)
}

// tearing gives one byte of a blob, and breaks off, to who asks in one repository.
type tearing struct {
	rest           http.Handler
	prefix, suffix string
}

func (p *tearing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, p.prefix) || !strings.HasSuffix(r.URL.Path, p.suffix) {
		p.rest.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Length", "3000")
	_, _ = w.Write([]byte("\x1f"))
	w.(http.Flusher).Flush()
	time.Sleep(100 * time.Millisecond)
	panic(http.ErrAbortHandler)
}

// What evidence begins with is looked at once enough of it is there, also where the
// download that it came by fails.
func TestAttack_P3_ArchiveCutAfterOneByteIsNotEvidence(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	two, err := name.NewRepository(known + "/team/two")
	must(t, err)
	image, err := registrytest.PushImage(t.Context(), s.store, two.Tag("x"), registrytest.ImageOptions{Seed: "two"})
	must(t, err)
	s.sign(image)
	archive := append([]byte("\x1f\x8b"), bytes.Repeat([]byte("x"), 2998)...)
	digest := s.hosted.PutBlob("team/app", archive)
	one, err := registrytest.PushReferrer(t.Context(), s.store, s.signed, "application/json", archive, nil)
	must(t, err)
	other, err := registrytest.PushReferrer(t.Context(), s.store, image, "application/json", archive, nil)
	must(t, err)
	s.start(registrytest.Start(t, &tearing{s.hosted, "/v2/team/two/", digest}), nil)
	s.serves("/v2/team/app/manifests/" + one.Digest.String())
	s.serves("/v2/team/two/manifests/" + other.Digest.String())
	s.denied("/v2/team/app/blobs/"+digest, "not let through")
	for range 5 {
		var wg sync.WaitGroup
		wg.Go(func() { s.askFrom(t.Context(), "192.0.2.1:1", "/v2/team/two/blobs/"+digest) })
		time.Sleep(30 * time.Millisecond)
		for range 16 {
			wg.Go(func() {
				if w := s.askFrom(t.Context(), "192.0.2.2:1", "/v2/team/app/blobs/"+digest); w != nil && bytes.Equal(w.Body.Bytes(), archive) {
					t.Error("an archive passes as evidence")
				}
			})
		}
		wg.Wait()
	}
}

// What one gate takes for evidence may be an image to another that shares its
// decisions.
func TestAttack_P3_OnlyEvidenceTheRulesAllowPasses(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil)
	upstream := registrytest.Start(t, s.hosted)
	open := func(change func(*gate.Config)) {
		s.judging.Cache = sharing(t, shared, "k")
		s.start(upstream, change)
	}
	house := func(c *gate.Config) { c.EvidenceTypes = []string{"application/x-house", "application/x-other"} }
	foreign := s.attach(s.signed.DigestStr(), 1, s.blob("application/x-house", []byte("#!/bin/sh\n")))
	large := s.attach(s.signed.DigestStr(), 2, s.blob("application/json", bytes.Repeat([]byte("1"), 2000)))
	open(house)
	s.passes(foreign)
	s.passes(large)
	open(func(*gate.Config) {})
	s.denied(manifestPath+foreign, "no-signature")
	s.passes(large)
	open(func(c *gate.Config) { house(c); c.MaxEvidenceBytes = 1000 })
	s.passes(foreign)
	s.denied(manifestPath+large, "no-signature")
	// Rules that are the same have their decisions in common, in whatever order they stand.
	open(house)
	s.passes(foreign)
	open(func(c *gate.Config) { house(c); slices.Reverse(c.EvidenceTypes) })
	s.passes(foreign)
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	if last := s.events.all[len(s.events.all)-1]; last.Kind != gate.EventAllowed || !last.Request.Cached {
		t.Errorf("it was judged again: %+v", last)
	}
}

// Evidence about evidence about evidence ends at something that is too far away to be
// asked whether it vouches. That says nothing to who asks from nearer.
func TestAttack_P6_AChainOfEvidenceDeniesNothingThatPasses(t *testing.T) {
	for _, length := range []int{0, 3, 4, 5, 6} {
		clock := &movedClock{}
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now })
		index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
		must(t, err)
		s.sign(index)
		s.passes("index")
		clock.add(6 * time.Minute) // the decision about the index has ended; the link to it is known
		last := children[0].DigestStr()
		for i := range length {
			last = s.attach(last, i, s.blob("application/vnd.in-toto+json", []byte("{}")))
		}
		path := manifestPath + last
		if length < 5 {
			s.passes(last)
		} else {
			s.denied(path, "no-signature") // and that is remembered as any denial is:
			s.hosted.ResetRequests()
			s.denied(path, "no-signature")
			if all := s.hosted.Requests(); len(all) > 0 {
				t.Errorf("a chain of %d is judged again: %v", length, all)
			}
		}
		if r := s.get(manifestPath + children[0].DigestStr()); r.status != http.StatusOK {
			t.Errorf("behind a chain of %d: %d %s", length, r.status, r.message())
		}
	}
}
