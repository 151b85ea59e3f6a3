package verify_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// explained is what a policy says of a repository.
func explained(t *testing.T, p *policy.Policy, o verify.Options, repository string) *verify.Explanation {
	t.Helper()
	v, err := verify.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	return v.Explain(repo)
}

// requiring is the policy of one key, with one requirement.
func requiring(t *testing.T, q policy.Requirement) *policy.Policy {
	p := policy.Signatures{Keys: []policy.PublicKey{newPerson(t).key}, Threshold: 1}.Policy()
	p.Builders = map[string]int{someBuilder: 3}
	p.Rules[0].Require = []policy.Requirement{q}
	return p
}

// Each condition of a requirement is told, by its value.
func TestExplanationsTellEveryConditionOfAnAttestation(t *testing.T) {
	day := policy.Duration(24 * time.Hour)
	until := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for label, c := range map[string]struct {
		q    policy.AttestationRequirement
		want []string
	}{
		"provenance": {
			policy.AttestationRequirement{Type: "slsaprovenance", MaxAge: day, ProvenanceConditions: policy.ProvenanceConditions{
				Builder: []string{someBuilder}, MinLevel: 3, Source: []string{"git+https://git.example/a", "git+https://git.example/b"}, Ref: []string{"refs/heads/main"},
				Commit: []string{someCommit}, BuildType: []string{"https://ci.example/v1"}, Parameters: map[string]any{"target": "app", "n": 1},
				AbsentParameters: []string{"debug", "unsafe"}, KnownParameters: []string{"x"}, OnlyKnownParameters: true, BuiltAfter: until,
			}},
			[]string{
				"not older than 24h0m0s", "builder: " + someBuilder, "builder trusted to reach SLSA level 3", "source: git+https://git.example/a or git+https://git.example/b",
				"ref: refs/heads/main", "commit: " + someCommit, "build type: https://ci.example/v1", "external parameter n is 1", "external parameter target is app",
				"no external parameter debug or unsafe", "no other external parameters than n, target, x", "built after 2026-12-01T00:00:00Z",
			},
		},
		"a clean scan": {
			policy.AttestationRequirement{Type: "vuln", ScanConditions: policy.ScanConditions{MaxSeverity: "none"}},
			[]string{"nothing found"},
		},
		"a scan": {
			policy.AttestationRequirement{Type: "vulns", ScanConditions: policy.ScanConditions{
				MaxSeverity: "low", Accept: []policy.AcceptedVulnerability{{ID: "CVE-2026-0001", Until: until, Reason: "not reachable"}}, VEXBy: "signers", VEXMaxAge: day,
			}},
			[]string{
				"nothing worse than low found", "but for CVE-2026-0001 until 2026-12-01T00:00:00Z: not reachable",
				"but for what OpenVEX documents by signers call not_affected or fixed", "OpenVEX statements not older than 24h0m0s",
			},
		},
		"a bill of materials": {
			policy.AttestationRequirement{Type: "spdx", DocumentConditions: policy.DocumentConditions{DenyPackages: []string{"pkg:npm/a", "b"}, DenyLicenses: []string{"MIT"}}},
			[]string{"without the package: pkg:npm/a or b", "without the licence: MIT"},
		},
		"tests": {
			policy.AttestationRequirement{Type: "testresult", DocumentConditions: policy.DocumentConditions{Result: []string{"PASSED", "WARNED"}}},
			[]string{"result: PASSED or WARNED"},
		},
		"a summary": {
			policy.AttestationRequirement{Type: "vsa", VSAConditions: policy.VSAConditions{
				Verifier: []string{"https://v.example"}, Resource: []string{"oci://r.example/x"}, VerifiedLevels: []string{"SLSA_BUILD_LEVEL_2", "OWN"},
				PolicyURI: "https://p.example", PolicyDigest: "sha256:" + hex64(1),
			}},
			[]string{
				"verifier: https://v.example", "resource: oci://r.example/x", "reaches SLSA_BUILD_LEVEL_2 and OWN",
				"by the policy https://p.example", "by the policy sha256:" + hex64(1),
			},
		},
		"a layout": {
			policy.AttestationRequirement{Type: "intoto", LinkConditions: policy.LinkConditions{Layout: "layout.json", LayoutEnvelope: oneStep(t, newPerson(t), newPerson(t))}},
			[]string{"its links complete the layout layout.json"},
		},
	} {
		c.q.By = "signers"
		e := explained(t, requiring(t, policy.Requirement{Attestation: &c.q}), verify.Options{}, "registry.example/team/app").Requirements[0]
		if want := "an attestation of type " + c.q.Type + " by signers: key 0"; e.Text != want || e.Requirement != "rules[0].require[0]" {
			t.Errorf("%s: %q at %s, want %q", label, e.Text, e.Requirement, want)
		}
		if !slices.Equal(e.Conditions, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", label, e.Conditions, c.want)
		}
	}
}

