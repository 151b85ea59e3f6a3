package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Vectors and roots are those of sigstore-conformance, commit a73de49 (Apache-2.0).
const (
	vectors = "testdata/bundle-verify"
	issuer  = "https://token.actions.githubusercontent.com"
	subject = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)

// within is the content of a vector's file, or something else where it has none.
func within(dir, name, otherwise string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return otherwise
	}
	return strings.TrimSpace(string(text))
}

// asked are the arguments by which the suite asks about a vector.
func asked(t *testing.T, dir string, byDigest bool) []string {
	t.Helper()
	file := func(name, otherwise string) string {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return otherwise
		}
		return filepath.Join(dir, name)
	}
	args := []string{"verify-bundle", "--bundle", filepath.Join(dir, "bundle.sigstore.json"),
		"--trusted-root", file("trusted_root.json", "testdata/roots/public-good.json")}
	if key := file("key.pub", ""); key != "" {
		args = append(args, "--key", key)
	} else {
		args = append(args, "--certificate-identity", within(dir, "identity", subject), "--certificate-oidc-issuer", within(dir, "issuer", issuer))
	}
	artifact := file("artifact", filepath.Join(vectors, "a.txt"))
	if !byDigest {
		return append(args, artifact)
	}
	data, err := os.ReadFile(artifact)
	if err != nil {
		t.Fatal(err)
	}
	return append(args, fmt.Sprintf("sha256:%x", sha256.Sum256(data)))
}

func TestVectorsOfTheSuiteAreJudgedAsItSays(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(vectors, "*", "bundle.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, path := range dirs {
		dir := filepath.Dir(path)
		for _, byDigest := range []bool{false, true} {
			err := run(asked(t, dir, byDigest))
			if refuse := strings.HasSuffix(dir, "_fail"); refuse != (err != nil) {
				t.Errorf("%s, by digest %v: %v", filepath.Base(dir), byDigest, err)
			}
			if err != nil {
				t.Logf("%s: %v", filepath.Base(dir), err)
			}
			judged++
		}
	}
	if judged != 140 {
		t.Errorf("%d vectors were judged, want 140", judged)
	}
}

func TestRequestsThatAreNotSupportedAreToldApart(t *testing.T) {
	for _, args := range [][]string{nil, {"sign-bundle"}, {"verify-bundle", "--staging", "x"}, {"verify-bundle", "x"}} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), errUnsupported.Error()) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
