package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

func gateOf(t *testing.T, c Config) *gate {
	t.Helper()
	c.Verifier = &verify.Verifier{}
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return newGate(c)
}

// exchangeOf is a client's request for a blob.
func exchangeOf(t *testing.T, g *gate, w http.ResponseWriter, digest string) *exchange {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	return g.exchange(w, r, location{at: atBlob, ref: digest}, pull{from: &origin{manifests: g.manifests}})
}

func deliveryOf(t *testing.T, g *gate, w http.ResponseWriter, digest string, allowed permit) *delivery {
	t.Helper()
	return &delivery{exchangeOf(t, g, w, digest), allowed}
}

// unwilling is a client that takes no answer any more.
type unwilling struct{ *httptest.ResponseRecorder }

func (unwilling) Write([]byte) (int, error) { return 0, errors.New("the client has gone") }

// wantAborted checks that the connection of an answer is broken off.
func wantAborted(t *testing.T, send func()) {
	t.Helper()
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("%v, want http.ErrAbortHandler", cause)
		}
	}()
	send()
}

func TestALargeAnswerIsSentWhereNoFileCanBeWritten(t *testing.T) {
	g := gateOf(t, Config{TempDir: filepath.Join(t.TempDir(), "none")})
	w := httptest.NewRecorder()
	content := bytes.Repeat([]byte("x"), 2*smallBuffer)
	exchangeOf(t, g, w, "sha256:x").send(t.Context(), "sha256:x", content)
	if !bytes.Equal(w.Body.Bytes(), content) || g.outlet.files.Len() != 0 {
		t.Errorf("%d bytes, %d files left", w.Body.Len(), g.outlet.files.Len())
	}
}

func TestALargeAnswerToAClientThatHasGoneIsBrokenOff(t *testing.T) {
	g := gateOf(t, Config{TempDir: t.TempDir()})
	x := exchangeOf(t, g, unwilling{httptest.NewRecorder()}, "sha256:x")
	wantAborted(t, func() { x.send(t.Context(), "sha256:x", bytes.Repeat([]byte("x"), 2*smallBuffer)) })
	if g.outlet.files.Len() != 0 {
		t.Error("its file is left")
	}
}

func TestEvidenceForAClientThatHasGoneIsBrokenOff(t *testing.T) {
	g := gateOf(t, Config{})
	d := deliveryOf(t, g, unwilling{httptest.NewRecorder()}, "sha256:x", permit{Size: 4})
	wantAborted(t, func() { _ = d.fromFile(complete(t, g, "1234"), span{0, 4, false}) })
}

// complete is a download that has ended, and has no client any more.
func complete(t *testing.T, g *gate, content string) *download {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "blob-*")
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &download{
		all: g.downloads, file: f, written: int64(len(content)), done: true, users: 1,
		grown: make(chan struct{}), joined: make(chan struct{}), cancel: func() {}, used: time.Now(),
	}
}

func isClosed(f *os.File) bool {
	_, err := f.Stat()
	return errors.Is(err, os.ErrClosed)
}

func TestKeptDownloadsTakeNoMoreThanMayBe(t *testing.T) {
	g := gateOf(t, Config{MaxSpoolBytes: 10})
	first, second := complete(t, g, "12345678"), complete(t, g, "12345678901234")
	g.downloads.retain(first)
	g.downloads.retain(second)
	if !isClosed(first.file) || isClosed(second.file) || g.downloads.keptBytes != 14 {
		t.Errorf("%v %v, %d bytes; want the later one alone", isClosed(first.file), isClosed(second.file), g.downloads.keptBytes)
	}
}

func TestADownloadIsKeptWhileItHasClients(t *testing.T) {
	g := gateOf(t, Config{MaxSpoolBytes: 10})
	l := complete(t, g, "1234")
	g.downloads.retain(l)
	l.users, l.used = 2, time.Now().Add(-2*idleTTL)
	g.downloads.release(l)
	if len(g.downloads.kept) != 1 {
		t.Error("it is not kept, and a client reads it")
	}
	l.users = 1
	g.downloads.release(l)
	if len(g.downloads.kept) != 0 || !isClosed(l.file) {
		t.Error("it is kept for ever")
	}
}

func TestMoreDownloadsWithoutAClientThanMayWaitEnd(t *testing.T) {
	g := gateOf(t, Config{})
	l := complete(t, g, "")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if !l.wanted(ended) {
		t.Error("it ends for want of clients, and not with its context")
	}
	g.downloads.paused.Store(maxPaused)
	if l.wanted(t.Context()) {
		t.Error("it waits")
	}
	if l.enter(false) {
		t.Error("a client has joined what ends")
	}
	if n := g.downloads.paused.Load(); n != maxPaused {
		t.Errorf("%d wait", n)
	}
}

func TestManyDownloadsAtOnceReadInSmallPieces(t *testing.T) {
	g := gateOf(t, Config{})
	g.downloads.large.Store(maxChunks)
	buffer, back := g.downloads.buffer()
	defer back()
	if len(*buffer) != smallBuffer {
		t.Errorf("%d bytes", len(*buffer))
	}
}

func TestEvidenceInTheStoreIsServedFromThere(t *testing.T) {
	content := `{"x":1}`
	held, err := store.Open(t.TempDir(), store.Options{})
	if err == nil {
		err = held.Put(digestOf(content), []byte(content), store.Evidence)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	d := deliveryOf(t, gateOf(t, Config{Store: held}), w, digestOf(content), permit{Allowed: true, Evidence: true, Kinds: kinds.JSON})
	if err := d.evidence(); err != nil || w.Body.String() != content {
		t.Errorf("%v, %q", err, w.Body)
	}
}

func TestAttack_P16_ContentThatIsAnotherHasNoKind(t *testing.T) {
	g := gateOf(t, Config{})
	_, err := g.forms.of(t.Context(), digestOf("another"), io.NewSectionReader(strings.NewReader("{}"), 0, 2))
	if !errors.Is(err, registry.ErrDigestMismatch) {
		t.Errorf("%v", err)
	}
	if _, known := g.forms.seen.Get(digestOf("another")); known {
		t.Error("it is remembered")
	}
}

func TestALargeManifestIsReadFromTheStoreWithinTheBudget(t *testing.T) {
	text := `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[],"annotations":{"long":"` + strings.Repeat("x", 2*budget.Free) + `"}}`
	g := gateOf(t, Config{Store: storeWith(t, text)})
	b := budget.New()
	m := g.manifests.stored(budget.With(t.Context(), b), digestOf(text))
	if m == nil || string(m.bytes) != text || b.Messages() != 0 {
		t.Errorf("%v, %d bytes of the budget are taken", m != nil, b.Messages())
	}
}

func TestLongAnnotationsAreLeftOutOfAListOfReferrers(t *testing.T) {
	for n, kept := range map[int]bool{100: true, maxEntry: false} {
		m := &manifest{digest: digestOf("x"), mediaType: oci.MediaTypeManifest, doc: &oci.Document{Annotations: map[string]string{"long": strings.Repeat("x", n)}}}
		if entry := (evidenceRules{}).entryOf(m); (len(entry.Annotations) == 1) != kept {
			t.Errorf("%d: %d annotations", n, len(entry.Annotations))
		}
	}
}

func TestANameThatTheUpstreamCannotHaveIsTheClientsFault(t *testing.T) {
	r := ofRegistry(&registry.Error{Kind: registry.ErrReference}, codeManifest)
	if r.status != http.StatusBadRequest || r.code != codeName || !strings.Contains(r.message, "cannot be asked for this name") {
		t.Errorf("%+v", r)
	}
}
