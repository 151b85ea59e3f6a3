package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func signed[T metadata.Roles](t *testing.T, m *metadata.Metadata[T], key ed25519.PrivateKey) []byte {
	t.Helper()
	signer, err := signature.LoadSigner(key, 0)
	must(t, err)
	_, err = m.Sign(signer)
	must(t, err)
	text, err := m.ToBytes(false)
	must(t, err)
	return text
}

// repository serves a trust root by TUF. It returns its URL and its first root.
func repository(t *testing.T, content []byte, expires time.Time) (url string, first []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	key, err := metadata.KeyFromPublicKey(public)
	must(t, err)
	root, targets := metadata.Root(expires), metadata.Targets(expires)
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		must(t, root.Signed.AddKey(key, role))
	}
	info, err := metadata.TargetFile().FromBytes("trusted_root.json", content, "sha256")
	must(t, err)
	targets.Signed.Targets["trusted_root.json"] = info
	first = signed(t, root, private)
	files := map[string][]byte{
		"/1.targets.json":  signed(t, targets, private),
		"/1.snapshot.json": signed(t, metadata.Snapshot(expires), private),
		"/timestamp.json":  signed(t, metadata.Timestamp(expires), private),
		fmt.Sprintf("/targets/%x.trusted_root.json", []byte(info.Hashes["sha256"])): content,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, there := files[r.URL.Path]; there {
			_, _ = w.Write(text) // the client may have gone
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, first
}

func run(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	code = command.New(plugins()).Run(t.Context(), args, strings.NewReader(""), &out, &out)
	return code, out.String()
}

func TestTrustRootsComeByTUF(t *testing.T) {
	content, err := os.ReadFile("../../internal/dev/conformance/testdata/roots/github.json")
	must(t, err)
	dir := t.TempDir()
	first, out, state := filepath.Join(dir, "root.json"), filepath.Join(dir, "trusted_root.json"), filepath.Join(dir, "state")
	fetch := func(url string, root []byte) (int, string) {
		must(t, os.WriteFile(first, root, 0o600))
		return run(t, "trusted-root", "fetch", "--instance", "github", "--repository", url, "--first-root", first, "--state", state, "--out", out, "--replace")
	}
	url, root := repository(t, content, time.Now().Add(time.Hour))
	if code, said := fetch(url, root); code != 0 {
		t.Fatalf("exit %d: %s", code, said)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
		t.Errorf("another root was written: %v", err)
	}
	if code, said := run(t, "trusted-root", "check", out); code != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	must(t, os.Remove(out))
	_, stranger := repository(t, content, time.Now().Add(time.Hour))
	expired, old := repository(t, content, time.Now().Add(-time.Hour))
	text, textRoot := repository(t, []byte("no trust root"), time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		url  string
		root []byte
	}{"another's first root": {url, stranger}, "expired": {expired, old}, "no trust root": {text, textRoot}, "no root": {url, []byte("{}")}} {
		must(t, os.RemoveAll(state))
		code, said := fetch(c.url, c.root)
		if _, err := os.Stat(out); code != 2 || err == nil {
			t.Errorf("%s: exit %d: %s", name, code, said)
		}
	}
	if code, said := run(t, "trusted-root", "fetch", "--instance", "github", "--out", out); code != 2 || !strings.Contains(said, "--first-root") {
		t.Errorf("exit %d: %s", code, said)
	}
}

func TestPoliciesMayHaveExpressions(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	pem, err := cryptoutils.MarshalPublicKeyToPEM(public)
	must(t, err)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	check := func(expression string) (int, string) {
		must(t, os.WriteFile(policy, fmt.Appendf(nil, "version: 1\nkeys: {a: {pem: %q}}\nroles: {a: {keys: [a]}}\nrules: [{images: [\"**\"], require: [{config: {cel: [%q]}}]}]\n", pem, expression), 0o600))
		return run(t, "policy", "check", policy)
	}
	if code, said := check("config.os == 'linux'"); code != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, said := check("config.os = 'linux'"); code == 0 || !strings.Contains(said, "is not an expression") {
		t.Errorf("exit %d: %s", code, said)
	}
}
