package command

import (
	"os"
	"path/filepath"
	"testing"
)

// teamsIn writes the example of teams into a directory, with keys.
func teamsIn(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join(policyDir, "teams"))))
	for _, name := range []string{"release.pub", "payments/ci.pub"} {
		pem, err := os.ReadFile(newKey(t).public)
		must(t, err)
		writeFile(t, filepath.Join(dir, name), pem)
	}
	return filepath.Join(dir, "policy.yaml")
}

func TestExampleOfTeams_AddsRulesToThePolicysOwn(t *testing.T) {
	path := teamsIn(t)
	newCLI(t).must("policy", "check", "--strict", path).prints("good", path)
	newCLI(t).must("policy", "explain", path, "registry.example/payments/app").
		prints("registry.example/payments/**", "payments", "a signature by release", "rules[0].require[0]", "slsaprovenance by payments/ci", "teams.payments.rules[0].require[0]", "source: git+https://git.example/payments/*")
	newCLI(t).must("policy", "explain", path, "registry.example/web/app").prints("team", "web", "type spdx by release")
	newCLI(t).must("policy", "explain", path, "registry.example/web/legacy").prints("denied", "retired")
	newCLI(t).must("policy", "explain", "-o", "json", path, "registry.example/web/app").prints(`"team": "web"`)
	newCLI(t).must("policy", "explain", path, "registry.example/other/app").prints("registry.example/**")
}

func TestTeams_MistakesNameTheirFile(t *testing.T) {
	path := teamsIn(t)
	writeFile(t, filepath.Join(filepath.Dir(path), "web/policy.yaml"), []byte("version: 1\nrules:\n  - images: [registry.example/payments/app]\n    deny: true\n    reason: x\n"))
	newCLI(t).run("policy", "check", path).exits(exitUndecided).says("web/policy.yaml: line 3, column 14: rules[0].images[0]", "the policy gives the team")
}
