package tuf_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

// repository is a TUF repository in memory. Each role has keys of its own.
type repository struct {
	t       *testing.T
	keys    map[string][]ed25519.PrivateKey
	root    *metadata.Metadata[metadata.RootType]
	stamp   *metadata.Metadata[metadata.TimestampType]
	snap    *metadata.Metadata[metadata.SnapshotType]
	targets *metadata.Metadata[metadata.TargetsType]
	now     time.Time

	mu    sync.Mutex
	files map[string][]byte
	asked []string
	// answer replaces what the server does; nil: it serves files.
	answer http.HandlerFunc
	url    string
}

const (
	target = "trusted_root.json"
	day    = 24 * time.Hour
)

var roles = []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newRepository holds one target.
func newRepository(t *testing.T, content string) *repository {
	t.Helper()
	r := &repository{t: t, keys: make(map[string][]ed25519.PrivateKey), files: make(map[string][]byte), now: time.Now().UTC().Truncate(time.Second)}
	r.root = metadata.Root(r.now.Add(365 * day))
	r.root.Signed.ConsistentSnapshot = true
	r.stamp, r.snap, r.targets = metadata.Timestamp(r.now.Add(day)), metadata.Snapshot(r.now.Add(7*day)), metadata.Targets(r.now.Add(30*day))
	for _, role := range roles {
		r.addKey(role)
	}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(server.Close)
	r.url = server.URL
	r.setTarget(content)
	r.publishRoot(r.keys[metadata.ROOT]...)
	r.publish()
	return r
}

func (r *repository) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, req.URL.Path)
	text, there := r.files[strings.TrimPrefix(req.URL.Path, "/")]
	answer := r.answer
	r.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, req)
	case there:
		_, _ = w.Write(text) // the client may have gone
	default:
		http.NotFound(w, req)
	}
}

func (r *repository) put(name string, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = text
}

func (r *repository) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.files, name)
}

func (r *repository) answers(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

func (r *repository) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// addKey adds a key to a role.
func (r *repository) addKey(role string) {
	r.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(r.t, err)
	key, err := metadata.KeyFromPublicKey(public)
	must(r.t, err)
	must(r.t, r.root.Signed.AddKey(key, role))
	r.keys[role] = append(r.keys[role], private)
}

// replaceKeys gives a role one new key.
func (r *repository) replaceKeys(role string) {
	r.t.Helper()
	for _, id := range append([]string(nil), r.root.Signed.Roles[role].KeyIDs...) {
		must(r.t, r.root.Signed.RevokeKey(id, role))
	}
	r.keys[role] = nil
	r.addKey(role)
}

func signed[T metadata.Roles](t *testing.T, m *metadata.Metadata[T], keys ...ed25519.PrivateKey) []byte {
	t.Helper()
	m.ClearSignatures()
	for _, key := range keys {
		signer, err := signature.LoadSigner(key, 0)
		must(t, err)
		_, err = m.Sign(signer)
		must(t, err)
	}
	text, err := m.ToBytes(false)
	must(t, err)
	return text
}

func (r *repository) setTarget(content string) {
	r.t.Helper()
	info, err := metadata.TargetFile().FromBytes(target, []byte(content), "sha256")
	must(r.t, err)
	r.targets.Signed.Targets[target] = info
	r.put(fmt.Sprintf("targets/%x.%s", []byte(info.Hashes["sha256"]), target), []byte(content))
}

func (r *repository) publishRoot(keys ...ed25519.PrivateKey) {
	r.put(fmt.Sprintf("%d.root.json", r.root.Signed.Version), signed(r.t, r.root, keys...))
}

// publish signs everything but the root.
func (r *repository) publish() {
	r.t.Helper()
	r.put(fmt.Sprintf("%d.targets.json", r.targets.Signed.Version), signed(r.t, r.targets, r.keys[metadata.TARGETS]...))
	r.snap.Signed.Meta["targets.json"] = metadata.MetaFile(r.targets.Signed.Version)
	r.put(fmt.Sprintf("%d.snapshot.json", r.snap.Signed.Version), signed(r.t, r.snap, r.keys[metadata.SNAPSHOT]...))
	r.stamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(r.snap.Signed.Version)
	r.put("timestamp.json", signed(r.t, r.stamp, r.keys[metadata.TIMESTAMP]...))
}

// release publishes new content under new versions.
func (r *repository) release(content string) {
	r.t.Helper()
	r.setTarget(content)
	r.targets.Signed.Version++
	r.snap.Signed.Version++
	r.stamp.Signed.Version++
	r.publish()
}

// first is the first root.
func (r *repository) first() []byte { return r.files["1.root.json"] }

// options are those of a client whose clock is the test's.
func (r *repository) options(file string) tuf.Options {
	return tuf.Options{Root: bytes.Clone(r.first()), URL: r.url, Target: target, File: file, Now: func() time.Time { return r.now }}
}

func (r *repository) open(file string) *tuf.Client {
	r.t.Helper()
	c, err := tuf.Open(r.t.Context(), r.options(file))
	must(r.t, err)
	return c
}

func stateFile(t *testing.T) string { return filepath.Join(t.TempDir(), "root.tuf") }

// holds checks what a client uses.
func holds(t *testing.T, c *tuf.Client, content string) {
	t.Helper()
	got, err := c.Current()
	if err != nil || string(got.Content) != content {
		t.Errorf("%v, %v; want %q", got, err, content)
	}
}
