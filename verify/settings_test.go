package verify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What is written in a policy and would say nothing, or could never be met, is a
// mistake of whoever wrote it.
func TestAttack_T1_SettingsThatSayNothingOrCannotBeMetAreRefused(t *testing.T) {
	provenance := func(more string) string {
		return "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]" + more + "}"
	}
	for label, c := range map[string]struct{ require, more, says string }{
		"any ref, or none":                   {require: provenance(", ref: []"), says: "ref"},
		"any source, or none":                {require: provenance(", source: []"), says: "source"},
		"no parameters":                      {require: provenance(", parameters: {}"), says: "parameters"},
		"any base, or none":                  {require: "config: {nonRoot: true, baseImages: []}", says: "baseImages"},
		"any platform, or none":              {require: "config: {nonRoot: true, platforms: []}", says: "platforms"},
		"any result, or none":                {require: "attestation: {type: testresult, by: builder, result: []}", says: "result"},
		"no package":                         {require: "attestation: {type: spdx, by: builder, denyPackages: []}", says: "denyPackages"},
		"known parameters alone":             {require: provenance(", knownParameters: [a]"), says: "onlyKnownParameters"},
		"known and absent":                   {require: provenance(", onlyKnownParameters: true, knownParameters: [a], absentParameters: [a]"), says: "known and to be absent"},
		"a level that no builder reaches":    {require: provenance(", minLevel: 3"), more: "builders: {\"https://other.example\": 3}\n", says: "none of its builders"},
		"a signature as attestation":         {require: "attestation: {type: \"" + intoto.PredicateSignature + "\", by: builder}", says: "require a signature"},
		"a level that no summary reaches":    {require: "attestation: {type: vsa, by: builder, verifier: [\"https://v.example\"], verifiedLevels: [SLSA_LEVEL_3x]}", says: "SLSA_BUILD_LEVEL_3"},
		"bills of a type that is none":       {require: "attestation: {type: \"https://cyclonedx.org/bom/1.6\", by: builder, denyPackages: [x]}", says: "denyPackages"},
		"SPDX of a type that is none":        {require: "attestation: {type: \"https://spdx.dev/Document-2.3\", by: builder, denyLicenses: [MIT]}", says: "denyLicenses"},
		"a package with its version":         {require: "attestation: {type: spdx, by: builder, denyPackages: [\"pkg:npm/left-pad@1.3.0\"]}", says: "without version"},
		"a package with qualifiers":          {require: "attestation: {type: spdx, by: builder, denyPackages: [\"pkg:npm/left-pad?x=y\"]}", says: "without version"},
		"a package without a name":           {require: "attestation: {type: spdx, by: builder, denyPackages: [\"\"]}", says: "denyPackages"},
		"a licence with a plus":              {require: "attestation: {type: spdx, by: builder, denyLicenses: [GPL-2.0+]}", says: "SPDX identifier"},
		"a licence in words":                 {require: "attestation: {type: spdx, by: builder, denyLicenses: [\"GNU General Public License v3\"]}", says: "SPDX identifier"},
		"an age of VEX that nobody believes": {require: "attestation: {type: vulns, by: builder, maxSeverity: low, vexMaxAge: 1h}", says: "vexMaxAge"},
		"files in a repository":              {require: signatureRequired, more: "files: {by: release, sameRepository: true}\n", says: "sameRepository"},
		"the threshold is 0":                 {require: signatureRequired, more: "roles: {release: {keys: [a], threshold: 0}}\n", says: "threshold is 0"},
		"revoked since the beginning":        {require: signatureRequired, more: "keys: {a: {file: a.pub, revoked: 0001-01-01T00:00:00Z}}\n", says: "revoked"},
		"ended before the beginning":         {require: signatureRequired, more: "expires: 0001-01-01T00:00:00Z\n", says: "expires"},
	} {
		text := strings.Replace(policyText, signatureRequired, c.require, 1)
		if field, _, _ := strings.Cut(c.more, ":"); field == "roles" || field == "keys" {
			text = without(text, field)
		}
		_, err := policy.Load(written(t, text+c.more, newPerson(t), newPerson(t), newPerson(t)), policy.ParseOptions{})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q with its line", label, err, c.says)
		}
	}
}

