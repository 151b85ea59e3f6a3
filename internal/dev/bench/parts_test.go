package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// parts are what the benchmarks of single parts work on.
type parts struct {
	digest   name.Digest
	bundle   []byte
	verifier *verify.Verifier
}

func newParts(b *testing.B, p attest.Predicate, require policy.Requirement) parts {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	pair, err := sign.Generate(b.Context(), sign.KeyOptions{Password: []byte("bench")})
	check(err)
	key, err := policy.ParsePublicKey(pair.PublicPEM)
	check(err)
	const hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	digest, err := name.NewDigest("registry.example/team/app@sha256:" + hex)
	check(err)
	s, err := attest.NewStatement(p, attest.Subject{Digest: map[string]string{"sha256": hex}})
	check(err)
	text, err := attest.Bundle(b.Context(), s, pair.Signer)
	check(err)
	v, err := verify.New(&policy.Policy{
		Version: 1, Keys: map[string]policy.Key{"key": {Public: key}}, Roles: map[string]policy.Role{"builder": {Keys: []string{"key"}}},
		Rules: []policy.Rule{{Images: []string{"**"}, Require: []policy.Requirement{require}}},
	}, verify.Options{})
	check(err)
	return parts{digest, text, v}
}

// judge alternates between a decision and a signature's check alone: what the machine
// does beside slows both. It reports how the medians compare.
func (p parts) judge(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256(p.bundle)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	var decisions, checks []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if _, err := p.verifier.Bundles(b.Context(), p.digest, p.bundle); err != nil {
			b.Fatal(err)
		}
		decided := time.Now()
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			b.Fatal("the signature is good")
		}
		decisions, checks = append(decisions, decided.Sub(began)), append(checks, time.Since(decided))
	}
	b.ReportMetric(float64(median(decisions))/float64(median(checks)), "times-ecdsa")
	b.ReportMetric(float64(median(decisions).Nanoseconds()), "ns/decision")
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

// What a bundle at hand costs that holds provenance.
func BenchmarkAttestationInMemory(b *testing.B) {
	newParts(b, provenanceOf(1), policy.Requirement{Attestation: &policy.AttestationRequirement{
		Type: "slsaprovenance", By: "builder", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{"https://ci.example/builder"}},
	}}).judge(b)
}

// What a bundle at hand costs that holds a signature.
func BenchmarkSignatureInMemory(b *testing.B) {
	newParts(b, signature{}, policy.Requirement{Signature: &policy.SignatureRequirement{By: "builder"}}).judge(b)
}

// signature is the predicate of a signature (cosign's sign/v1).
type signature struct{}

func (signature) PredicateType() string { return "https://sigstore.dev/cosign/sign/v1" }
