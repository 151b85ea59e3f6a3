package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

const approvalOfMany = `{"approved": true, "note": "as/agreed", "score": 7.50, "big": 9007199254740993, "none": null, "empty": "",
	"ticket": {"state": "open", "by": "ann", "at": "2026-11-01T12:00:00Z", "a/b": {"c~d": 1}},
	"files": [{"path": "src/app/main.go"}, {"path": "docs/x"}], "when": "yesterday", "0": "zero"}`

// members judges an approval by conditions on its members.
func members(t *testing.T, where string) error {
	t.Helper()
	_, err := required(t, fmt.Sprintf("attestation: {type: https://acme.example/approval/v1, by: builder, where: [%s]}", where), says{"https://acme.example/approval/v1", approvalOfMany})
	return err
}

func TestMembersMeetTheirConditions(t *testing.T) {
	for _, where := range []string{
		`{pointer: /approved, equals: true}`, `{pointer: /ticket/state, equals: open}`, `{pointer: /score, equals: 7.5}`, `{pointer: /score, equals: 75e-1}`,
		`{pointer: /big, equals: 9007199254740993}`, `{pointer: /empty, equals: ""}`, `{pointer: /ticket/a~1b/c~0d, equals: 1}`, `{pointer: /0, equals: zero}`,
		`{pointer: /ticket/state, in: [closed, open]}`, `{pointer: /score, in: [1, 7.5, true]}`,
		`{pointer: /ticket, present: true}`, `{pointer: /files/1, present: true}`, `{pointer: /missing, absent: true}`, `{pointer: /missing/further/down, absent: true}`, `{pointer: /files/2, absent: true}`,
		`{pointer: /score, atMost: 7.5, atLeast: 7.5}`, `{pointer: /big, atLeast: 9007199254740993}`, `{pointer: /score, atLeast: -1e100}`,
		`{pointer: /ticket/at, after: 2026-11-01T11:59:59Z, before: 2026-11-01T13:00:00+00:30}`,
		`{pointer: /files/0/path, matches: [src/**]}`, `{pointer: /files/0/path, matches: [src/*/main.go]}`, `{pointer: /note, matches: ["*/*"]}`,
		`{pointer: /approved, equals: true}, {pointer: /ticket/by, in: [ann, bob]}`,
	} {
		if err := members(t, where); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestAttack_E13_MembersOfOtherValuesMeetNothing(t *testing.T) {
	for where, want := range map[string]verify.Reason{
		`{pointer: /approved, equals: "true"}`: verify.ReasonMember, `{pointer: /approved, equals: 1}`: verify.ReasonMember, `{pointer: /approved, equals: false}`: verify.ReasonMember,
		`{pointer: /score, equals: "7.50"}`: verify.ReasonMember, `{pointer: /score, equals: 7.500000000000000000001}`: verify.ReasonMember, `{pointer: /big, equals: 9007199254740992}`: verify.ReasonMember,
		`{pointer: /ticket, equals: open}`: verify.ReasonMember, `{pointer: /missing, equals: ""}`: verify.ReasonMember, `{pointer: /none, equals: ""}`: verify.ReasonMember,
		`{pointer: /ticket/state, in: [closed]}`: verify.ReasonMember, `{pointer: /none, present: true}`: verify.ReasonMember, `{pointer: /files/2, present: true}`: verify.ReasonMember,
		`{pointer: /none, absent: true}`: verify.ReasonMember, `{pointer: /empty, absent: true}`: verify.ReasonMember, `{pointer: /approved, absent: true}`: verify.ReasonMember,
		`{pointer: /score, atMost: 7.4999999999999999999}`: verify.ReasonMember, `{pointer: /big, atMost: 9007199254740992}`: verify.ReasonMember, `{pointer: /missing, atMost: 5}`: verify.ReasonMember,
		`{pointer: /ticket/at, after: 2026-11-01T12:00:00Z}`: verify.ReasonMember, `{pointer: /ticket/at, before: 2026-11-01T12:00:00Z}`: verify.ReasonMember,
		`{pointer: /files/0/path, matches: [src/*]}`: verify.ReasonMember, `{pointer: /files/0/path, matches: [app/**, "*"]}`: verify.ReasonMember, `{pointer: /empty, matches: ["*"]}`: verify.ReasonMember,
		`{pointer: /approved, equals: true}, {pointer: /ticket/by, in: [bob]}`: verify.ReasonMember,
		// What cannot be read meets nothing, least of all an absence.
		`{pointer: /note/x, absent: true}`: verify.ReasonPredicate, `{pointer: /none/x, absent: true}`: verify.ReasonPredicate, `{pointer: /approved/x/y, absent: true}`: verify.ReasonPredicate,
		`{pointer: /files/first, absent: true}`: verify.ReasonPredicate, `{pointer: /files/-, absent: true}`: verify.ReasonPredicate, `{pointer: /files/00, absent: true}`: verify.ReasonPredicate, `{pointer: /files/path, absent: true}`: verify.ReasonPredicate,
		`{pointer: /Approved, absent: true}`: verify.ReasonPredicate, `{pointer: /ticket/STATE, absent: true}`: verify.ReasonPredicate, `{pointer: /Approved, equals: true}`: verify.ReasonPredicate,
		`{pointer: /note, atMost: 5}`: verify.ReasonPredicate, `{pointer: /approved, atLeast: 0}`: verify.ReasonPredicate, `{pointer: /when, before: 2027-01-01T00:00:00Z}`: verify.ReasonPredicate,
		`{pointer: /score, after: 2020-01-01T00:00:00Z}`: verify.ReasonPredicate, `{pointer: /score, matches: ["**"]}`: verify.ReasonPredicate,
	} {
		err := members(t, where)
		if denial, ok := err.(*verify.Error); !ok || denial.Reason != want {
			t.Errorf("%s: %v, want %s", where, err, want)
		}
	}
}

func TestConditionsOnMembersAddToThoseOfTheType(t *testing.T) {
	const provenance = "attestation: {type: slsaprovenance, by: builder, builder: [https://tekton.dev/chains/v2], where: [%s]}"
	for where, want := range map[string]verify.Reason{
		`{pointer: /runDetails/builder/id, matches: ["https://tekton.dev/**"]}`: "",
		`{pointer: /buildDefinition/internalParameters/x, absent: true}`:        "",
		`{pointer: /runDetails/builder/id, matches: ["https://other.dev/**"]}`:  verify.ReasonMember,
	} {
		_, err := required(t, fmt.Sprintf(provenance, where), fieldDocument(t, "tekton-chains-v1"))
		if want == "" && err != nil {
			t.Errorf("%s: %v", where, err)
		} else if want != "" {
			wantReason(t, err, want)
		}
	}
	for _, bill := range []says{{predicate.TypeSPDX, `"SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\n"`}} {
		_, err := required(t, `attestation: {type: spdx, by: builder, where: [{pointer: /name, absent: true}]}`, says{bill.uri, `{"Data": ` + bill.text + `}`})
		wantReason(t, err, verify.ReasonPredicate)
	}
}

func TestLargeDocumentsAreReadWhereAPointerLeads(t *testing.T) {
	many := `{"list": [` + strings.Repeat(`{"a": 1}, `, 50_000) + `{"a": 2}], "state": {"deep": {"er": "x"}}}`
	for _, where := range []string{`{pointer: /list/50000/a, equals: 2}`, `{pointer: /list/7/a, equals: 1}`, `{pointer: /state/deep/er, equals: x}`} {
		_, err := required(t, fmt.Sprintf("attestation: {type: https://acme.example/approval/v1, by: builder, where: [%s]}", where), says{"https://acme.example/approval/v1", many})
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestExplainTellsTheConditionsOnMembers(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(policyText, "signature: {by: release}", "attestation: {type: https://acme.example/approval/v1, by: builder, where: [{pointer: /score, atLeast: 7}]}", 1)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	v, err := verify.New(loaded(t, text, a, b, c), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := v.Explain(w.image.Context())
	if conditions := fmt.Sprint(e.Requirements); !strings.Contains(conditions, "/score: at least 7") {
		t.Errorf("%s", conditions)
	}
}

func TestASummaryWhoseResultIsNoTextCannotBeRead(t *testing.T) {
	_, err := required(t, "attestation: {type: vsa, by: builder, verifier: [https://verifier.example]}", vsa(`"PASSED"`, `7`))
	wantReason(t, err, verify.ReasonPredicate)
}

func TestAttack_E13_TimesInTheFutureHaveNoAge(t *testing.T) {
	_, err := required(t, "attestation: {type: vsa, by: builder, verifier: [https://verifier.example], maxAge: 24h}", vsa("2026-11-22T12:00:00Z", "2027-11-22T12:00:00Z"))
	wantReason(t, err, verify.ReasonFuture)
}

func TestAttack_E14_SourcesInAnotherCaseCannotBeRead(t *testing.T) {
	const text = `{"buildDefinition":{"buildType":"https://mobyproject.org/buildkit@v1","externalParameters":{"configSource":{"URI":"https://git.example/app.git"}}},"runDetails":{"builder":{"id":"https://tekton.dev/chains/v2"}}}`
	_, err := required(t, "attestation: {type: slsaprovenance, by: builder, builder: [https://tekton.dev/chains/v2], source: [git+https://git.example/app.git]}", says{predicate.TypeProvenance, text})
	wantReason(t, err, verify.ReasonSource)
}
