package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// policyText is a policy whose keys are in the files a.pub, b.pub and c.pub.
const policyText = `version: 1
keys:
  a: {file: a.pub}
  b: {file: b.pub}
  c: {file: c.pub}
roles:
  release: {keys: [a]}
  pair: {keys: [a, b], threshold: 2}
  builder: {keys: [c]}
rules:
  - images: [registry.example/team/**]
    require:
      - signature: {by: release}
`

// signatureRequired is the requirement of policyText.
const signatureRequired = "signature: {by: release}"

// newPEM is a new public key.
func newPEM(t testing.TB) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// written is a policy file in a directory with its keys.
func written(t testing.TB, text string, keys ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, key := range keys {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".pub"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func loaded(t testing.TB, text string, keys ...string) *policy.Policy {
	t.Helper()
	p, err := policy.Load(written(t, text, keys...), policy.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// without leaves a field of a policy out.
func without(text, field string) string {
	var kept []string
	skip := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			skip = strings.HasPrefix(line, field+":")
		}
		if !skip {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // a string always can
	return string(text)
}
