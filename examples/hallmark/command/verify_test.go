package command

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestExitCodesTellVerifiedDeniedAndUndecidedApart(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	c, k, other := newCLI(t), newKey(t), newKey(t)
	x.push("signed")
	x.push("unsigned")
	c.must("sign", "--key", k.private, x.tag("signed"))

	for _, test := range []struct {
		name   string
		images []string
		code   int
		want   []verify.Status
	}{
		{"verified", []string{x.tag("signed"), x.tag("signed")}, exitOK, []verify.Status{verify.StatusVerified, verify.StatusVerified}},
		{"denied", []string{x.tag("signed"), x.tag("unsigned")}, exitDenied, []verify.Status{verify.StatusVerified, verify.StatusDenied}},
		{"no such tag", []string{x.tag("none"), x.tag("signed")}, exitUndecided, []verify.Status{verify.StatusUndecided, verify.StatusVerified}},
		{"undecided outweighs denied", []string{x.tag("unsigned"), x.tag("none")}, exitUndecided, []verify.Status{verify.StatusDenied, verify.StatusUndecided}},
		{"in any order", []string{x.tag("none"), x.tag("unsigned")}, exitUndecided, []verify.Status{verify.StatusUndecided, verify.StatusDenied}},
		{"no reference", []string{x.tag("unsigned"), "NOT A REFERENCE"}, exitUndecided, []verify.Status{verify.StatusDenied, verify.StatusUndecided}},
		{"no layout", []string{layoutTarget(t).image + "/none:v1"}, exitUndecided, []verify.Status{verify.StatusUndecided}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCLI(t)
			var all []verify.Report
			c.run(append([]string{"verify", "-o", "json", "--key", k.public}, test.images...)...).exits(test.code).decode(&all)
			var got []verify.Status
			for i, v := range all {
				got = append(got, v.Status)
				if v.Image != test.images[i] {
					t.Errorf("%d: %s, want the order of the arguments", i, v.Image)
				}
				if (v.Status == verify.StatusVerified) != (v.Hint == "" && v.Detail == "") {
					t.Errorf("%s: hint %q, detail %q", v.Status, v.Hint, v.Detail)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			c.run(append([]string{"verify", "--key", k.public}, test.images...)...).exits(test.code)
		})
	}
	c.run("verify", "--key", other.public, x.tag("signed")).exits(exitDenied).prints("no-trusted-signature", "untrusted-key", "hint: see who signed it")
}

func TestWrongUseExitsWithTwoAndSaysWhatToDo(t *testing.T) {
	c, k := newCLI(t), newKey(t)
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "a command is missing"},
		{[]string{"verfy"}, `unknown command "verfy"`},
		{[]string{"verify"}, "requires at least 1 arg"},
		{[]string{"verify", "--kee"}, "unknown flag: --kee"},
		{[]string{"verify", "a/b:c"}, "--key is missing"},
		{[]string{"verify", "--key", k.public, "--threshold", "0", "a/b:c"}, "threshold 0"},
		{[]string{"verify", "--key", k.public, "--threshold", "2", "a/b:c"}, "threshold 2 with 1"},
		{[]string{"verify", "--key", k.public, "--key", k.public, "a/b:c"}, "the same key"},
		{[]string{"verify", "--key", k.private, "a/b:c"}, "this is a private key"},
		{[]string{"verify", "--key", k.public, "-a", "novalue", "a/b:c"}, "want KEY=VALUE"},
		{[]string{"verify", "--key", k.public, "--platform", "arm64", "a/b:c"}, "want OS/ARCH"},
		{[]string{"verify", "--key", k.public, "-o", "yaml", "a/b:c"}, "use text or json"},
		{[]string{"verify", "--key", k.public, "--timeout", "-1s", "a/b:c"}, "a duration above 0"},
		{[]string{"sign", "a/b:c"}, "--key is missing"},
		{[]string{"sign", "--key", k.public, "a/b:c"}, "this is a public key"},
		{[]string{"sign", "--key", k.private, "--format", "x", "a/b:c"}, "use one of bundle, sig, both"},
		{[]string{"sign", "--key", k.private, "-a", "a=1", "-a", "a=2", "a/b:c"}, "given twice"},
		{[]string{"copy", "a/b:c"}, "accepts 2 arg"},
		{[]string{"keygen", "--password", "x"}, "--password-file"},
		{[]string{"keygen", "--insecure-empty-password", "--out", t.TempDir() + "/k", "--algorithm", "dsa"}, "unknown algorithm"},
		{[]string{"verify", "--key", k.public + ".none", "a/b:c"}, k.public + ".none"},
		{[]string{"verify", "--key", k.public, "--insecure-http", "http://x", "a/b:c"}, "--insecure-http"},
	} {
		o := c.run(test.args...)
		o.exits(exitUndecided).says(test.says, "hint: ")
		if o.stdout != "" || strings.Contains(o.stderr, "Usage:") || strings.Count(o.stderr, test.says) != 1 {
			t.Errorf("%v: want one message and no more: %s%s", test.args, o.stdout, o.stderr)
		}
	}
}

func TestThresholdCountsDistinctKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, a, b := newCLI(t), newKey(t), newKey(t)
		x.push("v1")
		two := []string{"verify", "--key", a.public, "--key", b.public, "--threshold", "2", x.tag("v1")}
		c.must("sign", "--key", a.private, "--format", "both", x.tag("v1"))
		c.run(two...).exits(exitDenied).prints("threshold-not-met", "repeated-key", "hint: have the owners of the other keys sign it too")
		c.must("sign", "--key", b.private, x.tag("v1"))
		c.must(two...).prints(a.public, b.public)
	})
}

func TestWhatIsVerifiedIsPrintedByDigestWhateverTheTagDoesLater(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, k := newCLI(t), newKey(t)
		first := x.push("v1")
		c.must("sign", "--key", k.private, x.tag("v1")).prints(x.at(first))
		_, err := registrytest.PushImage(t.Context(), x.store, x.repo.Tag("v1"), registrytest.ImageOptions{Seed: "other"})
		must(t, err)
		c.run("verify", "--key", k.public, x.tag("v1")).exits(exitDenied)
		c.must("verify", "--key", k.public, x.at(first)).prints(x.at(first))
	})
}

func TestPlatformGivesTheDigestThatASignedIndexLists(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		c, k := newCLI(t), newKey(t)
		index, children := x.pushIndex("v1")
		x.push("single")
		c.must("sign", "--key", k.private, x.tag("v1"), x.tag("single"))

		var all []verify.Report
		c.must("verify", "-o", "json", "--key", k.public, "--platform", "linux/arm64", x.tag("v1")).decode(&all)
		if all[0].Digest != x.at(children[1]) || all[0].Index == nil || all[0].Index.Digest != x.at(index) || len(all[0].Keys) != 1 {
			t.Errorf("%+v", all[0])
		}
		c.must("verify", "--key", k.public, "--platform", "linux/arm64", x.tag("v1")).prints(x.at(children[1]), "of index "+index.DigestStr())
		c.run("verify", "--key", k.public, "--platform", "linux/s390x", x.tag("v1")).exits(exitDenied).prints("no-such-platform", "hint: ")
		c.run("verify", "--key", k.public, "--platform", "linux/arm64", x.tag("single")).exits(exitDenied).prints("not-an-index", "hint: ")
		c.run("verify", "--key", k.public, x.at(children[1])).exits(exitDenied)
	})
}

func TestAnnotationsAndRepositoryBindSignatures(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	c, k := newCLI(t), newKey(t)
	x.push("v1")
	c.must("sign", "--key", k.private, "-a", "env=prod", x.tag("v1"))
	c.must("verify", "--key", k.public, "-a", "env=prod", x.tag("v1"))
	c.run("verify", "--key", k.public, "-a", "env=dev", x.tag("v1")).exits(exitDenied).prints("missing-annotation")
	c.run("verify", "--key", k.public, "--same-repository", x.tag("v1")).exits(exitDenied).prints("wrong-repository")
	c.must("sign", "--key", k.private, "--format", "sig", x.tag("v1"))
	c.must("verify", "--key", k.public, "--same-repository", x.tag("v1"))
	elsewhere := strings.Replace(x.tag("v1"), "team/app", "team/copy", 1)
	c.must("copy", x.tag("v1"), elsewhere)
	c.must("verify", "--key", k.public, elsewhere)
	c.run("verify", "--key", k.public, "--same-repository", elsewhere).exits(exitDenied)
}

func TestManyImagesOfManyStoresAreVerifiedAtOnce(t *testing.T) {
	c, k := newCLI(t), newKey(t)
	a, b, r := layoutTarget(t), layoutTarget(t), registryTarget(t, registrytest.Options{})
	var images []string
	for i := range 30 {
		x := []target{a, b, r}[i%3]
		tag := fmt.Sprintf("v%d", i)
		x.push(tag)
		images = append(images, x.tag(tag))
	}
	c.must(append([]string{"sign", "--key", k.private}, images...)...)
	var all []verify.Report
	c.must(append([]string{"verify", "-o", "json", "--key", k.public}, append(images, images[2])...)...).decode(&all)
	for i, v := range all[:30] {
		if v.Image != images[i] || v.Status != verify.StatusVerified {
			t.Errorf("%d: %+v", i, v)
		}
	}
	all[30].JudgedAt, all[30].Requests = all[2].JudgedAt, all[2].Requests // each was judged by itself
	if !reflect.DeepEqual(all[30], all[2]) {
		t.Errorf("the same image again: %+v", all[30])
	}
}

