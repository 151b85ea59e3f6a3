package gate_test

import (
	"bytes"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// Neither what is refused nor what anybody may attach drives the manifests of good
// images out of memory.
func TestAttack_P6_RefusedManifestsAndEvidenceDriveOutNoGoodOnes(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.MaxManifests = 64 << 10 })
	s.passes(s.signed.DigestStr())
	_, text, _ := s.hosted.Manifest("team/app", "unsigned")
	for i := range 10 {
		filler := []byte(`{"x":"` + itoa(i) + strings.Repeat("x", 8000) + `",`)
		s.hosted.Put("team/app", "x"+itoa(i), manifestType, bytes.Replace(text, []byte("{"), filler, 1))
		s.denied("/v2/team/app/manifests/x"+itoa(i), "no-signature")
	}
	payload := s.blob("application/json", []byte("{}"))
	for i := range 60 {
		s.serves("/v2/team/app/manifests/" + s.attach(s.signed.DigestStr(), i, payload))
	}
	s.hosted.ResetRequests()
	s.passes(s.signed.DigestStr())
	if all := s.hosted.Requests(); len(all) > 0 {
		t.Errorf("the upstream was asked %v", all)
	}
}

// An index of 4 MiB can be parsed into several times as much.
func TestAttack_P6_ManifestsCountByWhatTheyTakeInMemory(t *testing.T) {
	race.Skip(t, "memory is measured")
	const indexType = "application/vnd.oci.image.index.v1+json"
	s := newScene(t, registrytest.Options{}, nil)
	one := `{"mediaType":"","size":0,"digest":"sha256:` + strings.Repeat("a", 64) + `","platform":{},"annotations":{"":""}}`
	list := strings.Repeat(one+",", (4<<20-400)/(len(one)+1)-1) + one
	for i := range 6 {
		s.hosted.Put("team/app", "m"+itoa(i), indexType, []byte(`{"schemaVersion":2,"mediaType":"`+indexType+`","annotations":{"n":"`+itoa(i)+`"},"manifests":[`+list+`]}`))
	}
	held := func() int64 {
		var m runtime.MemStats
		for range 2 { // what pools hold goes with the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	for i := range 6 {
		s.denied("/v2/team/app/manifests/m"+itoa(i), "no-signature")
	}
	if more := (held() - before) >> 20; more > 50 {
		t.Errorf("%d MiB are held of 6 refused indexes, and a quarter of MaxManifests is 16 MiB", more)
	}
}

// methods are those by which a tag was asked for.
func (s *scene) methods(tag string) (all []string) {
	for _, r := range s.hosted.Requests() {
		if r.Kind == registrytest.KindManifest && r.Ref == tag {
			all = append(all, r.Method)
		}
	}
	return all
}

func TestATagThatHasNotMovedIsReadByHEAD(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL = time.Nanosecond })
	s.passes("signed")
	s.hosted.ResetRequests()
	for range 5 {
		s.passes("signed")
	}
	if got := strings.Join(s.methods("signed"), " "); got != "HEAD HEAD HEAD HEAD HEAD" {
		t.Errorf("%s", got)
	}
	s.hosted.SetTag("team/app", "signed", s.unsigned.DigestStr())
	s.denied("/v2/team/app/manifests/signed", "no-signature")
	s.hosted.DeleteTag("team/app", "signed")
	if r := s.get("/v2/team/app/manifests/signed"); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Registries whose HEAD says nothing, or something wrong, are asked by GET.
func TestATagIsReadByGETWhereHEADIsOfNoUse(t *testing.T) {
	other := "sha256:" + strings.Repeat("0a", 32)
	for label, do := range map[string]registrytest.Effect{
		"has no digest":       registrytest.DropHeader("Docker-Content-Digest"),
		"lies":                registrytest.SetHeader("Docker-Content-Digest", other),
		"has no length":       registrytest.DropHeader("Content-Length"),
		"has no type":         registrytest.DropHeader("Content-Type"),
		"is not allowed":      registrytest.Status(http.StatusMethodNotAllowed),
		"is missing":          registrytest.Status(http.StatusNotFound),
		"is a failure":        registrytest.Status(http.StatusInternalServerError),
		"is denied":           registrytest.Status(http.StatusForbidden),
		"is no valid request": registrytest.Status(http.StatusBadRequest),
	} {
		s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL = time.Nanosecond })
		s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Method: http.MethodHead, Do: do})
		for range 3 {
			if r := s.get("/v2/team/app/manifests/signed"); r.status != http.StatusOK || r.header.Get("Docker-Content-Digest") != s.signed.DigestStr() {
				t.Errorf("%s: %d %s", label, r.status, r.body)
			}
		}
		s.hosted.SetTag("team/app", "signed", s.unsigned.DigestStr())
		if r := s.get("/v2/team/app/manifests/signed"); r.status != http.StatusForbidden {
			t.Errorf("%s: the tag has moved: %d", label, r.status)
		}
	}
	// What says to ask later is not asked at once.
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL = time.Nanosecond })
	s.passes("signed")
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(http.StatusTooManyRequests)})
	s.hosted.ResetRequests()
	if r := s.get("/v2/team/app/manifests/signed"); r.status != http.StatusTooManyRequests || len(s.methods("signed")) != 1 {
		t.Errorf("%d after %v", r.status, s.methods("signed"))
	}
}
