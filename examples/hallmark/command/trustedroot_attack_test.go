package command

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAttack_S3_TrustedRootErrorsShowNoSecrets(t *testing.T) {
	out := filepath.Join(t.TempDir(), "root.json")
	sum := strings.Repeat("0", 64)
	for _, from := range []string{
		"https://me:secret-word@127.0.0.1:port/root", "https://me:secret-word@127.0.0.1:1/%zz", "https://127.0.0.1:1/root?token=secret-word",
		"http://me:secret-word@127.0.0.1:1/", "https://me:secret-word@127.0.0.1:1/", "https://127.0.0.1:1/#secret-word", "https://secret-word@127.0.0.1:1/",
		"ftp://me:secret-word@127.0.0.1:1/",
	} {
		for _, more := range [][]string{{"--sha256", sum}, nil} {
			o := newCLI(t).run(append([]string{"trusted-root", "fetch", "--out", out, "--from", from}, more...)...).exits(exitUndecided)
			if all := o.stdout + o.stderr; strings.Contains(all, "secret-word") {
				t.Errorf("%s %v: %s", from, more, all)
			}
		}
	}
	ca := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), certificateChain(t))
	for _, base := range []string{"https://me:secret-word@ca.example:port", "https://me:secret-word@ca.example"} {
		o := newCLI(t).run("trusted-root", "create", "--certificate-chain", base+"="+ca, "--out", out).exits(exitUndecided)
		if all := o.stdout + o.stderr; strings.Contains(all, "secret-word") {
			t.Errorf("%s: %s", base, all)
		}
	}
}

func TestAttack_S3_RedirectsOfTrustedRootsShowNoSecrets(t *testing.T) {
	to := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/404" {
			http.NotFound(w, r)
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	}))
	defer server.Close()
	for _, to = range []string{"http://127.0.0.1:1/?signature=secret-word", "https://127.0.0.1:1/?signature=secret-word", "https://me:secret-word@127.0.0.1:1/"} {
		if _, err := fetchBy(t.Context(), server.Client(), server.URL); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Error(err)
		}
	}
	if _, err := fetchBy(t.Context(), server.Client(), server.URL+"/404?signature=secret-word"); err == nil || strings.Contains(err.Error(), "secret-word") {
		t.Error(err)
	}
}

func TestAttack_T19_DigestsThatAreNotWholeAreRefused(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "root.json")
	text, err := os.ReadFile(publicGoodRoot)
	must(t, err)
	for _, sum := range []string{sumOf(text)[:63], sumOf(text)[:8], sumOf(text) + "0", "sha256:" + sumOf(text), " " + sumOf(text), "x"} {
		newCLI(t).run("trusted-root", "fetch", "--out", out, "--from", publicGoodRoot, "--sha256", sum).exits(exitUndecided).says("--sha256", "64 hex digits")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("written")
	}
}

func TestAttack_T19_CreateRefusesWhatClashesOrIsWrong(t *testing.T) {
	dir := t.TempDir()
	path := func(name string, text []byte) string { return writeFile(t, filepath.Join(dir, name), text) }
	ca, other := certificateChain(t), certificateChain(t)
	good := path("ca.pem", ca)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	must(t, err)
	big1, err := rsa.GenerateKey(rand.Reader, 2304)
	must(t, err)
	odd, err := x509.MarshalPKIXPublicKey(big1.Public())
	must(t, err)
	log := newKey(t).public
	for name, args := range map[string][]string{
		"empty chain":       {"--certificate-chain", "https://ca.example=" + path("empty.pem", nil)},
		"text":              {"--certificate-chain", "https://ca.example=" + path("text.pem", []byte("hello"))},
		"leaf":              {"--certificate-chain", "https://ca.example=" + path("leaf.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
		"two roots":         {"--certificate-chain", "https://ca.example=" + path("two.pem", append(append([]byte(nil), ca...), other...))},
		"twice in a chain":  {"--certificate-chain", "https://ca.example=" + path("twice.pem", append(append([]byte(nil), ca...), ca...))},
		"trailing":          {"--certificate-chain", "https://ca.example=" + path("trail.pem", append(append([]byte(nil), ca...), "-----BEGIN CERTIFICATE-----\ncut"...))},
		"key of odd size":   {"--certificate-chain", "https://ca.example=" + good, "--log", "https://log.example=" + path("odd.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: odd}))},
		"chain as stamper":  {"--certificate-chain", "https://ca.example=" + good, "--timestamp-chain", "https://tsa.example=" + path("leaf2.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
		"log twice":         {"--certificate-chain", "https://ca.example=" + good, "--log", "https://log.example=" + log, "--log", "https://log2.example=" + log},
		"log as both kinds": {"--certificate-chain", "https://ca.example=" + good, "--log", "https://log.example=" + log, "--ct-log", "https://ct.example=" + log},
		"v1 and v2":         {"--certificate-chain", "https://ca.example=" + good, "--log", "https://log.example=" + log, "--log-v2", "https://log2.example=" + log},
		"chain twice":       {"--certificate-chain", "https://ca.example=" + good, "--certificate-chain", "https://ca2.example=" + good},
		"no scheme":         {"--certificate-chain", "//ca.example=" + good},
		"ftp":               {"--certificate-chain", "ftp://ca.example=" + good},
		"no file":           {"--certificate-chain", "https://ca.example="},
		"pipe":              {"--certificate-chain", "https://ca.example=/dev/zero"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "root.json")
			newCLI(t).run(append(append([]string{"trusted-root", "create"}, args...), "--out", out)...).exits(exitUndecided)
			if _, err := os.Stat(out); err == nil {
				t.Error("written")
			}
		})
	}
	victim := path("victim", []byte("precious"))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(victim, link))
	for _, out := range []string{victim, link, dir} {
		newCLI(t).run("trusted-root", "create", "--certificate-chain", "https://ca.example="+good, "--out", out).exits(exitUndecided)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAttack_T19_CheckTellsTheTruth(t *testing.T) {
	dir := t.TempDir()
	empty := writeFile(t, filepath.Join(dir, "empty.json"), []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	newCLI(t).run("trusted-root", "check", empty).exits(exitUndecided)
	ca := writeFile(t, filepath.Join(dir, "ca.pem"), certificateChain(t))
	root := filepath.Join(dir, "root.json")
	newCLI(t).must("trusted-root", "create", "--certificate-chain", "https://ca.example="+ca, "--out", root)
	newCLI(t).run("trusted-root", "check", root).exits(exitOK)
	newCLI(t).run("trusted-root", "check", root, "--within", "59m").exits(exitOK)
	newCLI(t).run("trusted-root", "check", root, "--within", "61m").exits(exitDenied)
	newCLI(t).run("trusted-root", "check", root, "--within", "2562047h").exits(exitDenied)
	newCLI(t).run("trusted-root", "check", root, "--within", "61m", "-o", "json").exits(exitDenied)
	later := filepath.Join(dir, "later.json")
	newCLI(t).must("trusted-root", "create", "--certificate-chain", "https://ca.example="+ca, "--start", time.Now().Add(30*time.Minute).UTC().Format(time.RFC3339), "--out", later)
	newCLI(t).run("trusted-root", "check", later).exits(exitDenied)
}
