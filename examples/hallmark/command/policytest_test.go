package command

import (
	"bytes"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policytest"
)

// With -update the images of examples/policy/tests are made again, by new keys:
//
//	go test ./examples/hallmark/command -run RecordedCases -update
var update = flag.Bool("update", false, "make the images of examples/policy/tests again")

const policyTests = policyDir + "/tests"

func TestExamplePolicies_RecordedCases(t *testing.T) {
	if *update {
		recordImages(t)
	}
	newCLI(t).must("policy", "test", "--require-coverage", policyDir).prints("20 cases: 20 passed, 0 failed, 0 broken; 0 rules and requirements not tested")
}

// recordImages makes the images that the cases judge: complete meets production.yaml,
// signed has signatures of all three keys, and bare has nothing.
func recordImages(t *testing.T) {
	t.Helper()
	dir := filepath.Join(policyTests, "images")
	must(t, os.RemoveAll(dir))
	l, err := layout.Open(dir, layout.Options{Create: true})
	must(t, err)
	x := target{t: t, image: "oci:" + dir, store: l, repo: l.Repository()}
	keys := team(t)
	for role, k := range keys {
		pem, err := os.ReadFile(k.public)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(policyTests, "keys", role+".pub"), pem, 0o644)) //nolint:gosec // it is published
	}
	shippedAt(t, x, keys, "", time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC))
	complete, err := l.Manifest(t.Context(), l.Tag("v1"))
	must(t, err)
	_, err = l.PushManifest(t.Context(), l.Tag("complete"), complete, registry.PushOptions{})
	must(t, err)
	x.push("bare")
	signed := x.push("signed")
	for _, role := range []string{"release", "builder", "scanner"} {
		_, err := sign.Image(t.Context(), l, signed, sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}, keys[role].signer)
		must(t, err)
	}
	must(t, l.Close())
	must(t, os.RemoveAll(filepath.Join(dir, ".hallmark")))
	release, err := os.Open(filepath.Join(policyTests, "keys", "release.pub"))
	must(t, err)
	bundle, err := sign.Blob(t.Context(), release, keys["release"].signer)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(policyTests, "release.pub.json"), bundle, 0o644)) //nolint:gosec // it is published
	must(t, release.Close())
}

// caseIn writes a case file beside a copy of the example's images, keys and policies.
func caseIn(t *testing.T, cases string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(policyDir)))
	for _, name := range []string{"production", "registry"} {
		must(t, os.Remove(filepath.Join(dir, "tests", name+".test.yaml")))
	}
	writeFile(t, filepath.Join(dir, "tests", "single-key.test.yaml"), []byte("version: 1\npolicy: ../single-key.yaml\nfiles: {release.pub: keys/release.pub}\ntime: 2026-11-30T12:00:00Z\ncases:\n"+cases))
	return dir
}

func TestPolicyTest_SaysWhatFailsAndWhatIsBroken(t *testing.T) {
	const fails = "- {name: wanted, image: registry.example/a:bare, layout: images, expect: {decision: allow}}\n"
	const reason = "- {name: reason, image: registry.example/a:bare, layout: images, expect: {decision: deny, reason: no-rule}}\n"
	const broken = "- {name: gone, image: registry.example/a:none, layout: images, expect: {decision: allow}}\n"
	const good = "- {name: good, image: registry.example/a:signed, layout: images, expect: {decision: allow}}\n"
	c := newCLI(t)
	c.must("policy", "test", caseIn(t, good)).prints("passed", "good", "not tested", "rules[0].require[0]", "1 cases: 1 passed")
	c.run("policy", "test", "--require-coverage", caseIn(t, good)).exits(exitDenied)
	c.run("policy", "test", caseIn(t, good+fails+reason)).exits(exitDenied).
		prints("want allow, found deny (no-signature)", "want deny (no-rule), found deny (no-signature)", "3 cases: 1 passed, 2 failed, 0 broken")
	c.run("policy", "test", caseIn(t, fails+broken)).exits(exitUndecided).prints("broken", "gone", "none", "hint: ", "1 failed, 1 broken")
	c.run("policy", "test", t.TempDir()).exits(exitUndecided).says("no test cases", "hint: write a case")
	c.run("policy", "test", "--help", "x").exits(exitUndecided)
	c.run("policy", "test", caseIn(t, "- {name: x}")).exits(exitUndecided).says("line 6", "policy schema --of test")
	c.run("policy", "test").exits(exitUndecided)
	var out testedPolicies
	junit := filepath.Join(t.TempDir(), "junit.xml")
	c.run("policy", "test", "-o", "json", "--junit", junit, caseIn(t, good+fails+broken)).exits(exitUndecided).decode(&out)
	if len(out.Cases) != 3 || out.Cases[1].Status != policytest.StatusFailed || out.Cases[2].Hint == "" || out.Cases[0].Found.Decision != policytest.DecisionAllow {
		t.Errorf("%+v", out)
	}
	text, err := os.ReadFile(junit)
	must(t, err)
	var suite junitSuite
	must(t, xml.Unmarshal(text, &suite))
	if suite.Tests != 3 || suite.Failures != 1 || suite.Errors != 1 || suite.Cases[1].Failure == nil || suite.Cases[2].Error == nil {
		t.Errorf("%s", text)
	}
	other := writeFile(t, filepath.Join(t.TempDir(), "freeze.yaml"), []byte("version: 1\nrules:\n  - images: [\"**\"]\n    deny: true\n    reason: frozen\n"))
	c.run("policy", "test", "--policy", other, caseIn(t, good)).exits(exitDenied).prints("found deny (denied-by-rule)")
}