func TestExplanationsTellEveryConditionOfTheImageAndItsSignature(t *testing.T) {
	for label, c := range map[string]struct {
		q    policy.Requirement
		text string
		want []string
	}{
		"image": {
			policy.Requirement{Config: &policy.ConfigRequirement{
				NonRoot: true, NoSecrets: true, NoPrivilegedPorts: true, CreatedWithin: policy.Duration(time.Hour), BaseImages: []string{"r.example/base/**", "sha256:" + hex64(1)},
				Platforms: []string{"linux/amd64", "linux/arm64/v8"}, Labels: map[string]string{"b": "2", "a": "1"}, Annotations: map[string]string{"c": "3"}, MinVersion: "1.2.3",
			}},
			"of the image itself",
			[]string{
				"does not run as root", "holds nothing that looks like a secret in its config", "exposes no port below 1024", "created within 1h0m0s",
				"base image: r.example/base/** or sha256:" + hex64(1), "platform: linux/amd64 or linux/arm64/v8", "label a=1", "label b=2", "annotation c=3", "version 1.2.3 or higher",
			},
		},
		"signature": {
			policy.Requirement{Signature: &policy.SignatureRequirement{By: "signers", Annotations: map[string]string{"b": "2", "a": "1"}, SameRepository: true}},
			"a signature by signers: key 0",
			[]string{"with the annotation a=1", "with the annotation b=2", "made for this repository"},
		},
	} {
		e := explained(t, requiring(t, c.q), verify.Options{}, "registry.example/team/app").Requirements[0]
		if e.Text != c.text || !slices.Equal(e.Conditions, c.want) {
			t.Errorf("%s: %q\ngot  %q\nwant %q", label, e.Text, e.Conditions, c.want)
		}
	}
}

