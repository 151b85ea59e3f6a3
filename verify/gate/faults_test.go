package gate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// lines is an audit log, or another writer, that can be full.
type lines struct {
	mu   sync.Mutex
	all  [][]byte
	full bool
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full {
		return 0, errors.New("no space left")
	}
	l.all = append(l.all, bytes.Clone(p))
	return len(p), nil
}

func (l *lines) fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full = true
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.Join(l.all, nil))
}

func TestTheAuditLogHasALineForEachDecisionAndItsLossIsTold(t *testing.T) {
	audit, log := &lines{}, &lines{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		c.Audit, c.Logger = audit, slog.New(slog.NewTextHandler(log, nil))
	})
	s.passes("signed")
	s.passes("signed") // a decision that was reached before is no news
	s.denied("/v2/team/app/manifests/unsigned", "no-signature")
	var events []gate.Event
	for line := range strings.Lines(audit.text()) {
		var e gate.Event
		must(t, json.Unmarshal([]byte(line), &e))
		events = append(events, e)
	}
	if len(events) != 2 || events[0].Kind != gate.EventAllowed || events[0].Digest != s.signed.String() ||
		events[1].Kind != gate.EventDenied || events[1].Reason != "no-signature" || events[1].Digest != s.unsigned.String() {
		t.Errorf("%+v", events)
	}
	audit.fill()
	s.denied("/v2/team/app/manifests/"+s.unsigned.DigestStr(), "no-signature")
	if !strings.Contains(log.text(), "audit log cannot be written") {
		t.Errorf("the log does not say that the audit log is full: %s", log.text())
	}
}

// The directory of temporary files is gone: no clients can share a download, and each
// client's content is still hashed on its way.
func TestAttack_P10_WithoutTemporaryFilesContentIsVerified(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "temporary")
	must(t, os.Mkdir(dir, 0o700))
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TempDir = dir })
	big, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("big"), registrytest.ImageOptions{LayerSize: 300_000})
	must(t, err)
	s.sign(big)
	s.passes("big")
	must(t, os.RemoveAll(dir))
	layer := s.parts(big)[1]
	want, _ := s.hosted.Blob("team/app", layer.Digest.String())
	if r := s.get(blobPath(layer)); r.status != http.StatusOK || r.err != nil || !bytes.Equal(r.body, want) {
		t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
	}
	if r := s.get(blobPath(layer), "Range", "bytes=100-199"); r.status != http.StatusPartialContent || r.err != nil || !bytes.Equal(r.body, want[100:200]) {
		t.Errorf("a range: %d, %d bytes, %v", r.status, len(r.body), r.err)
	}
	for name, do := range map[string]registrytest.Effect{"flipped": registrytest.FlipByte(), "cut off": registrytest.Truncate(100_000)} {
		remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: do})
		if r := s.get(blobPath(layer)); r.err == nil && r.status == http.StatusOK {
			t.Errorf("%s: %d bytes arrived as if they were the blob", name, len(r.body))
		}
		remove()
	}
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Status(500)})
	defer remove()
	if r := s.get(blobPath(layer)); r.status != http.StatusBadGateway {
		t.Errorf("an upstream that fails: %d", r.status)
	}
}

// A gate that starts again with the same store reads manifests from it, if they are
// still what their names say, and judges again.
func TestManifestsAreReadFromTheStoreAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Store = openStore(t, dir, store.Options{}) })
	s.passes(s.signed.DigestStr())
	path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(s.signed.DigestStr(), "sha256:"))
	eventually(t, "the manifest is stored", func() bool { _, err := os.Stat(path); return err == nil })
	good, err := os.ReadFile(path)
	must(t, err)
	for name, test := range map[string]struct {
		content []byte
		asks    int // how often the upstream is asked for the manifest
	}{"good": {good, 0}, "changed": {bytes.Replace(good, []byte("layers"), []byte("lairs!"), 1), 1}, "cut off": {good[:10], 1}} {
		must(t, os.WriteFile(path, test.content, 0o600))
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Store = openStore(t, dir, store.Options{}) })
		s.hosted.ResetRequests()
		s.passes(s.signed.DigestStr())
		asked := 0
		for _, r := range s.hosted.Requests() {
			if r.Kind == registrytest.KindManifest && r.Ref == s.signed.DigestStr() {
				asked++
			}
		}
		if asked != test.asks {
			t.Errorf("%s: the upstream was asked %d times, want %d", name, asked, test.asks)
		}
		eventually(t, "the manifest is stored again", func() bool { now, err := os.ReadFile(path); return err == nil && bytes.Equal(now, good) })
	}
}

func TestTagListsAreGivenInPages(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	r := s.get("/v2/team/app/tags/list?n=1&ns=" + known)
	if r.status != http.StatusOK || string(r.body) != `{"name":"team/app","tags":["signed"]}` ||
		!strings.Contains(r.header.Get("Link"), "last=signed") || !strings.Contains(r.header.Get("Link"), "ns="+known) || !strings.Contains(r.header.Get("Link"), "n=1") {
		t.Errorf("%d %s %v", r.status, r.body, r.header)
	}
	if r := s.get("/v2/team/app/tags/list?last=%2e%2e%2fx"); r.status != http.StatusBadRequest {
		t.Errorf("a malformed tag: %d", r.status)
	}
}

