package command

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func TestTrustedRoot_ShowPinCheck(t *testing.T) {
	newCLI(t).must("trusted-root", "show", publicGoodRoot).prints("certificate authority  https://fulcio.sigstore.dev", "transparency log  rekor.sigstore.dev", "no end", "sha256 6494e21e")
	newCLI(t).must("trusted-root", "pin", publicGoodRoot).prints("root: 6494e21e")
	newCLI(t).must("trusted-root", "check", publicGoodRoot).prints("ended  certificate authority", "current  transparency log")
	var all []checkedTrust
	newCLI(t).must("trusted-root", "check", "-o", "json", publicGoodRoot).decode(&all)
	if len(all) < 5 || all[0].Status == "" || all[0].Name == "" {
		t.Errorf("%+v", all)
	}
	newCLI(t).run("trusted-root", "check", "--within", "876000h", publicGoodRoot).exits(exitDenied).says("every certificate authority of root 1 has ended, or ends soon")
	newCLI(t).run("trusted-root", "check", "--within", "-1h", publicGoodRoot).exits(exitUndecided)
	newCLI(t).run("trusted-root", "check", "none.json").exits(exitUndecided).says("none.json")
	newCLI(t).run("trusted-root", "check", "--help", publicGoodRoot).exits(exitUndecided)
	newCLI(t).run("trusted-root", "show", "trustedroot.go").exits(exitUndecided).says("trust root")
	newCLI(t).run("trusted-root").exits(exitUndecided).says("subcommand is missing")
}

func TestTrustedRoot_StatusOfWhatItHolds(t *testing.T) {
	now := time.Now()
	for want, held := range map[string]sigstore.Trusted{
		rootFuture:  {Start: now.Add(time.Hour)},
		rootEnded:   {Start: now.Add(-time.Hour), End: now.Add(-time.Minute)},
		rootEnding:  {Start: now.Add(-time.Hour), End: now.Add(time.Minute)},
		rootCurrent: {Start: now.Add(-time.Hour), End: now.Add(3 * time.Hour)},
	} {
		if got := statusOf(held, now, time.Hour); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTrustedRoot_FetchNeedsItsDigest(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "root.json")
	text, err := os.ReadFile(publicGoodRoot)
	must(t, err)
	fetch := func(more ...string) outcome {
		return newCLI(t).run(append([]string{"trusted-root", "fetch", "--out", out}, more...)...)
	}
	fetch().exits(exitUndecided).says("by TUF", "hallmark-full")
	fetch("--from", publicGoodRoot).exits(exitUndecided).says("--sha256 is missing")
	fetch("--repository", "https://tuf.example").exits(exitUndecided).says("--first-root")
	fetch("--from", publicGoodRoot, "--sha256", sumOf(text), "--state", "x").exits(exitUndecided).says("--state")
	fetch("--sha256", sumOf(text)).exits(exitUndecided).says("--sha256 is for --from")
	fetch("--from", gitHubRoot, "--sha256", sumOf(text)).exits(exitUndecided).says("has the SHA-256", "want "+sumOf(text), "hint:")
	fetch("--from", "http://127.0.0.1/root.json", "--sha256", sumOf(text)).exits(exitUndecided).says("https")
	fetch("--from", "trustedroot.go", "--sha256", strings.Repeat("0", 64)).exits(exitUndecided)
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a root that is not verified was written: %v", err)
	}
	fetch("--from", publicGoodRoot, "--sha256", strings.ToUpper(sumOf(text))).exits(exitOK).prints("wrote", sumOf(text))
	fetch("--from", publicGoodRoot, "--sha256", sumOf(text)).exits(exitUndecided).says("nothing is overwritten")
	fetch("--from", publicGoodRoot, "--sha256", sumOf(text), "--replace").exits(exitOK)
	newCLI(t).run("trusted-root", "fetch").exits(exitUndecided).says("--out is missing")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestTrustedRoot_FetchByAPlugin(t *testing.T) {
	out := filepath.Join(t.TempDir(), "root.json")
	linked := newCLI(t)
	text, err := os.ReadFile(gitHubRoot)
	must(t, err)
	linked.plugins.FetchTrustedRoot = func(_ context.Context, r RootRequest) ([]byte, error) {
		if r.Instance != "github" {
			return nil, errors.New("no instance " + r.Instance)
		}
		return text, nil
	}
	linked.run("trusted-root", "fetch", "--out", out).exits(exitUndecided).says("no instance public-good")
	linked.must("trusted-root", "fetch", "--instance", "github", "--out", out)
	if got, err := os.ReadFile(out); err != nil || string(got) != string(text) {
		t.Errorf("%v", err)
	}
}

func TestTrustedRoot_DownloadIsHTTPSAndBounded(t *testing.T) {
	for _, path := range []string{"/redirect", "/endless", "/none"} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/redirect":
				http.Redirect(w, r, "http://127.0.0.1/", http.StatusFound)
			case "/endless":
				for i := 0; i < maxTrustedRoot/1024+2; i++ {
					_, _ = w.Write(make([]byte, 1024)) // the client stops reading
				}
			default:
				http.NotFound(w, r)
			}
		}))
		if text, err := fetchBy(t.Context(), server.Client(), server.URL+path); err == nil {
			t.Errorf("%s: %d bytes", path, len(text))
		} else {
			t.Log(err)
		}
		server.Close()
	}
}

