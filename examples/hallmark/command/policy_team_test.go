package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
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

// What a decision says of a requirement says whose it is.
func TestVerifyNamesTheTeamOfARule(t *testing.T) {
	x, central, team := registryTarget(t, registrytest.Options{}), newKey(t), newKey(t)
	dir := t.TempDir()
	for _, k := range []struct {
		path string
		key  keyPair
	}{{"release.pub", central}, {"apps/ci.pub", team}} {
		pem, err := os.ReadFile(k.key.public)
		must(t, err)
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, k.path)), 0o700))
		writeFile(t, filepath.Join(dir, k.path), pem)
	}
	host := x.repo.RegistryStr()
	path := filepath.Join(dir, "policy.yaml")
	writeFile(t, path, []byte("version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\nfiles: [{signature: {by: release}}]\n"+
		"teams: {apps: {file: apps/policy.yaml, images: ['"+host+"/team/**']}}\nrules: [{images: ['"+host+"/**'], require: [{signature: {by: release}}]}]\n"))
	writeFile(t, filepath.Join(dir, "apps/policy.yaml"), []byte("version: 1\nkeys: {ci: {file: ci.pub}}\nroles: {ci: {keys: [ci]}}\nrules: [{images: ['"+host+"/team/*'], require: [{signature: {by: ci}}]}]\n"))

	image, err := registrytest.PushImage(t.Context(), x.store, x.repo.Tag("v1"), registrytest.ImageOptions{})
	must(t, err)
	newCLI(t).run("verify", "--policy", path, image.String()).exits(exitDenied).
		prints("not met  signature by release  no-signature", "not met  signature by apps/ci  of the team apps  no-signature")
	_, err = sign.Image(t.Context(), x.store, image, sign.ImageOptions{}, central.signer, team.signer)
	must(t, err)
	newCLI(t).must("verify", "--policy", path, "--explain", image.String()).
		prints("met  signature by release  rules[0].require[0]", "met  signature by apps/ci  of the team apps  teams.apps.rules[0].require[0]", "rule  "+host+"/team/*  of the team apps")
	var all []verify.Report
	newCLI(t).must("verify", "--policy", path, "-o", "json", image.String()).decode(&all)
	if r := all[0]; r.Team != "apps" || len(r.Requirements) != 2 || r.Requirements[0].Team != "" || r.Requirements[1].Team != "apps" {
		t.Errorf("%+v", r)
	}
	newCLI(t).must("inspect", "--policy", path, "-o", "html", image.String()).prints("of the team apps")
	newCLI(t).must("policy", "explain", path, image.Context().Name()).prints("files", "a signature by release: release", "files[0]")
	newCLI(t).must("policy", "explain", "-o", "json", path, image.Context().Name()).prints(`"files": [`, `"requirement": "files[0]"`)
}
