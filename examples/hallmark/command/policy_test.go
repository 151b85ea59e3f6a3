package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

const policyDir = "../../policy"

// policyIn copies an example policy to a directory with keys, and changes it.
func policyIn(t *testing.T, name string, keys map[string]keyPair, changes ...string) string {
	t.Helper()
	dir := t.TempDir()
	for role, k := range keys {
		pem, err := os.ReadFile(k.public)
		must(t, err)
		writeFile(t, filepath.Join(dir, role+".pub"), pem)
	}
	text, err := os.ReadFile(filepath.Join(policyDir, name))
	must(t, err)
	changed := strings.NewReplacer(changes...).Replace(string(text))
	return writeFile(t, filepath.Join(dir, name), []byte(changed))
}

func team(t *testing.T) map[string]keyPair {
	return map[string]keyPair{"release": newKey(t), "builder": newKey(t), "scanner": newKey(t)}
}

// here makes a policy about registry.example be about the layout's repository.
var here = []string{"registry.example/team/**", "layout.invalid/oci"}

func TestExamplePoliciesAreGood(t *testing.T) {
	keys := team(t)
	files, err := filepath.Glob(filepath.Join(policyDir, "*.yaml"))
	must(t, err)
	if len(files) != 3 {
		t.Fatalf("%q", files)
	}
	for _, f := range files {
		newCLI(t).must("policy", "check", policyIn(t, filepath.Base(f), keys)).prints("good", "sha256:")
	}
	production := policyIn(t, "production.yaml", keys)
	newCLI(t).must("policy", "explain", production, "registry.example/team/app:v1").
		prints("registry.example/team/**", "enforce", "a signature by release", "builder: https://ci.example/builder", "nothing worse than medium found", "does not run as root")
	newCLI(t).must("policy", "explain", production, "registry.example/team-evil/app").prints("denied", "no rule matches it")
	registry := policyIn(t, "registry.yaml", keys)
	newCLI(t).must("policy", "explain", registry, "registry.example/web/legacy").prints("denied", "retired")
	newCLI(t).must("policy", "explain", registry, "registry.example/base/go").prints("2 of platform-a, platform-b", "ends next", "keys.web", "days")
	newCLI(t).must("policy", "explain", "-o", "json", registry, "registry.example/base/go").prints(`"nextEnd": {`, `"daysToNextEnd": `)
	newCLI(t).must("policy", "explain", "-o", "json", registry, "registry.example/incoming/x").prints(`"mode": "warn"`)
}

func TestThePolicySchemaIsKeptInStepWithTheCode(t *testing.T) {
	for _, of := range []string{"policy", "test"} {
		published, err := os.ReadFile(filepath.Join(policyDir, of+".schema.json"))
		must(t, err)
		if got := newCLI(t).must("policy", "schema", "--of", of).stdout; got != string(published) {
			t.Errorf("%s.schema.json is not what 'hallmark policy schema --of %s' prints: write it again", of, of)
		}
	}
}

const cleanScan = `{"scanner":{"uri":"https://scanner.example","version":"1","db":{"uri":"https://db.example","lastUpdate":"TIME"},"result":[]},
"metadata":{"scanStartedOn":"TIME","scanFinishedOn":"TIME"}}`

// shipped makes an image that meets production.yaml, and attests what it needs but
// for what is left out.
func shipped(t *testing.T, x target, keys map[string]keyPair, leaveOut string) {
	t.Helper()
	shippedAt(t, x, keys, leaveOut, time.Now().UTC())
}

func shippedAt(t *testing.T, x target, keys map[string]keyPair, leaveOut string, now time.Time) {
	t.Helper()
	digest := x.pushApp("v1")
	state := func(by, kind, text string) {
		t.Helper()
		if leaveOut == kind {
			return
		}
		p, err := predicate.Parse(kind, []byte(strings.ReplaceAll(text, "TIME", now.Format(time.RFC3339))))
		must(t, err)
		_, err = attest.Image(t.Context(), x.store, digest, p, attest.Options{}, keys[by].signer)
		must(t, err)
	}
	state("builder", "slsaprovenance1", strings.Replace(provenanceText, `"runDetails":{`, `"runDetails":{"metadata":{"finishedOn":"TIME"},`, 1))
	state("builder", "cyclonedx", sbomText)
	state("scanner", "vulns", cleanScan)
	if leaveOut != "signature" {
		_, err := sign.Image(t.Context(), x.store, digest, sign.ImageOptions{}, keys["release"].signer)
		must(t, err)
	}
}

