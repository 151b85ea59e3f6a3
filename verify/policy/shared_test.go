package policy_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func shared(t *testing.T, requirements, require string) (*policy.Checked, error) {
	t.Helper()
	text := composed(t, "requirements: {"+requirements+"}\nrules:\n  - images: [registry.example/team/**]\n    require: ["+require+"]")
	p, err := policy.Parse(text, policy.ParseOptions{ReadFile: referenceFiles(t)})
	if err != nil {
		return nil, err
	}
	return p.Check(nil)
}

func TestRulesUseTheRequirementsThatTheyShare(t *testing.T) {
	c, err := shared(t, "released: {signature: {by: release}}, built: {allOf: [{use: released}, {attestation: {type: spdx, by: builder}}]}", "{use: built}, {anyOf: [{use: released}, {config: {nonRoot: true}}]}")
	if err != nil {
		t.Fatal(err)
	}
	require := c.Policy.Rules[0].Require
	if len(require) != 2 || len(require[0].AllOf) != 2 || require[0].AllOf[0].Signature.By != "release" || require[0].AllOf[1].Attestation.Type != "spdx" || require[1].AnyOf[0].Signature == nil {
		t.Errorf("%+v", require)
	}
}

func TestSharedRequirementsThatCannotBeMeantAreRefused(t *testing.T) {
	for _, c := range []struct{ requirements, require, why string }{
		{"a: {signature: {by: release}}", "{use: b}", "not among requirements"},
		{"a: {use: a}", "{use: a}", "nests deeper"},
		{"a: {anyOf: [{use: b}]}, b: {allOf: [{use: a}]}", "{signature: {by: release}}", "nests deeper"},
		{"a: {signature: {by: nobody}}", "{signature: {by: release}}", "not among roles"},
		{"a: {signature: {by: release}, use: b}", "{use: a}", "exactly one of"},
		{"a: {signature: {by: release}}", "{use: a, config: {nonRoot: true}}", "exactly one of"},
		{"a: {}", "{signature: {by: release}}", "exactly one of"},
	} {
		if _, err := shared(t, c.requirements, c.require); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s, %s: %v, want %q", c.requirements, c.require, err, c.why)
		}
	}
}

// Each use is another copy: 10 lists of 10 uses, of 10 uses each, are 1,000 requirements.
func TestAttack_P2_SharedRequirementsMultiplyWithinBounds(t *testing.T) {
	uses := func(name string) string { return strings.Repeat("{use: "+name+"}, ", 10) }
	_, err := shared(t, "a: {signature: {by: release}}, b: {allOf: ["+uses("a")+"]}, c: {allOf: ["+uses("b")+"]}, d: {allOf: ["+uses("c")+"]}, e: {allOf: ["+uses("d")+"]}", "{use: a}")
	if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "more than 1000 requirements") && !strings.Contains(err.Error(), "nests deeper") {
		t.Error(err)
	}
}

// A small file must not become gigabytes of requirements.
func TestAttack_T1_SharedRequirementsOfAllRulesAreBounded(t *testing.T) {
	race.Skip(t, "one goroutine checks a policy")
	key := newKey(t)
	p := policy.Policy{
		Version: 1, Keys: map[string]policy.Key{"k": {Public: key}}, Roles: map[string]policy.Role{"r": {Keys: []string{"k"}}},
		Requirements: map[string]policy.Requirement{"big": {AllOf: slices.Repeat([]policy.Requirement{{Signature: &policy.SignatureRequirement{By: "r"}}}, 1000)}},
	}
	using := func(name string, n int) error {
		p.Rules = nil
		for i := range n {
			p.Rules = append(p.Rules, policy.Rule{Images: []string{fmt.Sprintf("registry.example/a%d", i)}, Require: []policy.Requirement{{Use: name}}})
		}
		_, err := p.Check(nil)
		return err
	}
	if err := using("big", 50); err != nil {
		t.Error(err)
	}
	if err := using("big", 301); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "300000 requirements of all rules") {
		t.Error(err)
	}
	layout, err := referenceFiles(t)("layout.json", 0)
	if err != nil {
		t.Fatal(err)
	}
	layout = append(layout, bytes.Repeat([]byte(" "), 4<<20)...)
	p.Requirements["links"] = policy.Requirement{Attestation: &policy.AttestationRequirement{Type: "intoto", By: "r", LinkConditions: policy.LinkConditions{LayoutEnvelope: layout}}}
	if err := using("links", 2); err != nil {
		t.Error(err)
	}
	if err := using("links", 17); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "bytes of layouts of all rules") {
		t.Error(err)
	}
}