// without leaves a field of a policy out.
func without(text, field string) string {
	var kept []string
	skip := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			skip = strings.HasPrefix(line, field+":")
		}
		if !skip {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// The rule of a repository is found however the reference spells its registry, and
// what it denies is denied.
func TestAttack_R9_NoSpellingOfARegistryEscapesItsRule(t *testing.T) {
	p := loaded(t, strings.Replace(policyText, "[registry.example/team/**]", `["**"]`, 1)+
		"  - images: [\"registry.example/bad/**\", \"docker.io/library/**\"]\n    deny: true\n    reason: banned\n", newPerson(t), newPerson(t), newPerson(t))
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for _, s := range []string{"registry.example/bad/x", "REGISTRY.example/bad/x", "registry.example:443/bad/x", "registry.example./bad/x", "nginx", "registry-1.docker.io/library/nginx"} {
		repo, err := name.NewRepository(s)
		if err != nil {
			continue // no name at all
		}
		res, err := v.Image(context.Background(), w.store, repo.Digest(w.image.DigestStr()))
		t.Log(repo)
		isDenied(t, res, err, verify.ReasonDeniedByRule)
	}
}

func TestLaterChangesToAPolicyDoNotReachItsVerifier(t *testing.T) {
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	state(t, w, w.image, provenanceBy("https://evil.example/builder"), c)
	p := loaded(t, strings.Replace(policyText, signatureRequired, `allOf: [{attestation: {type: slsaprovenance, by: builder, builder: ["https://ci.example/builder"], parameters: {target: app}}}]`, 1), a, b, c)
	v, err := verify.New(p, verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	q := p.Rules[0].Require[0].AllOf[0].Attestation
	q.Builder[0] = "https://evil.example/builder"
	q.Parameters["target"] = "other"
	*q = policy.AttestationRequirement{Type: "slsaprovenance", By: "builder", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{"https://evil.example/builder"}}}
	res, err := v.Image(context.Background(), w.store, w.image)
	isDenied(t, res, err, verify.ReasonBuilder)
}

// Whoever pushes signatures that name no key must not be able to have so many keys
// tried that those which count are not.
func TestAttack_E9_KeysThatCannotCountUseUpNoChecks(t *testing.T) {
	w := newWorld(t)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	for i := range 400 {
		team := fmt.Sprintf("team-%d", i)
		p.Keys[team] = policy.Key{Public: newPerson(t).key}
		p.Roles[team] = policy.Role{Keys: []string{team}}
		p.Rules = append(p.Rules, policy.Rule{
			Images: []string{"registry.example/" + team + "/**"}, Require: []policy.Requirement{{Signature: &policy.SignatureRequirement{By: team}}},
		})
	}
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stranger := newPerson(t)
	for i := range 60 {
		w.attach(w.image, w.simple(payloadFor(fmt.Sprintf("x/%d", i), w.image.DigestStr()), stranger))
	}
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	if _, err := v.Image(context.Background(), w.store, w.image); err != nil {
		t.Errorf("%.300v", err)
	}
}

// An image to which only attestations are attached has no signature.
func TestStrangersAttestationsAreNotRejectedSignatures(t *testing.T) {
	w := newWorld(t)
	state(t, w, w.image, provenanceBy(someBuilder), newPerson(t))
	res, err := w.judged(policyText, now, newPerson(t), newPerson(t), newPerson(t))
	isDenied(t, res, err, verify.ReasonNoSignature, verify.ReasonUntrustedKey)
	w.sign(w.image, sign.ImageOptions{}, newPerson(t))
	res, err = w.judged(policyText, now, newPerson(t), newPerson(t), newPerson(t))
	isDenied(t, res, err, verify.ReasonNoTrustedSignature)
}

// Of several statements that do not do, the same is told in every order.
func TestTheReasonToldDoesNotDependOnTheOrderOfEvidence(t *testing.T) {
	x := newVEXWorld(t, ", maxAge: 25h")
	fresh, old := x.bundled(scanWith("high", recently), x.c), x.bundled(scanWith("low", "2026-01-01T00:00:00Z"), x.c)
	for _, given := range [][][]byte{{fresh, old}, {old, fresh}} {
		res, err := x.v.Bundles(context.Background(), x.image, given...)
		isDenied(t, res, err, verify.ReasonVulnerable)
	}
}