func TestProductionPolicyDeniesEachThingThatIsMissing(t *testing.T) {
	keys := team(t)
	policy := policyIn(t, "production.yaml", keys, here...)
	x := layoutTarget(t)
	shipped(t, x, keys, "")
	newCLI(t).must("verify", "--policy", policy, "--explain", x.tag("v1")).
		prints("verified", "met  signature by release", "met  attestation slsaprovenance by builder", "met  attestation vulns by scanner", "met  config of the image", "valid until")
	var reports []verify.Report
	newCLI(t).must("verify", "--policy", policy, "-o", "json", x.tag("v1")).decode(&reports)
	if v := reports[0]; len(v.Requirements) != 5 || v.ValidUntil.IsZero() || v.Rule != "layout.invalid/oci" {
		t.Errorf("%+v", v)
	}
	for missing, reason := range map[string]string{
		"signature": "no-signature", "slsaprovenance1": "no-attestation", "cyclonedx": "no-attestation", "vulns": "no-attestation",
	} {
		x := layoutTarget(t)
		shipped(t, x, keys, missing)
		newCLI(t).run("verify", "--policy", policy, x.tag("v1")).exits(exitDenied).prints("denied", reason)
	}
	// The image itself: the one that registrytest makes says nothing about its user.
	y := layoutTarget(t)
	y.push("v1")
	newCLI(t).run("verify", "--policy", policy, "--explain", y.tag("v1")).exits(exitDenied).prints("runs-as-root", "not met")
}

// What is printed is held to the schema by a test of internal/dev/house.
func TestReports_NothingInThemIsNull(t *testing.T) {
	keys := team(t)
	x := layoutTarget(t)
	shipped(t, x, keys, "")
	x.push("other")
	policy := policyIn(t, "production.yaml", keys, here...)
	for _, args := range [][]string{{"--policy", policy}, {"--key", keys["release"].public}, {"--key", keys["builder"].public}} {
		o := newCLI(t).run(append(append([]string{"verify", "-o", "json"}, args...), x.tag("v1"), x.tag("other"), x.tag("none"))...).exits(exitUndecided).says("3 images:")
		var all []verify.Report
		o.decode(&all)
		for _, v := range all {
			if !slices.Contains([]verify.Status{verify.StatusVerified, verify.StatusWarned, verify.StatusDenied, verify.StatusUndecided}, v.Status) {
				t.Errorf("status %q", v.Status)
			}
		}
		if strings.Contains(o.stdout, "null") {
			t.Errorf("a list or object is missing: %s", o.stdout)
		}
	}
}

func TestARuleThatWarnsIsVisible(t *testing.T) {
	keys := team(t)
	x := layoutTarget(t)
	x.push("v1")
	policy := policyIn(t, "registry.yaml", keys, "registry.example/incoming/**", "layout.invalid/oci")
	newCLI(t).must("verify", "--policy", policy, x.tag("v1")).prints("warned", "no-signature")
	newCLI(t).run("verify", "--policy", policy, "--key", keys["release"].public, x.tag("v1")).exits(exitUndecided).says("--policy decides alone")
	newCLI(t).run("policy").exits(exitUndecided)
	newCLI(t).run("policy", "schema", "--of", "nothing").exits(exitUndecided).says("--of")
	newCLI(t).run("policy", "explain", policy, "::").exits(exitUndecided)
	bad := policyIn(t, "single-key.yaml", keys, "require:", "requires:")
	newCLI(t).run("policy", "check", bad).exits(exitUndecided).says("line 10, column 5", "requires", "policy check")
}

func TestAFreezeIsAGoodPolicy(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	freeze := writeFile(t, filepath.Join(t.TempDir(), "freeze.yaml"), []byte("version: 1\nrules:\n  - images: [\"**\"]\n    deny: true\n    reason: frozen\n"))
	newCLI(t).must("policy", "check", freeze).prints("good", "sha256:")
	newCLI(t).must("policy", "explain", freeze, "registry.example/team/app").prints("denied", "frozen")
	newCLI(t).run("verify", "--policy", freeze, x.tag("v1")).exits(exitDenied).prints("denied", "denied-by-rule", "frozen")
}

func TestATypeWithoutConditionsMustBeMeant(t *testing.T) {
	keys := team(t)
	const signature = "      - signature: {by: release}"
	approval := func(more string) string {
		return policyIn(t, "single-key.yaml", keys, signature, "      - attestation: {type: https://acme.example/approval/v1, by: release"+more+"}")
	}
	newCLI(t).run("policy", "check", approval("")).exits(exitUndecided).says("line 11, column 9", "acceptAnyContent: true")
	meant := approval(", acceptAnyContent: true")
	newCLI(t).must("policy", "check", meant).prints("good")
	newCLI(t).must("policy", "explain", meant, "registry.example/team/app").prints("whatever it says")
}

func TestPolicyCheckTellsWhatIsDoubtful(t *testing.T) {
	keys := team(t)
	doubtful := policyIn(t, "production.yaml", keys, "{file: release.pub}", "{file: release.pub, notAfter: 2020-01-01T00:00:00Z}")
	c := newCLI(t)
	c.must("policy", "check", doubtful).prints("good", "ended", doubtful+":", "keys.release ended on 2020-01-01", "unmeetable", "0 of its members count")
	c.run("policy", "check", "--strict", doubtful).exits(exitUndecided).prints("ended").says("findings, and --strict allows none")
	c.must("policy", "check", "-o", "json", doubtful).prints(`"kind": "ended"`, `"path": "keys.release"`, `"line": `, `"ends": "2020-01-01T00:00:00Z"`)
	c.must("policy", "check", "--strict", policyIn(t, "single-key.yaml", keys)).prints("good")
}
