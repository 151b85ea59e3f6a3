package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// stating is a bundle with a statement by a person about subjects.
func stating(t *testing.T, s says, subjects string, by person) []byte {
	t.Helper()
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[%s],"predicate":%s}`, s.uri, subjects, s.text)
	return bundleItem(t, dsse.PayloadTypeInToto, payload, by).Payload
}

const otherSubject = `{"digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}`

func TestBlob_AttestationsMeetTheRequirementsOfFiles(t *testing.T) {
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	const (
		built    = "{attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]}}"
		approved = "{attestation: {type: https://acme.example/review/v1, by: builder, where: [{pointer: /approved, equals: true}]}}"
		signed   = "{signature: {by: release}}"
		summary  = "{attestation: {type: vsa, by: builder, verifier: [https://verifier.example], resource: [https://acme.example/hello]}}"
		scanned  = "{attestation: {type: vuln, by: builder, maxSeverity: low}}"
		excused  = "{attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: release}}"
	)
	provenance, signature := stating(t, provenanceBy(someBuilder), helloSubject, c), signedFile(t, a)["bytes"]
	review := func(text, subject string, by person) []byte {
		return stating(t, says{"https://acme.example/review/v1", text}, subject, by)
	}
	grype := `{"invocation":{},"scanner":{"uri":"x","result":{"SchemaVersion":2,"ArtifactName":"app","Metadata":{"RepoDigests":["registry.example/team/app@sha256:` + strings.Repeat("0", 64) + `"]},"Results":[]}},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`
	for label, x := range map[string]struct {
		files   string
		bundles [][]byte
		reason  verify.Reason // empty: allowed
	}{
		"provenance":                    {built, [][]byte{provenance}, ""},
		"garbage before":                {built, [][]byte{[]byte("{}"), signature, provenance}, ""},
		"both":                          {built + ", " + signed, [][]byte{signature, provenance}, ""},
		"one of two":                    {"{anyOf: [" + built + ", " + signed + "]}", [][]byte{signature}, ""},
		"signature missing":             {built + ", " + signed, [][]byte{provenance}, verify.ReasonNoTrustedSignature},
		"attestation missing":           {built + ", " + signed, [][]byte{signature}, verify.ReasonNoAttestation},
		"nothing":                       {built, nil, verify.ReasonNoAttestation},
		"an attestation no signature":   {signed, [][]byte{provenance}, verify.ReasonNoTrustedSignature},
		"other builder":                 {built, [][]byte{stating(t, provenanceBy("https://evil.example"), helloSubject, c)}, verify.ReasonBuilder},
		"about another file":            {built, [][]byte{stating(t, provenanceBy(someBuilder), otherSubject, c)}, verify.ReasonNoAttestation},
		"by another role":               {built, [][]byte{stating(t, provenanceBy(someBuilder), helloSubject, a)}, verify.ReasonNoTrustedAttestation},
		"by a stranger":                 {built, [][]byte{stating(t, provenanceBy(someBuilder), helloSubject, newPerson(t))}, verify.ReasonNoTrustedAttestation},
		"review":                        {approved, [][]byte{review(`{"approved":true}`, helloSubject, c)}, ""},
		"one of several subjects":       {approved, [][]byte{review(`{"approved":true}`, otherSubject+","+helloSubject, c)}, ""},
		"review that says no":           {approved, [][]byte{review(`{"approved":false}`, helloSubject, c)}, verify.ReasonMember},
		"review of another file":        {approved, [][]byte{review(`{"approved":true}`, otherSubject, c)}, verify.ReasonNoAttestation},
		"summary":                       {summary, [][]byte{stating(t, vsa("oci://registry.example/team/app", "https://acme.example/hello"), helloSubject, c)}, ""},
		"summary of another resource":   {summary, [][]byte{stating(t, vsa(), helloSubject, c)}, verify.ReasonResource},
		"a scan of an image":            {scanned, [][]byte{stating(t, says{"https://cosign.sigstore.dev/attestation/vuln/v1", grype}, helloSubject, c)}, verify.ReasonUnreadScan},
		"findings":                      {excused, [][]byte{stating(t, scanWith("high", recently), helloSubject, c)}, verify.ReasonVulnerable},
		"findings that VEX excuses":     {excused, [][]byte{stating(t, scanWith("high", recently), helloSubject, c), stating(t, vex("not_affected"), helloSubject, a)}, ""},
		"VEX about another file":        {excused, [][]byte{stating(t, scanWith("high", recently), helloSubject, c), stating(t, vex("not_affected"), otherSubject, a)}, verify.ReasonVulnerable},
		"VEX by one who is not asked":   {excused, [][]byte{stating(t, scanWith("high", recently), helloSubject, c), stating(t, vex("not_affected"), helloSubject, b)}, verify.ReasonVulnerable},
		"VEX that doubts before a scan": {excused, [][]byte{stating(t, vex("affected"), helloSubject, a), stating(t, scanWith("high", recently), helloSubject, c)}, verify.ReasonVulnerable},
	} {
		t.Run(label, func(t *testing.T) {
			res, err := judgedFile(t, policyText+"files: ["+x.files+"]\n", []person{a, b, c}, x.bundles...)
			var denied *verify.Error
			switch {
			case x.reason == "" && err != nil:
				t.Error(err)
			case x.reason == "" && len(res.Requirements) == 0:
				t.Errorf("%+v names no requirement", res)
			case x.reason != "" && (!errors.As(err, &denied) || denied.Reason != x.reason || len(denied.Unmet) == 0):
				t.Errorf("%v, want %s", err, x.reason)
			case x.reason != "" && strings.Contains(denied.Detail, "attached"):
				t.Errorf("nothing is attached to a file: %s", denied.Detail)
			}
		})
	}
}

func TestBlob_RequirementsNoFileCanMeetAreRefused(t *testing.T) {
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	for says, files := range map[string]string{
		"files[0].config":                            "{config: {nonRoot: true}}",
		"files[1].anyOf[1].config":                   "{signature: {by: release}}, {anyOf: [{signature: {by: release}}, {config: {nonRoot: true}}]}",
		"files[0].allOf[0].signature.sameRepository": "{allOf: [{signature: {by: release, sameRepository: true}}]}",
		"needs resource":                             "{attestation: {type: vsa, by: builder, verifier: [https://verifier.example]}}",
		"is empty":                                   "",
		"needs exactly one of":                       "{}",
	} {
		_, err := policy.Load(written(t, policyText+"files: ["+files+"]\n", a, b, c), policy.ParseOptions{})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", files, err, says)
		}
	}
}