func TestExplanationsTellUntilWhenKeysCount(t *testing.T) {
	linked := map[string]policy.Authority{"house": newNotary(t)}
	for key, want := range map[string]string{
		"{file: a.pub}": "1 of a, b, c",
		"{file: a.pub, notAfter: 2026-12-01T00:00:00Z}":                    "1 of a (until 2026-12-01T00:00:00Z), b, c",
		"{file: a.pub, logged: true}":                                      "1 of a (logged), b, c",
		"{file: a.pub, revoked: 2026-05-01T00:00:00Z}":                     "1 of a (revoked), b, c",
		"{file: a.pub, revoked: 2026-05-01T00:00:00Z, standsBefore: true}": "1 of a (revoked; what was seen before 2026-05-01T00:00:00Z stands), b, c",
	} {
		text := strings.NewReplacer("{file: a.pub}", key, "release: {keys: [a]}", "release: {keys: [a, b, c], threshold: 1}", "roles:", "timestamps: {notary: {authority: house}}\nroles:").Replace(policyText)
		p, err := policy.Load(written(t, text, newPerson(t), newPerson(t), newPerson(t)), policy.ParseOptions{Authorities: linked})
		if err != nil {
			t.Fatal(err)
		}
		e := explained(t, p, verify.Options{Authorities: linked}, "registry.example/team/app")
		if got := e.Requirements[0].Text; got != "a signature by release: "+want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestExplanationsTellWhatEndsNext(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	p := requiring(t, policy.Requirement{Config: &policy.ConfigRequirement{NonRoot: true}})
	o := verify.Options{Now: func() time.Time { return now }}
	if e := explained(t, p, o, "registry.example/app"); e.NextEnd != nil || e.Days != 0 {
		t.Errorf("%+v", e)
	}
	p.Expires = now.Add(73 * time.Hour)
	if e := explained(t, p, o, "registry.example/app"); e.NextEnd == nil || e.NextEnd.Path != "expires" || e.Days != 3 {
		t.Errorf("%+v", e)
	}
}

func TestExplanationsAreOfTheRuleThatDecides(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	p := loaded(t, strings.Replace(policyText, signatureRequired, "anyOf: [{signature: {by: release}}, {allOf: [{signature: {by: pair}}, {config: {nonRoot: true}}]}]", 1)+
		"  - {images: [registry.example/team/old/**], deny: true, reason: retired}\n"+
		"  - {images: [registry.example/team/new/**], mode: warn, require: [{signature: {by: pair}}]}\n", people...)
	for repository, want := range map[string]verify.Explanation{
		"registry.example/other":        {},
		"registry.example/team/app":     {Rule: "registry.example/team/**", Mode: policy.ModeEnforce},
		"registry.example/team/old/app": {Rule: "registry.example/team/old/**", Mode: "deny", Reason: "retired"},
		"registry.example/team/new/app": {Rule: "registry.example/team/new/**", Mode: policy.ModeWarn},
	} {
		e := explained(t, p, verify.Options{}, repository)
		if e.Repository != repository || e.Rule != want.Rule || e.Mode != want.Mode || e.Reason != want.Reason {
			t.Errorf("%+v, want %+v", e, want)
		}
	}
	either := explained(t, p, verify.Options{}, "registry.example/team/app").Requirements[0]
	if either.Text != "any of these" || len(either.Of) != 2 || either.Of[1].Text != "all of these" || len(either.Of[1].Of) != 2 || either.Of[1].Of[1].Requirement != "rules[0].require[0].anyOf[1].allOf[1]" {
		t.Errorf("%+v", either)
	}
}

func TestLogsTellOfWarningsAndWhenADecisionEnds(t *testing.T) {
	w, people := newWorld(t), []person{newPerson(t), newPerson(t), newPerson(t)}
	text := strings.Replace(policyText, "    require:", "    mode: warn\n    require:", 1) + "expires: 2026-12-01T00:00:00Z\n"
	res, err := w.judged(text, now, people...)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("judged", "result", res)
	for _, want := range []string{`"status":"warned"`, `"validUntil":"2026-12-01T00:00:00Z"`, `"reason":"no-signature"`, `"unmet":["rules[0].require[0]`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestADecisionWithoutADigestIsToldByItsReference(t *testing.T) {
	e := &verify.Error{Reason: verify.ReasonNoRule, Reference: "registry.example/team/app:v1", Detail: "nothing is known of it"}
	if got, want := e.Error(), "registry.example/team/app:v1: denied: nothing is known of it (no-rule)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	text, err := e.MarshalJSON()
	if err != nil || strings.Contains(string(text), `"digest"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestExplanationsTellWhatFilesNeed(t *testing.T) {
	p := policy.Signatures{Keys: []policy.PublicKey{newPerson(t).key}, Threshold: 1}.Policy()
	p.Files = []policy.Requirement{{AnyOf: []policy.Requirement{
		{Signature: &policy.SignatureRequirement{By: "signers"}}, {Attestation: &policy.AttestationRequirement{Type: "spdx", By: "signers"}},
	}}}
	p.Rules[0].Images = []string{"registry.example/team/**"}
	for _, repository := range []string{"registry.example/team/app", "registry.example/other"} {
		e := explained(t, p, verify.Options{}, repository)
		if len(e.Files) != 1 || e.Files[0].Requirement != "files[0]" || e.Files[0].Text != "any of these" || len(e.Files[0].Of) != 2 || !strings.Contains(e.Files[0].Of[1].Text, "an attestation of type spdx") {
			t.Errorf("%s: %+v", repository, e.Files)
		}
	}
	p.Files = nil
	if e := explained(t, p, verify.Options{}, "registry.example/team/app"); e.Files != nil {
		t.Errorf("%+v", e.Files)
	}
}
