package verify_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

const approval = "https://acme.example/approval/v1"

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