// A response that is broken off must not look complete to a client of Transport.
func TestAttack_P14_TransportBreaksOffWhatIsNotItsDigest(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	big, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("big"), registrytest.ImageOptions{LayerSize: 600_000})
	must(t, err)
	s.sign(big)
	host := registrytest.Start(t, s.hosted)
	transport, err := gate.NewTransport(gate.Config{Verifier: s.verifier(nil), TempDir: t.TempDir(), Client: quick})
	must(t, err)
	ask := func(method, path string) reply {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, nil)
		must(t, err)
		return send(t, &http.Client{Transport: transport}, req)
	}
	if r := ask(http.MethodGet, "/v2/team/app/manifests/big"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	layer := s.parts(big)[1]
	for name, do := range map[string]registrytest.Effect{
		"flipped": registrytest.FlipByte(), "cut off": registrytest.Truncate(400_000), "more": registrytest.Endless(), "hung up": registrytest.HangUp(),
	} {
		remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Do: do})
		if r := ask(http.MethodGet, blobPath(layer)); r.err == nil && r.status == http.StatusOK {
			t.Errorf("%s: %d bytes, and no error", name, len(r.body))
		}
		remove()
	}
	if r := ask(http.MethodHead, blobPath(layer)); r.status != http.StatusOK || len(r.body) > 0 {
		t.Errorf("HEAD: %d, %d bytes", r.status, len(r.body))
	}
	if r := ask(http.MethodPut, "/v2/team/app/manifests/x"); r.status < 400 {
		t.Errorf("a write: %d", r.status)
	}
}

func TestAStoreThatVerifiesAlwaysServesWhatIsGood(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{AlwaysVerify: true})
	_, layer := s.bigImage("big", 1<<20)
	s.passes("big")
	blob := "/v2/team/app/blobs/" + layer
	want := s.get(blob).body
	s.stored(dir, layer)
	s.hosted.Inject(registrytest.Fault{Do: registrytest.HangUp()})
	if r := s.get(blob); r.status != http.StatusOK || r.err != nil || !bytes.Equal(r.body, want) {
		t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
	}
	if r := s.get(blob, "Range", "bytes=1000-1999"); r.status != http.StatusPartialContent || !bytes.Equal(r.body, want[1000:2000]) {
		t.Errorf("a range: %d, %d bytes", r.status, len(r.body))
	}
	if r := s.ask(http.MethodHead, blob); r.status != http.StatusOK || r.header.Get("Content-Length") == "" || len(r.body) > 0 {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
}

func TestARefusalSaysWhereThereIsHelp(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Help = "Ask in the channel #images." })
	if r := s.denied("/v2/team/app/manifests/unsigned", "no-signature"); !strings.HasSuffix(r.message(), ". Ask in the channel #images.") {
		t.Errorf("%q", r.message())
	}
	if r := s.get("/v2/team/app/manifests/nowhere"); strings.Contains(r.message(), "#images") {
		t.Errorf("what is not there needs no help: %q", r.message())
	}
}

func TestReferrersAreFilteredWhereThatIsAsked(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
		s := newScene(t, o, nil)
		path := "/v2/team/app/referrers/" + s.signed.DigestStr() + "?artifactType="
		if r := s.get(path + "application%2Fvnd.dev.sigstore.bundle.v0.3%2Bjson"); r.status != http.StatusOK || strings.Count(string(r.body), `"digest"`) != 1 ||
			r.header.Get("OCI-Filters-Applied") != "artifactType" {
			t.Errorf("%+v: %d %s %v", o, r.status, r.body, r.header)
		}
		if r := s.get(path + "application%2Fother"); r.status != http.StatusOK || strings.Contains(string(r.body), `"digest"`) {
			t.Errorf("%+v: %d %s", o, r.status, r.body)
		}
	}
}

func TestATagListWithNothingInItIsAnEmptyList(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindTags, Do: registrytest.ReplaceBody([]byte(`{"name":"team/app","tags":null}`))})
	if r := s.get("/v2/team/app/tags/list"); r.status != http.StatusOK || string(r.body) != `{"name":"team/app","tags":[]}` {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What names no image is written down by what was asked; of that, nothing secret.
func TestAttack_P1_RefusalsOfRequestsThatNameNoImageCanBeFollowed(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Credentials = gate.PassThrough })
	for _, test := range []struct{ raw, image, method, path string }{
		{"GET /v2/team/app/manifests/%73igned?token=s3cr3t", "", "GET", "/v2/team/app/manifests/%73igned"},
		{"PUT /v2/team/app/manifests/signed", "", "PUT", "/v2/team/app/manifests/signed"},
		{"GET /v2/team/app/manifests/signed?ns=evil.example", "", "GET", "/v2/team/app/manifests/signed"},
		{"GET http://user:s3cr3t@evil.example/v2/team/app/manifests/signed", "", "GET", "http://evil.example/v2/team/app/manifests/signed"},
		{"GET /v2/" + strings.Repeat("a", 1000), "", "GET", "/v2/" + strings.Repeat("a", 296) + "…"},
		{"GET /v2/team/app/manifests/signed", known + "/team/app:signed", "GET", "/v2/team/app/manifests/signed"},
	} {
		s.raw(test.raw + " HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
		s.events.mu.Lock()
		e := s.events.all[len(s.events.all)-1]
		s.events.mu.Unlock()
		if e.Image != test.image || e.Request.Method != test.method || e.Request.Path != test.path {
			t.Errorf("%.60q: %q %+v", test.raw, e.Image, e.Request)
		}
	}
}

// An upstream that wants to be left alone for an hour is, and its word reaches the
// client.
func TestAttack_P9_AnUpstreamsLongRetryAfterIsPassedOn(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Client.MaxAttempts = 0 })
	s.hosted.Inject(registrytest.Fault{Do: registrytest.Status(http.StatusTooManyRequests, "Retry-After", "3600")})
	r := s.get("/v2/team/app/manifests/signed")
	if n := len(s.hosted.Requests()); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "3600" || n != 1 {
		t.Errorf("%d, Retry-After %q, after %d requests", r.status, r.header.Get("Retry-After"), n)
	}
}
