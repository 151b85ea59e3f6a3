package gate_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// An attacker who can push names the good image as the subject of a manifest that
// looks like evidence, and moves a tag there.
func TestAttack_P3_EvidenceUnderATagIsNoImage(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	archive := make([]byte, 1024) // of the seventh edition: without a magic number
	copy(archive, "bin/sh\x00")
	copy(archive[100:], "0000755\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	sum := 8 * int(' ')
	for _, b := range archive[:512] {
		sum += int(b)
	}
	copy(archive[148:], fmt.Sprintf("%06o\x00 ", sum))
	layer, config := s.hosted.PutBlob("team/app", archive), s.hosted.PutBlob("team/app", []byte("{}"))
	for name, configType := range map[string]string{"image": "application/vnd.oci.image.config.v1+json", "artifact": "application/vnd.oci.empty.v1+json"} {
		text := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"` + configType + `","digest":"` + config + `","size":2},"layers":[{"mediaType":"application/json","digest":"` +
			layer + `","size":1024}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + s.signed.DigestStr() + `","size":1}}`
		digest := s.hosted.Put("team/app", name, "application/vnd.oci.image.manifest.v1+json", []byte(text))
		s.denied("/v2/team/app/manifests/"+name, "no-signature")
		byDigest := s.get("/v2/team/app/manifests/" + digest)
		if wants := map[string]int{"image": http.StatusForbidden, "artifact": http.StatusOK}[name]; byDigest.status != wants {
			t.Errorf("%s by digest: %d, want %d", name, byDigest.status, wants)
		}
		s.denied("/v2/team/app/manifests/"+name, "no-signature") // also once it has passed
		s.denied("/v2/team/app/blobs/"+layer, "")
	}
}

// An attacker who can push attaches evidence that lists a layer of the good image:
// as evidence, of another size, and more often than parents are remembered.
func TestAttack_P3_EvidenceListingAnImagesLayerChangesNothing(t *testing.T) {
	const lives = 50 * time.Millisecond
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL = time.Nanosecond }, verify.Options{AllowedTTL: lives})
	layer := s.parts(s.signed)[1]
	s.passes("signed")
	config := s.hosted.PutBlob("team/app", []byte("{}"))
	manifest := func(size int64, n int) string {
		return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + config + `","size":2},"layers":[{"mediaType":"application/json","digest":"` +
			layer.Digest.String() + `","size":` + itoa(int(size)) + `}],"annotations":{"n":"` + itoa(n) + `"},"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + s.signed.DigestStr() + `","size":1}}`
	}
	for n := range 6 {
		digest := s.hosted.Put("team/app", "", "application/vnd.oci.image.manifest.v1+json", []byte(manifest(layer.Size+int64(n%2), n)))
		if r := s.get("/v2/team/app/manifests/" + digest); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if r := s.get(blobPath(layer)); r.status != http.StatusOK || int64(len(r.body)) != layer.Size {
		t.Errorf("%d %s", r.status, r.body)
	}
	time.Sleep(lives + 10*time.Millisecond) // all has ended, and is looked at again
	if r := s.get(blobPath(layer)); r.status != http.StatusOK || int64(len(r.body)) != layer.Size {
		t.Errorf("later: %d %s", r.status, r.body)
	}
}

// The other way round: what only evidence lists stays evidence, also where an image
// lists it that does not pass.
func TestAttack_P3_ALayerOfADeniedImagePassesForNoEvidence(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	unsigned, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{Seed: "other"})
	must(t, err)
	layer := s.parts(unsigned)[1]
	config := s.hosted.PutBlob("team/app", []byte("{}"))
	digest := s.hosted.Put("team/app", "", "application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"`+
		config+`","size":2},"layers":[{"mediaType":"application/json","digest":"`+layer.Digest.String()+`","size":`+itoa(int(layer.Size))+`}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+s.signed.DigestStr()+`","size":1}}`))
	if r := s.get("/v2/team/app/manifests/" + digest); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.denied("/v2/team/app/manifests/other", "no-signature")
	s.denied(blobPath(layer), "")
}

// What can be read in two ways is never judged, and never served.
func TestAttack_E5_ManifestsThatCannotBeReadInOneWayAreRefused(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, text, _ := s.hosted.Manifest("team/app", "signed")
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	for name, c := range map[string]struct{ mediaType, text string }{
		"two configs":     {manifestType, strings.Replace(string(text), `"config"`, `"config":{},"config"`, 1)},
		"another case":    {manifestType, strings.Replace(string(text), `"layers"`, `"Layers":[],"layers"`, 1)},
		"both kinds":      {manifestType, strings.Replace(string(text), `"layers"`, `"manifests":[],"layers"`, 1)},
		"no JSON":         {manifestType, "manifest"},
		"another version": {"application/vnd.docker.distribution.manifest.v1+json", `{"schemaVersion":1,"name":"team/app","fsLayers":[]}`},
	} {
		tag := strings.ReplaceAll(name, " ", "-")
		digest := s.hosted.Put("team/app", tag, c.mediaType, []byte(c.text))
		for _, ref := range []string{tag, digest} {
			if r := s.get("/v2/team/app/manifests/" + ref); r.status != http.StatusForbidden || !strings.Contains(r.message(), "cannot be judged") {
				t.Errorf("%s as %s: %d %s", name, ref, r.status, r.body)
			}
		}
	}
}

// Evidence that was moved to let two pieces vouch for one another neither passes
// for that nor makes anybody wait.
func TestAttack_P3_EvidenceInACircleEndsWithItsSubject(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL = time.Nanosecond }, verify.Options{AllowedTTL: 20 * time.Millisecond, DeniedTTL: time.Nanosecond})
	piece := func(n int) string {
		payload := fmt.Appendf(nil, `{"n":%d}`, n)
		layer, config := s.hosted.PutBlob("team/app", payload), s.hosted.PutBlob("team/app", []byte("{}"))
		return s.hosted.Put("team/app", fmt.Sprintf("piece%d", n), "application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+
			config+`","size":2},"layers":[{"mediaType":"application/json","digest":"`+layer+`","size":`+itoa(len(payload))+`}]}`))
	}
	tagOf := func(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".sig" }
	a, b := piece(1), piece(2)
	s.hosted.SetTag("team/app", tagOf(s.signed.DigestStr()), a)
	s.hosted.SetTag("team/app", tagOf(a), b)
	s.hosted.SetTag("team/app", tagOf(b), a)
	for _, subject := range []string{s.signed.DigestStr(), a, b} {
		if r := s.get("/v2/team/app/manifests/" + tagOf(subject)); r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", subject, r.status, r.body)
		}
	}
	time.Sleep(30 * time.Millisecond) // all has ended
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Hide()})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for _, digest := range []string{a, b, a, b} {
			wg.Go(func() {
				if r := s.get("/v2/team/app/manifests/" + digest); r.status != http.StatusForbidden {
					t.Errorf("%s: %d", digest, r.status)
				}
			})
		}
		wg.Wait()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("they wait for one another")
	}
}
