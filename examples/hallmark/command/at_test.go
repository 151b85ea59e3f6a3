package command

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
)

// ended is a policy whose key counted in 2025 alone.
const ended = `version: 1
keys: {release: {file: release.pub, notBefore: 2025-01-01T00:00:00Z, notAfter: 2026-01-01T00:00:00Z}}
roles: {release: {keys: [release]}}
files: [{signature: {by: release}}]
rules: [{images: ["**"], require: [{signature: {by: release}}]}]
`

func TestVerifyAt_JudgesAsOfATimeAndSaysSo(t *testing.T) {
	x := layoutTarget(t)
	c, k := newCLI(t), newKey(t)
	x.push("v1")
	c.must("sign", "--key", k.private, x.tag("v1"))
	p := policyIn(t, "single-key.yaml", map[string]keyPair{"release": k})
	writeFile(t, p, []byte(ended))
	for at, want := range map[string]struct {
		code   int
		status verify.Status
	}{
		"2024-12-31T23:59:59Z":      {exitDenied, verify.StatusDenied},
		"2025-01-01T00:00:00Z":      {exitOK, verify.StatusVerified},
		"2025-12-31T23:59:59Z":      {exitOK, verify.StatusVerified},
		"2026-01-01T01:59:59+02:00": {exitOK, verify.StatusVerified},
		"2026-01-01T00:00:00Z":      {exitDenied, verify.StatusDenied},
	} {
		var all []verify.Report
		c.run("verify", "-o", "json", "--policy", p, "--at", at, x.tag("v1")).exits(want.code).says("as of "+at, "not as of now").decode(&all)
		asked, err := time.Parse(time.RFC3339, at)
		must(t, err)
		if r := all[0]; r.Status != want.status || !r.AsOf.Equal(asked) {
			t.Errorf("%s: %s as of %s", at, r.Status, r.AsOf)
		}
		c.run("verify", "--policy", p, "--at", at, x.tag("v1")).exits(want.code).prints("as of ", "not of now")
	}
	var today []verify.Report
	c.run("verify", "-o", "json", "--policy", p, x.tag("v1")).exits(exitDenied).decode(&today)
	if !today[0].AsOf.IsZero() {
		t.Errorf("a decision of today is as of %s", today[0].AsOf)
	}
}

func TestVerifyBlobAt_JudgesAsOfATime(t *testing.T) {
	c, k, dir := newCLI(t), newKey(t), t.TempDir()
	file, bundle := writeFile(t, filepath.Join(dir, "f"), []byte("file")), filepath.Join(dir, "b")
	c.must("sign-blob", "--key", k.private, "--bundle", bundle, file)
	p := policyIn(t, "single-key.yaml", map[string]keyPair{"release": k})
	writeFile(t, p, []byte(ended))
	c.must("verify-blob", "--policy", p, "--bundle", bundle, "--at", "2025-06-01T00:00:00Z", file).prints("verified", "as of 2025-06-01T00:00:00Z").says("not as of now")
	c.run("verify-blob", "--policy", p, "--bundle", bundle, file).exits(exitDenied)
}

func TestVerifyAt_TakesOnlyTimesThatMeanOneThing(t *testing.T) {
	c, k := newCLI(t), newKey(t)
	for _, at := range []string{
		"2026-01-31", "2026-01-31T12:00:00", "2026-01-31 12:00:00Z", "2026-1-31T12:00:00Z", "2026-01-31T1:00:00Z", "1700000000", "now", "yesterday", "-1h",
		"2026-02-30T00:00:00Z", "2026-01-31T12:00:00+25:00", "0001-01-01T00:00:00Z", "2026-01-31T12:00:00,5Z", " 2026-01-31T12:00:00Z", "2026-01-31T24:00:00Z",
	} {
		c.run("verify", "--key", k.public, "--at", at, "a/b:c").exits(exitUndecided).says("want date, time and zone")
		c.run("verify-blob", "--key", k.public, "--at", at, "--bundle", "b", "f").exits(exitUndecided).says("want date, time and zone")
	}
}
