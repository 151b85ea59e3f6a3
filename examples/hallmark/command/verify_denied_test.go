package command

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify"
)

// denyingPolicy writes a policy that denies digests.
func denyingPolicy(t *testing.T, k keyPair, digests ...name.Digest) string {
	t.Helper()
	dir := t.TempDir()
	public, err := os.ReadFile(k.public)
	must(t, err)
	writeFile(t, filepath.Join(dir, "release.pub"), public)
	text := "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\nrules:\n  - images: [\"**\"]\n    require: [{signature: {by: release}}]\ndenyDigests:\n"
	for _, d := range digests {
		text += fmt.Sprintf("  - {digest: %q, reason: CVE-1}\n", d.DigestStr())
	}
	return writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(text))
}

func TestAttack_P23_VerifyDeniesWhatWouldRun(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, k := newCLI(t), newKey(t)
		index, children := x.pushIndex("v1") // amd64 and arm64
		c.must("sign", "--key", k.private, x.tag("v1"))

		all := denyingPolicy(t, k, children...)
		c.run("verify", "--policy", all, x.tag("v1")).exits(exitDenied).prints("denied", string(verify.ReasonDeniedDigest), children[0].DigestStr(), "CVE-1")
		c.run("verify", "--policy", all, "--platform", "linux/arm64", x.tag("v1")).exits(exitDenied)

		one := denyingPolicy(t, k, children[0])
		c.run("verify", "--policy", one, "--platform", "linux/amd64", x.tag("v1")).exits(exitDenied).prints(string(verify.ReasonDeniedDigest))
		c.must("verify", "--policy", one, "--platform", "linux/arm64", x.tag("v1")).prints(x.at(children[1]))
		c.must("verify", "--policy", one, x.tag("v1")).prints("verified", index.DigestStr(), "denied  "+children[0].DigestStr(), "linux/amd64", "CVE-1")
		var reports []verify.Report
		c.must("verify", "-o", "json", "--policy", one, x.tag("v1")).decode(&reports)
		want := verify.DeniedChild{Digest: children[0].DigestStr(), Platform: "linux/amd64", Reason: "CVE-1"}
		if got := reports[0]; got.Status != verify.StatusVerified || len(got.DeniedChildren) != 1 || got.DeniedChildren[0] != want {
			t.Errorf("%+v", got)
		}
	})
}