func TestWhatCannotBeReadIsUndecidedAndSaysWhatToDo(t *testing.T) {
	k := newKey(t)
	for _, test := range []struct {
		name  string
		fault registrytest.Fault
		says  string
	}{
		{"unauthorized", registrytest.Fault{Do: registrytest.Status(401, "WWW-Authenticate", `Basic realm="x"`)}, "docker login 127.0.0.1:"},
		{"forbidden", registrytest.Fault{Do: registrytest.Status(403)}, "docker login 127.0.0.1:"},
		{"evidence unreadable", registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(403)}, "unreadable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := registryTarget(t, registrytest.Options{})
			x.push("v1")
			x.reg.Inject(test.fault)
			c := newCLI(t)
			c.run("verify", "--key", k.public, x.tag("v1")).exits(exitUndecided).prints("undecided", test.says, "hint: ")
			c.run("inspect", x.tag("v1")).exits(exitUndecided)
		})
	}
}

func TestInterruptedVerificationIsUndecided(t *testing.T) {
	x := layoutTarget(t)
	c, k := newCLI(t), newKey(t)
	x.push("v1")
	c.must("sign", "--key", k.private, x.tag("v1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.ctx = ctx
	c.run("verify", "--key", k.public, x.tag("v1")).exits(exitUndecided).prints("undecided")
	c.run("verify", "--timeout", "1ns", "--key", k.public, x.tag("v1")).exits(exitUndecided)
}

// The names in the JSON are an interface: a change here breaks scripts.
func TestJSONOfVerifyIsStable(t *testing.T) {
	x := layoutTarget(t)
	c, k := newCLI(t), newKey(t)
	digest := x.push("v1")
	c.must("sign", "--key", k.private, "-a", "env=prod", x.tag("v1"))
	got := c.must("verify", "-o", "json", "--key", k.public, x.tag("v1")).stdout
	var signed []signedImage
	c.must("sign", "-o", "json", "--key", k.private, "-a", "env=prod", x.tag("v1")).decode(&signed)
	_, evidence, _ := strings.Cut(signed[0].Signatures[0].Evidence, "@")
	by := []verify.Principal{{ID: k.id, Name: k.public, Evidence: evidence, Annotations: map[string]string{"env": "prod"}}}
	var reports []verify.Report
	must(t, json.Unmarshal([]byte(got), &reports))
	const first = "rules[0].require[0]"
	want, err := json.MarshalIndent([]any{orderedReport{
		Image: x.tag("v1"), Status: "verified", Digest: x.at(digest), Policy: reports[0].Policy, Rule: "**", JudgedAt: reports[0].JudgedAt,
		Requirements: []orderedMet{{first, "signature by signers", "signers", by}}, Keys: by,
		Evidence: []orderedEvidence{{"referrers", "bundle", evidence, k.id, first, "counted"}},
	}}, "", "  ")
	must(t, err)
	if got != string(want)+"\n" {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

type orderedReport struct {
	Image        string             `json:"image"`
	Status       string             `json:"status"`
	Digest       string             `json:"digest"`
	Policy       string             `json:"policy"`
	Rule         string             `json:"rule"`
	JudgedAt     time.Time          `json:"judgedAt"`
	Requirements []orderedMet       `json:"requirements"`
	Keys         []verify.Principal `json:"keys"`
	Evidence     []orderedEvidence  `json:"evidence"`
}

type orderedMet struct {
	Requirement string             `json:"requirement"`
	Title       string             `json:"title"`
	By          string             `json:"by"`
	Keys        []verify.Principal `json:"keys"`
}

type orderedEvidence struct {
	Place       string `json:"place"`
	Format      string `json:"format"`
	Manifest    string `json:"manifest"`
	KeyID       string `json:"keyId"`
	Requirement string `json:"requirement"`
	Reason      string `json:"reason"`
}

func TestHelpAmongOtherArgumentsVerifiesNothingAndSaysSo(t *testing.T) {
	k := newKey(t)
	for _, args := range [][]string{
		{"verify", "--key", k.public, "-h", "registry.example/app:v1"},
		{"verify", "--key", k.public, "registry.example/app:v1", "--help"},
		{"verify", "registry.example/app:v1", "-h"},
		{"verify-blob", "file", "--bundle", "b", "--key", k.public, "-h"},
	} {
		if o := newCLI(t).run(args...).exits(exitUndecided).says("nothing was verified"); o.stdout != "" {
			t.Errorf("%q: stdout %q", args, o.stdout)
		}
	}
	newCLI(t).run("verify", "--key", k.public, "--", "-h").exits(exitUndecided).prints("undecided")
	for _, args := range [][]string{{"verify", "-h"}, {"verify-blob", "--help"}, {"help", "verify"}} {
		newCLI(t).must(args...).prints("Examples:", " -- ")
	}
}