func TestAttack_S3_PasswordsOfTrustRootURLs(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	for _, from := range []string{strings.Replace(server.URL, "://", "://me:secret-word@", 1), strings.Replace(server.URL, "https://", "http://me:secret-word@", 1)} {
		if _, err := fetchBy(t.Context(), server.Client(), from); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Error(err)
		}
		if text := withoutSecrets(from); strings.Contains(text, "secret-word") || strings.Contains(text, "me") {
			t.Error(text)
		}
	}
}

func TestTrustedRoot_Create(t *testing.T) {
	dir := t.TempDir()
	chain, key := certificateChain(t), newKey(t)
	file, out := writeFile(t, filepath.Join(dir, "ca.pem"), chain), filepath.Join(dir, "root.json")
	newCLI(t).must("trusted-root", "create", "--certificate-chain", "https://ca.example="+file, "--log", "https://log.example="+key.public,
		"--log-v2", "https://log2.example="+newKey(t).public, "--ct-log", "https://ct.example="+newKey(t).public, "--out", out)
	newCLI(t).must("trusted-root", "show", out).prints("https://ca.example", "log.example", "ct.example")
	newCLI(t).must("policy", "check", writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(`version: 1
identities: {jane: {authority: sigstore, settings: {issuer: https://login.example, email: jane@acme.example}}}
roles: {release: {identities: [jane]}}
rules: [{images: ["**"], require: [{signature: {by: release}}]}]
`)), "--trusted-root", out)
	for label, args := range map[string][]string{
		"no chain":     {"--out", filepath.Join(dir, "x")},
		"no URL":       {"--certificate-chain", file, "--out", filepath.Join(dir, "x")},
		"key as chain": {"--certificate-chain", "https://ca.example=" + key.public, "--out", filepath.Join(dir, "x")},
		"bad start":    {"--certificate-chain", "https://ca.example=" + file, "--start", "now", "--out", filepath.Join(dir, "x")},
		"chain as key": {"--certificate-chain", "https://ca.example=" + file, "--log", "https://log.example=" + file, "--out", filepath.Join(dir, "x")},
		"exists":       {"--certificate-chain", "https://ca.example=" + file, "--out", out},
	} {
		t.Log(label)
		newCLI(t).run(append([]string{"trusted-root", "create"}, args...)...).exits(exitUndecided)
	}
}

// certificateChain is the PEM of an authority that issues certificates for signing code.
func certificateChain(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority", Organization: []string{"acme"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
