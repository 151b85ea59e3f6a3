package verify_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const approval = "https://acme.example/approval/v1"

func TestAttack_E23_ATypeWithoutConditionsIsRefused(t *testing.T) {
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	parse := func(requirement string) error {
		_, err := policy.Load(written(t, strings.Replace(policyText, signatureRequired, requirement, 1), a, b, c), policy.ParseOptions{})
		return err
	}
	for _, kind := range []string{
		approval, "custom", "release", "link", "link03", predicate.TypeCustom, predicate.TypeLink, predicate.TypeRelease, approval + "/",
		"https://slsa.dev/verification_summary/v0.2", "https://slsa.dev/provenance/v0.1", "https://in-toto.io/attestation/test-result/v0.2", "https://cyclonedx.org/bomb",
	} {
		for _, more := range []string{"", ", acceptAnyContent: false"} {
			err := parse("attestation: {type: " + kind + ", by: builder" + more + "}")
			if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "line 13, column") || !strings.Contains(err.Error(), "acceptAnyContent: true") {
				t.Errorf("%s%s: %v", kind, more, err)
			}
		}
		if err := parse("attestation: {type: " + kind + ", by: builder, acceptAnyContent: true}"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := parse("anyOf: [{signature: {by: release}}, {allOf: [{attestation: {type: " + kind + ", by: builder}}]}]"); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s, nested: %v", kind, err)
		}
	}
	// Where there are conditions, it would say that they are not kept.
	for _, requirement := range []string{
		"type: slsaprovenance, builder: [https://ci.example]", "type: vuln, maxSeverity: low", "type: vulns, maxSeverity: low", "type: spdx", "type: cyclonedx",
		"type: testresult", "type: vsa, verifier: [https://v.example]", "type: openvex", "type: https://spdx.dev/Document/v2.3",
	} {
		if err := parse("attestation: {by: builder, " + requirement + "}"); err != nil {
			t.Errorf("%s: %v", requirement, err)
		}
		err := parse("attestation: {by: builder, acceptAnyContent: true, " + requirement + "}")
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "has acceptAnyContent, which type") {
			t.Errorf("%s: %v", requirement, err)
		}
	}
	for _, q := range []policy.AttestationRequirement{{Type: approval, By: "builder"}, {Type: predicate.TypeRelease, By: "builder"}} {
		p := loaded(t, policyText, a, b, c)
		p.Rules[0].Require = []policy.Requirement{{Attestation: &q}}
		if _, err := verify.New(p, verify.Options{}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s, in Go: %v", q.Type, err)
		}
	}
}

func TestAttack_E23_OnlyAcceptAnyContentIsMetByAnything(t *testing.T) {
	const any = ", by: builder, acceptAnyContent: true}"
	for label, c := range map[string]struct {
		require string
		s       says
		reason  verify.Reason
	}{
		"approval":             {"attestation: {type: " + approval + any, says{approval, `{"approved":false}`}, ""},
		"release of any form":  {"attestation: {type: release" + any, says{predicate.TypeRelease, `{"purl":7}`}, ""},
		"another type":         {"attestation: {type: " + approval + any, says{approval + "/v2", `{}`}, verify.ReasonNoAttestation},
		"test result":          {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":"FAILED","configuration":[]}`}, verify.ReasonTests},
		"test result, warned":  {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":"WARNED","configuration":[]}`}, verify.ReasonTests},
		"test result, unheard": {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":"passed","configuration":[]}`}, verify.ReasonPredicate},
		"vsa":                  {vsaRequired(""), vsa(`"PASSED"`, `"FAILED"`, `["SLSA_BUILD_LEVEL_3"]`, `["FAILED"]`), verify.ReasonVerificationFailed},
		"vsa, contradicting":   {vsaRequired(""), vsa(`["SLSA_BUILD_LEVEL_3"]`, `["FAILED"]`), verify.ReasonPredicate},
	} {
		_, err := required(t, c.require, c.s)
		t.Log(label, err)
		wantReason(t, err, c.reason)
	}
}
