package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

const identityPolicy = `version: 1
identities:
  release:
    authority: sigstore
    settings: {instance: github, issuer: https://token.actions.githubusercontent.com, uri: https://github.com/acme/app/.github/workflows/release.yml@refs/tags/*}
roles: {release: {identities: [release]}}
rules:
  - images: [registry.example/acme/**]
    require: [{signature: {by: release}}]
`

func TestTrustedRootsReachThePolicy(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"github.json", "public-good.json"} {
		text, err := os.ReadFile(filepath.Join("../../internal/dev/conformance/testdata/roots", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(identityPolicy), 0o600))
	for label, x := range map[string]struct{ roots, refused string }{
		"both":             {"[{instance: github, file: github.json}, {instance: public-good, file: public-good.json}]", ""},
		"one":              {"[{instance: github, file: github.json}]", ""},
		"another":          {"[{instance: public-good, file: public-good.json}]", "instance"},
		"a private name":   {"[{instance: private, file: github.json}]", "transparency logs"},
		"a private one":    {"[{instance: github, file: github.json}, {instance: private, file: github.json, withoutLogs: true, withoutCT: true}]", ""},
		"another's root":   {"[{instance: github, file: public-good.json}]", "fulcio.githubapp.com"},
		"another digest":   {`[{instance: github, file: github.json, sha256: "` + strings.Repeat("0", 64) + `"}]`, "SHA-256"},
		"twice":            {"[{instance: github, file: github.json}, {instance: github, file: github.json}]", "once"},
		"without a file":   {"[{instance: github}]", "file"},
		"without instance": {"[{file: github.json}]", "instance"},
		"an unknown field": {"[{instance: github, file: github.json, insecure: true}]", "insecure"},
	} {
		path := filepath.Join(dir, "gate.yaml")
		must(t, os.WriteFile(path, []byte("policy: policy.yaml\ntrustedRoots: "+x.roots+"\n"), 0o600))
		err := loads(path)
		if x.refused == "" && err != nil || x.refused != "" && (err == nil || !strings.Contains(err.Error(), x.refused)) {
			t.Errorf("%s: %v, want %q", label, err, x.refused)
		}
	}
}

// loads loads the policy by the settings.
func loads(path string) error {
	c, err := readSettings(path)
	if err != nil {
		return err
	}
	o, err := c.verifier()
	if err != nil {
		return err
	}
	_, err = verify.NewFileSource(c.Policy, verify.FileSourceOptions{Options: o})
	return err
}
