package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// whereCondition loads a policy with one condition on a member.
func whereCondition(t *testing.T, condition, more string) error {
	t.Helper()
	text := composed(t, fmt.Sprintf(`- attestation: {type: "https://example.com/approval/v1", by: release, where: [%s]%s}`, condition, more))
	_, err := policy.Parse(text, policy.ParseOptions{ReadFile: referenceFiles(t)})
	return err
}

func TestConditionsOnMembersThatCannotBeMeantAreRefused(t *testing.T) {
	for condition, why := range map[string]string{
		`{equals: 1}`: "needs pointer", `{pointer: "", equals: 1}`: "needs pointer", `{pointer: state, equals: 1}`: "needs pointer", `{pointer: /a~2b, equals: 1}`: "needs pointer",
		`{pointer: /a}`: "no operator", `{pointer: /a, present: false}`: "no operator", `{pointer: /a, absent: true, equals: 1}`: "absent, and to have a value", `{pointer: /a, absent: true, present: true}`: "absent, and to have a value",
		`{pointer: /a, in: []}`: "empty in", `{pointer: /a, matches: []}`: "empty matches", `{pointer: /a, equals: [1]}`: "compares with", `{pointer: /a, equals: {b: 1}}`: "compares with", `{pointer: /a, in: [1, [2]]}`: "compares with",
		`{pointer: /a, atMost: "5"}`: "want a number", `{pointer: /a, atLeast: true}`: "want a number", `{pointer: /a, atLeast: 2, atMost: 1.99}`: "can never be met",
		`{pointer: /a, after: 2026-01-01T00:00:00Z, before: 2026-01-01T00:00:00Z}`: "can never be met", `{pointer: /a, matches: ["a*"]}`: "a whole one", `{pointer: /a, matches: ["**/**"]}`: "** twice",
		`{pointer: /a, equal: 1}`: "equal", `{pointer: /a, equals: null}`: "no value",
	} {
		if err := whereCondition(t, condition, ""); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q with its line", condition, err, why)
		}
	}
	if err := whereCondition(t, "{pointer: /a, equals: 1}", ", acceptAnyContent: true"); err == nil || !strings.Contains(err.Error(), "where and acceptAnyContent") {
		t.Errorf("any content, and conditions: %v", err)
	}
	if err := whereCondition(t, strings.Repeat("{pointer: /a, equals: 1}, ", 101), ""); err == nil || !strings.Contains(err.Error(), "more than 100") {
		t.Errorf("101 conditions: %v", err)
	}
	if err := whereCondition(t, `{pointer: /a, equals: 1.50}, {pointer: /b/0, present: true, matches: ["a/*/**"]}`, ""); err != nil {
		t.Error(err)
	}
}

func TestLinksHaveNoConditionsOnMembers(t *testing.T) {
	for requirement, why := range map[string]string{
		`{type: intoto, by: release, layout: layout.json, where: [{pointer: /a, equals: 1}]}`: "has where, which type intoto",
		`{type: testresult, by: release, maxAge: 1h, maxAgeFrom: signature}`:                  "maxAge",
		`{type: intoto, by: release, layout: layout.json, maxAgeFrom: signature}`:             "maxAgeFrom",
	} {
		_, err := policy.Parse(composed(t, "- attestation: "+requirement), policy.ParseOptions{ReadFile: referenceFiles(t)})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", requirement, err, why)
		}
	}
}

// halfDescribed describes its identities' settings alone.
type halfDescribed struct{ anyAuthority }

func (halfDescribed) SettingsSchema() (identities, timestamps map[string]any) {
	return map[string]any{"type": "object", "required": []any{"address"}}, nil
}

func TestSchemasDescribeTheSettingsThatAuthoritiesDescribe(t *testing.T) {
	text, err := policy.SchemaWith(map[string]policy.Authority{"house": halfDescribed{}})
	if err != nil || !strings.Contains(string(text), `"address"`) {
		t.Errorf("%v: %s", err, text)
	}
}

// An error about one of several conditions points at it.
func TestFaultsOfWherePointAtTheCondition(t *testing.T) {
	for condition, want := range map[string]string{
		`{pointer: "no", equals: 1}`:           "where[1] needs pointer",
		`{pointer: /a}`:                        "where[1] has no operator",
		`{pointer: /a, atMost: x}`:             "where[1] has in atMost",
		`{pointer: /a, matches: ["a**"]}`:      "where[1] has in matches",
		`{pointer: /a, atMost: 1, atLeast: 2}`: "where[1] can never be met",
		`{pointer: /a, in: []}`:                "where[1] has an empty in",
	} {
		if err := whereCondition(t, `{pointer: /ok, equals: 1}, `+condition, ""); err == nil || !strings.Contains(err.Error(), "attestation."+want) {
			t.Errorf("%s: %v", condition, err)
		}
	}
}
