package command

import (
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

const reviewType = "https://acme.example/review/v1"

// reviewText has a member of each kind.
const reviewText = `{"approved":true,"count":1,"version":"1","state":"open","a=b":"x","url":"https://acme.example/?a=b","empty":"","quoted":"\"x\"","null":null,"list":["x",{"y":2.50}],"html":"<&>"}`

func TestVerifyType_JudgesAttestationsWithoutAPolicy(t *testing.T) {
	x := layoutTarget(t)
	c, k, other := newCLI(t), newKey(t), newKey(t)
	x.push("v1")
	file := writeFile(t, filepath.Join(t.TempDir(), "review.json"), []byte(reviewText))
	c.must("attest", "--key", k.private, "--type", reviewType, "--predicate", file, x.tag("v1"))
	for _, test := range []struct {
		where []string
		code  int
		want  verify.Reason
	}{
		{nil, exitOK, ""},
		{[]string{"/approved=true"}, exitOK, ""},
		{[]string{"/approved=false"}, exitDenied, verify.ReasonMember},
		{[]string{`/approved="true"`}, exitDenied, verify.ReasonMember},
		{[]string{"/count=1"}, exitOK, ""},
		{[]string{"/count=1.0"}, exitOK, ""},
		{[]string{`/count="1"`}, exitDenied, verify.ReasonMember},
		{[]string{"/version=1"}, exitDenied, verify.ReasonMember},
		{[]string{`/version="1"`}, exitOK, ""},
		{[]string{"/state=open", "/approved=true"}, exitOK, ""},
		{[]string{"/state=open", "/approved=false"}, exitDenied, verify.ReasonMember},
		{[]string{"/state=opened"}, exitDenied, verify.ReasonMember},
		{[]string{"/url=https://acme.example/?a=b"}, exitOK, ""},
		{[]string{"/empty="}, exitOK, ""},
		{[]string{`/quoted="\"x\""`}, exitOK, ""},
		{[]string{"/html=<&>"}, exitOK, ""},
		{[]string{"/list/0=x"}, exitOK, ""},
		{[]string{"/list/1/y=2.5"}, exitOK, ""},
		{[]string{"/missing=x"}, exitDenied, verify.ReasonMember},
		{[]string{"/null=x"}, exitDenied, verify.ReasonMember},
		{[]string{"/State=open"}, exitDenied, verify.ReasonPredicate},
		{[]string{"/state/x=open"}, exitDenied, verify.ReasonPredicate},
	} {
		args := []string{"verify", "-o", "json", "--key", k.public, "--type", reviewType}
		for _, w := range test.where {
			args = append(args, "--where", w)
		}
		var all []verify.Report
		o := c.run(append(args, x.tag("v1"))...).exits(test.code)
		o.decode(&all)
		if all[0].Reason != test.want {
			t.Errorf("%q: %s %s, want %s", test.where, all[0].Reason, all[0].Detail, test.want)
		}
		if warned := strings.Contains(o.stderr, "counts whatever it says"); warned != (test.where == nil) {
			t.Errorf("%q: %s", test.where, o.stderr)
		}
	}
	c.run("verify", "--key", k.public, x.tag("v1")).exits(exitDenied)
	c.run("verify", "--key", other.public, "--type", reviewType, x.tag("v1")).exits(exitDenied).prints("no-trusted-attestation")
	c.run("verify", "--key", k.public, "--type", reviewType+"x", x.tag("v1")).exits(exitDenied).prints("no-attestation")
	c.run("verify", "--key", k.public, "--key", other.public, "--threshold", "2", "--type", reviewType, x.tag("v1")).exits(exitDenied).prints("threshold-not-met")
}

func TestVerifyType_KnowsTheTypesWithConditions(t *testing.T) {
	x := layoutTarget(t)
	c, keys := newCLI(t), team(t)
	shipped(t, x, keys, "")
	builder, scanner := keys["builder"].public, keys["scanner"].public
	provenance := []string{"verify", "--key", builder, "--type", "slsaprovenance"}
	c.run(append(provenance, x.tag("v1"))...).exits(exitUndecided).says("builder")
	c.must(append(provenance, "--builder", "https://ci.example/builder", x.tag("v1"))...)
	c.must(append(provenance, "--builder", "https://ci.example/builder", "--where", "/runDetails/builder/id=https://ci.example/builder", x.tag("v1"))...)
	c.run(append(provenance, "--builder", "https://ci.example/other", x.tag("v1"))...).exits(exitDenied).prints(string(verify.ReasonBuilder))
	c.run(append(provenance, "--builder", "https://ci.example/builder", "--source", "git+https://git.example/other", x.tag("v1"))...).exits(exitDenied).prints(string(verify.ReasonSource))
	scan := []string{"verify", "--key", scanner, "--type", "vulns"}
	c.run(append(scan, x.tag("v1"))...).exits(exitUndecided).says("maxSeverity")
	c.must(append(scan, "--max-severity", "low", "--max-age", "24h", x.tag("v1"))...)
	c.run(append(scan, "--max-severity", "low", "--max-age", "24h", "--at", "2099-01-01T00:00:00Z", x.tag("v1"))...).exits(exitDenied).prints(string(verify.ReasonStale))
}

func TestVerifyType_RefusesWhatCannotBeMeant(t *testing.T) {
	c, k := newCLI(t), newKey(t)
	for says, args := range map[string][]string{
		"--type is missing":          {"--where", "/a=b"},
		"want POINTER=VALUE":         {"--type", reviewType, "--where", "a=b"},
		"such as /ticket":            {"--type", reviewType, "--where", "/a"},
		"not a string, number":       {"--type", reviewType, "--where", "/a=null"},
		"is not a string, number,":   {"--type", reviewType, "--where", `/a="x`},
		"JSON stands in":             {"--type", reviewType, "--where", "/a=[1]"},
		"looks like JSON":            {"--type", reviewType, "--where", `/a={"x":1}`},
		"not UTF-8":                  {"--type", reviewType, "--where", "/a=\xff"},
		"with different values":      {"--type", reviewType, "--where", "/a=1", "--where", "/a=2"},
		"a JSON pointer":             {"--type", reviewType, "--where", "/a~=1"},
		"needs a type":               {"--type", "nonsense"},
		"predicate type of":          {"--type", "https://sigstore.dev/cosign/sign/v1"},
		"needs a layout":             {"--type", "intoto"},
		"which are about signatures": {"--type", reviewType, "-a", "x=y"},
		"leave out --annotation":     {"--type", reviewType, "--same-repository"},
		"which type spdx does not":   {"--type", "spdx", "--builder", "https://ci.example"},
		"duration above 0":           {"--type", reviewType, "--max-age", "-1h"},
	} {
		c.run(append(append([]string{"verify", "--key", k.public}, args...), "a/b:c")...).exits(exitUndecided).says(says)
	}
	c.run("verify", "--policy", "p", "--type", reviewType, "a/b:c").exits(exitUndecided).says("--policy decides alone")
}

func TestVerifyBlobType_JudgesAttestationsAboutAFile(t *testing.T) {
	c, k, other, dir := newCLI(t), newKey(t), newKey(t), t.TempDir()
	file := writeFile(t, filepath.Join(dir, "f"), []byte("hello"))
	about := func(hex string) string {
		h, err := v1.NewHash("sha256:" + hex)
		must(t, err)
		p, err := predicate.Parse(reviewType, []byte(reviewText))
		must(t, err)
		s, err := attest.NewStatement(p, attest.Subject{Name: "f", Digest: map[string]string{"sha256": h.Hex}})
		must(t, err)
		text, err := attest.Bundle(t.Context(), s, k.signer)
		must(t, err)
		return writeFile(t, filepath.Join(dir, hex[:8]), text)
	}
	good, wrong := about("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), about(strings.Repeat("0", 64))
	judge := func(key keyPair, more ...string) outcome {
		return c.run(append(append([]string{"verify-blob", "--key", key.public}, more...), file)...)
	}
	judge(k, "--type", reviewType, "--bundle", good, "--where", "/approved=true", "--explain").exits(exitOK).prints("verified", "attestation "+reviewType, "counted")
	judge(k, "--type", reviewType, "--bundle", good, "--where", "/approved=false").exits(exitDenied).prints("/approved is true, the policy wants false")
	judge(k, "--type", reviewType, "--bundle", wrong).exits(exitDenied).prints("no-attestation")
	judge(other, "--type", reviewType, "--bundle", good).exits(exitDenied).prints("no-trusted-attestation")
	judge(k, "--bundle", good).exits(exitDenied).prints("no-trusted-signature")
	p := policyIn(t, "single-key.yaml", map[string]keyPair{"release": k}, "files: [{signature: {by: release}}]",
		"files: [{attestation: {type: "+reviewType+", by: release, where: [{pointer: /state, equals: open}]}}]")
	c.must("verify-blob", "--policy", p, "--bundle", good, file)
	c.run("verify-blob", "--policy", p, "--bundle", wrong, file).exits(exitDenied)
	c.must("verify-blob", "--policy", p, "--bundle", good, "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
}
