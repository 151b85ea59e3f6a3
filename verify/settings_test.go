package verify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

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

// A writer who pushes signatures that name no key must not be able to have so many keys
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
