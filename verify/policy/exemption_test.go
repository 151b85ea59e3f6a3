package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// exemptText is a policy with an exemption.
func exemptText(exemption string) string {
	return without(policyText, "rules") + `requirements:
  released: {signature: {by: release}}
  both: {allOf: [{use: released}, {attestation: {type: spdx, by: builder}}]}
  plain: {config: {nonRoot: true}}
  idle: {signature: {by: pair}}
rules:
  - images: [registry.example/team/**]
    require:
      - use: both
      - use: plain
exemptions:
  - ` + exemption + "\n"
}

const exemptDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// exemption is one whose member has another text; empty: it is absent.
func exemption(member, text string) string {
	var all []string
	for _, m := range [][2]string{
		{"images", "[registry.example/team/app]"}, {"digests", `["` + exemptDigest + `"]`}, {"requirement", "released"}, {"reason", "r"}, {"by", "b"}, {"until", "2026-12-01T00:00:00Z"},
	} {
		if m[0] == member {
			m[1] = text
		}
		if m[1] != "" {
			all = append(all, m[0]+": "+m[1])
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func TestExemptionsAreOfRequirementsThatRulesUse(t *testing.T) {
	p := loaded(t, exemptText(exemption("", "")), newPEM(t), newPEM(t), newPEM(t))
	c, err := p.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ExemptionsOf("rules[0].require[0].allOf[0]"); !slices.Equal(got, []int{0}) || c.ExemptionsOf("rules[0].require[0]") != nil {
		t.Errorf("%v", got)
	}
	if e := p.Exemptions[0]; e.By != "b" || e.Requirement != "released" || e.Until.IsZero() {
		t.Errorf("%+v", e)
	}
}

func TestAttack_T24_ExemptionsThatCannotBeMeantAreRefused(t *testing.T) {
	keys := []string{newPEM(t), newPEM(t), newPEM(t)}
	for _, c := range []struct{ member, text, why string }{
		{"images", "", "needs images"}, {"images", "[]", "needs images"}, {"images", "[team*]", "images[0]"}, {"images", "[\"\"]", "images[0]"},
		{"digests", "", "needs digests"}, {"digests", "[]", "needs digests"}, {"digests", "[\"*\"]", "digests[0]"}, {"digests", "[\"sha256:00\"]", "digests[0]"},
		{"digests", `["` + strings.ToUpper(exemptDigest) + `"]`, "digests[0]"}, {"digests", `["` + exemptDigest + `", "` + exemptDigest + `"]`, "second time"},
		{"requirement", "", "needs requirement"}, {"requirement", "none", "not among requirements"}, {"requirement", "idle", "which no rule uses"},
		{"requirement", "both", "never exempt"}, {"requirement", "\"rules[0]\"", "not among requirements"}, {"requirement", "\"**\"", "not among requirements"},
		{"reason", "", "needs reason"}, {"reason", "\" \"", "needs reason"}, {"by", "", "needs by"}, {"by", "\"\\t\"", "needs by"},
		{"reason", strings.Repeat("x", 1001), "more than 1000 bytes"},
		{"until", "", "needs until"}, {"until", "never", "until"}, {"until", "0001-01-01T00:00:00Z", "no time at all"},
		{"until", "2026-12-01T00:00:00Z, since: 2026-01-01T00:00:00Z", "since"},
	} {
		path := written(t, exemptText(exemption(c.member, c.text)), keys...)
		if _, err := policy.Load(path, policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %s: %v, want %q", c.member, c.text, err, c.why)
		}
	}
}

// No list of digests goes before a denial.
func TestAttack_T24_NoPolicyHasAllowDigests(t *testing.T) {
	for _, text := range []string{policyText + "allowDigests: [{digest: \"" + exemptDigest + "\", reason: x}]\n", strings.Replace(policyText, "    require:", "    allowDigests: [\""+exemptDigest+"\"]\n    require:", 1)} {
		if _, err := policy.Load(written(t, text, newPEM(t), newPEM(t), newPEM(t)), policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "allowDigests") {
			t.Error(err)
		}
	}
}

func TestAttack_T24_ExemptionsEndWithin90Days(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for until, want := range map[time.Time]string{
		now.Add(-1): "ended", now: "ended", now.Add(1): "", now.Add(policy.MaxExemption): "", now.Add(policy.MaxExemption + time.Minute): "",
		now.Add(policy.MaxExemption + time.Minute + 1): "90 days", now.AddDate(5000, 0, 0): "90 days", {}: "ended",
	} {
		e := policy.Exemption{Until: until}
		if got := e.Misfit(now, time.Minute); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", until, got, want)
		}
		p := policy.Policy{ClockSkew: policy.Duration(time.Minute), Exemptions: []policy.Exemption{e}}
		if err := p.CheckExemptions(now); errors.Is(err, policy.ErrInvalid) != (want == "90 days") {
			t.Errorf("%s: %v", until, err)
		}
	}
}

func TestLintWarnsOfExemptionsInTheirLastWeek(t *testing.T) {
	for until, want := range map[string]string{
		"2026-11-08T00:00:00Z": "ends-soon exemptions[0]", "2026-11-08T00:00:01Z": "", "2027-01-30T00:00:00Z": "", "2027-01-30T01:00:00Z": "ends-late exemptions[0]", "2026-11-01T00:00:00Z": "ended exemptions[0]",
	} {
		text := exemptText(exemption("until", until))
		got := slices.DeleteFunc(linted(t, text), func(f string) bool { return !strings.Contains(f, "exemptions") })
		if fmt.Sprint(got) != strings.TrimRight("["+want, " ")+"]" && !(len(got) == 1 && strings.HasPrefix(got[0], want+" ") && want != "") {
			t.Errorf("%s: %q, want %q", until, got, want)
		}
	}
}

func TestLintFindsExemptionsOfImagesWithoutTheirRule(t *testing.T) {
	for images, want := range map[string]string{
		"[registry.example/other/app]": "unreached exemptions[0]", "[registry.example/team/app, registry.example/other/*]": "", "[\"**\"]": "", "[registry.example/team]": "unreached exemptions[0]",
	} {
		text := strings.Replace(exemptText(exemption("images", images)), "2026-12-01", "2026-12-20", 1)
		got := slices.DeleteFunc(linted(t, text), func(f string) bool { return !strings.Contains(f, "exemptions") })
		if len(got) > 1 || len(got) == 1 != (want != "") || want != "" && !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: %q, want %q", images, got, want)
		}
	}
}

// A policy of many rules and exemptions is checked in bounded time.
func TestAttack_T24_ManyExemptionsAreCheckedQuickly(t *testing.T) {
	key := newKey(t)
	p := policy.Policy{Version: 1, Keys: map[string]policy.Key{"k": {Public: key}}, Roles: map[string]policy.Role{"r": {Keys: []string{"k"}}}, Requirements: map[string]policy.Requirement{}}
	var all []policy.Requirement
	for i := range 500 {
		name := fmt.Sprintf("q%d", i)
		p.Requirements[name] = policy.Requirement{Signature: &policy.SignatureRequirement{By: "r"}}
		all = append(all, policy.Requirement{Use: name})
		p.Exemptions = append(p.Exemptions, policy.Exemption{Images: []string{"**"}, Digests: []string{exemptDigest}, Requirement: name, Reason: "r", By: "b", Until: time.Unix(1, 0)})
	}
	for i := range 200 {
		p.Rules = append(p.Rules, policy.Rule{Images: []string{fmt.Sprintf("registry.example/a%d", i)}, Require: all})
	}
	began := processor.Time()
	if _, err := p.Check(nil); err != nil || processor.Time()-began > 20*time.Second {
		t.Errorf("%v after %s", err, processor.Time()-began)
	}
	first := &p.Exemptions[0]
	first.Images = slices.Repeat([]string{"**"}, 101)
	if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "100 patterns") {
		t.Error(err)
	}
	first.Images, first.Digests = []string{"**"}, slices.Repeat([]string{exemptDigest}, 1001)
	if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "1000 digests") {
		t.Error(err)
	}
	first.Digests = []string{exemptDigest}
	p.Exemptions = slices.Repeat(p.Exemptions, 3)
	if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "1000 exemptions") {
		t.Error(err)
	}
}