func TestPolicyTest_AnUnlinkedAuthorityBreaksItsCases(t *testing.T) {
	dir := caseIn(t, "- {name: x, image: registry.example/a:signed, layout: images, expect: {decision: allow}}")
	policy := filepath.Join(dir, "single-key.yaml")
	text, err := os.ReadFile(policy)
	must(t, err)
	writeFile(t, policy, bytes.Replace(text, []byte("files: [{signature: {by: release}}]"), []byte("identities: {ci: {authority: notation, settings: {}}}"), 1))
	newCLI(t).run("policy", "test", dir).exits(exitUndecided).prints("broken", "verify/notation", "hint: link the plug-in")
}

func TestPolicyDiff_SaysWhichDecisionsChange(t *testing.T) {
	keys := team(t)
	x := layoutTarget(t)
	signed := x.push("signed")
	x.push("unsigned")
	_, err := sign.Image(t.Context(), x.store, signed, sign.ImageOptions{}, keys["release"].signer)
	must(t, err)
	old := policyIn(t, "single-key.yaml", keys)
	warns := policyIn(t, "single-key.yaml", keys, "    require:", "    mode: warn\n    require:")
	other := policyIn(t, "single-key.yaml", keys, "release.pub", "builder.pub")
	c := newCLI(t)
	c.must("policy", "diff", old, old, x.tag("signed"), x.tag("unsigned")).prints("same", "no-signature")
	c.run("policy", "diff", old, warns, x.tag("signed"), x.tag("unsigned")).exits(exitDenied).prints("loosened", "same")
	c.run("policy", "diff", old, other, x.tag("signed")).exits(exitDenied).
		prints("tightened", "old  verified", "new  denied  no-trusted-signature", "not met by the new policy", "signature by release")
	c.run("policy", "diff", other, old, x.tag("signed")).exits(exitDenied).prints("loosened", "only the old policy lacks")
	c.run("policy", "diff", old, other, x.tag("none"), x.tag("signed")).exits(exitUndecided).prints("undecided", "hint: ", "tightened")
	c.run("policy", "diff", old, other).exits(exitUndecided)
	var out []changedImage
	c.run("policy", "diff", "-o", "json", old, other, x.tag("signed"), x.tag("none")).exits(exitUndecided).decode(&out)
	if len(out) != 2 || out[0].Effect != policytest.EffectTightened || len(out[0].Unmet) != 1 || out[0].Digest != x.at(signed) || out[1].Detail == "" {
		t.Errorf("%+v", out)
	}
}

func TestPolicyRecord_WritesACaseThatPasses(t *testing.T) {
	keys := team(t)
	x := registryTarget(t, registrytest.Options{})
	shipped(t, x, keys, "")
	policy := policyIn(t, "production.yaml", keys, "registry.example/team/**", x.repo.Name())
	dir := filepath.Join(filepath.Dir(policy), "tests")
	c := newCLI(t)
	c.must("policy", "record", "--policy", policy, "--dir", dir, "--name", "app", x.tag("v1")).prints("recorded", "app.test.yaml")
	c.run("policy", "record", "--policy", policy, "--dir", dir, "--name", "app", x.tag("v1")).exits(exitUndecided).says("nothing is overwritten")
	c.must("policy", "record", "-o", "json", "--policy", policy, "--dir", dir, "--name", "again", x.tag("v1")).prints(`"file": `, "again.test.yaml")
	c.must("policy", "test", dir).prints("2 cases: 2 passed")
	c.run("policy", "record", "--policy", policy, x.tag("v1")).exits(exitUndecided)
	c.run("policy", "record", "--policy", policy, "--dir", dir, "--name", "none", x.tag("none")).exits(exitUndecided).says("hint: ")
}
