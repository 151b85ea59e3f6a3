package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify"
)

// exemptingPolicy writes a policy that requires a signature and a bill of materials, and
// exempts a digest from the latter.
func exemptingPolicy(t *testing.T, k keyPair, digest name.Digest, until time.Time, more string) string {
	t.Helper()
	dir := t.TempDir()
	public, err := os.ReadFile(k.public)
	must(t, err)
	writeFile(t, filepath.Join(dir, "release.pub"), public)
	text := fmt.Sprintf(`version: 1
keys: {release: {file: release.pub}}
roles: {release: {keys: [release]}}
requirements: {bill: {attestation: {type: spdx, by: release}}}
rules:
  - images: ["**"]
    require: [{signature: {by: release}}, {use: bill}]
exemptions:
  - {images: ["**"], digests: [%q], requirement: bill, reason: the tool is broken, by: jane, until: %s}
%s`, digest.DigestStr(), until.UTC().Format(time.RFC3339), more)
	return writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(text))
}

func TestVerifyTellsOfExemptions(t *testing.T) {
	c, k, x := newCLI(t), newKey(t), layoutTarget(t)
	digest := x.push("v1")
	c.must("sign", "--key", k.private, x.tag("v1"))
	soon := exemptingPolicy(t, k, digest, time.Now().Add(3*24*time.Hour+time.Hour), "")
	c.must("verify", "--policy", soon, x.tag("v1")).prints("exempted", "exempt", "from bill", "ends in 3 days", "by jane", "the tool is broken", "no-attestation")
	var reports []verify.Report
	c.must("verify", "--policy", soon, "-o", "json", x.tag("v1")).decode(&reports)
	if r := reports[0]; r.Status != verify.StatusExempted || len(r.Exemptions) != 1 || r.Exemptions[0].Name != "bill" || r.ValidUntil.IsZero() {
		t.Errorf("%+v", r)
	}
	c.must("policy", "explain", soon, "registry.example/team/app").prints("exempt", "ends in 3 days", "by jane", digest.DigestStr())
	c.run("policy", "check", "--strict", soon).exits(exitUndecided).prints("ends-soon", "exemptions[0]")

	ended := exemptingPolicy(t, k, digest, time.Now().Add(-time.Hour), "")
	c.run("verify", "--policy", ended, x.tag("v1")).exits(exitDenied).prints("no-attestation", "the exemption by jane ended on")
	c.run("policy", "check", "--strict", ended).exits(exitUndecided).prints("ended", "exemptions[0]")
	late := exemptingPolicy(t, k, digest, time.Now().Add(91*24*time.Hour), "")
	c.run("policy", "check", late).exits(exitUndecided).says("exemptions[0].until", "90 days")
	c.run("verify", "--policy", late, x.tag("v1")).exits(exitUndecided)

	denied := exemptingPolicy(t, k, digest, time.Now().Add(time.Hour), fmt.Sprintf("denyDigests: [{digest: %q, reason: CVE-1}]\n", digest.DigestStr()))
	c.run("verify", "--policy", denied, x.tag("v1")).exits(exitDenied).prints(string(verify.ReasonDeniedDigest))
}

func TestVerifyAuditOnlyTellsAndDoesNotEnforce(t *testing.T) {
	c, k, x := newCLI(t), newKey(t), layoutTarget(t)
	x.push("v1")
	c.run("verify", "--key", k.public, x.tag("v1")).exits(exitDenied)
	c.must("verify", "--key", k.public, "--insecure-audit-only", x.tag("v1")).prints("denied", "no-signature").says("not enforced")
	var reports []verify.Report
	c.must("verify", "--key", k.public, "--insecure-audit-only", "-o", "json", x.tag("v1")).decode(&reports)
	if reports[0].Status != verify.StatusDenied {
		t.Errorf("%+v", reports[0])
	}
	// What could not be judged is not a denial.
	c.run("verify", "--key", k.public, "--insecure-audit-only", x.tag("none")).exits(exitUndecided)
	c.run("verify", "--key", k.public, "--insecure-audit-only", x.tag("v1"), x.tag("none")).exits(exitUndecided)

	file := writeFile(t, filepath.Join(t.TempDir(), "f"), []byte("text"))
	other := newKey(t)
	c.must("sign-blob", "--key", other.private, "--bundle", file+".bundle", file)
	c.run("verify-blob", "--key", k.public, "--bundle", file+".bundle", file).exits(exitDenied)
	c.must("verify-blob", "--key", k.public, "--bundle", file+".bundle", "--insecure-audit-only", file).prints("denied").says("not enforced")
}

func TestAttack_V1_ReportOfAnExemptImageIsNotOneOfAllMet(t *testing.T) {
	c, k, x := newCLI(t), newKey(t), layoutTarget(t)
	digest := x.push("v1")
	c.must("sign", "--key", k.private, x.tag("v1"))
	exempting := exemptingPolicy(t, k, digest, time.Now().Add(time.Hour), "")
	out := c.must("inspect", "--policy", exempting, "-o", "html", x.tag("v1"))
	out.prints("exempted</strong>", "an exemption stands for what is not met")
	if strings.Contains(out.stdout, "every requirement of the policy is met") {
		t.Error("it says that every requirement is met")
	}
}
