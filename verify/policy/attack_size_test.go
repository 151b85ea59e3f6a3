package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// A team with many rules that use one requirement, and exemptions from it, must not keep
// the policy from being checked.
func TestAttack_T24_ManyUsesOfOneRequirementAreChecked(t *testing.T) {
	p := policy.Policy{
		Version: 1, Keys: map[string]policy.Key{"k": {Public: newKey(t)}}, Roles: map[string]policy.Role{"r": {Keys: []string{"k"}}},
		Requirements: map[string]policy.Requirement{"q": {Signature: &policy.SignatureRequirement{By: "r"}}},
	}
	use := []policy.Requirement{{Use: "q"}}
	for i := range 9000 {
		p.Rules = append(p.Rules, policy.Rule{Images: []string{fmt.Sprintf("registry.example/a%d", i)}, Require: use})
	}
	more := append(use, policy.Requirement{Signature: &policy.SignatureRequirement{By: "r"}})
	p.Rules = append(p.Rules, policy.Rule{Images: []string{"registry.example/z"}, Require: more})
	for range 100 {
		p.Exemptions = append(p.Exemptions, policy.Exemption{Images: []string{"**"}, Digests: []string{exemptDigest}, Requirement: "q", Reason: "r", By: "b", Until: time.Unix(1, 0)})
	}
	began := processor.Time()
	if _, err := p.Check(nil); err != nil || processor.Time()-began > 10*time.Second {
		t.Errorf("%v after %s", err, processor.Time()-began)
	}
	for range 100 { // 200 times 9001 places
		p.Exemptions = append(p.Exemptions, p.Exemptions[0])
	}
	if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "places of rules") {
		t.Error(err)
	}
}

// A team that writes a revoked key many times must not keep the policy from being read.
func TestAttack_T25_ManyNamesOfARevokedKeyAreRead(t *testing.T) {
	key := newKey(t)
	team := &policy.Policy{Version: 1, Keys: map[string]policy.Key{}, Roles: map[string]policy.Role{}}
	for i := range 3000 {
		team.Keys[fmt.Sprintf("k%d", i)] = policy.Key{Public: key}
	}
	for i := range 20_000 {
		team.Roles[fmt.Sprintf("r%d", i)] = policy.Role{Keys: []string{"k1"}}
	}
	team.Rules = []policy.Rule{{Images: []string{"registry.example/apps/*"}, Require: []policy.Requirement{{Signature: &policy.SignatureRequirement{By: "r1"}}}}}
	p := policy.Policy{
		Version: 1, Keys: map[string]policy.Key{"old": {Public: key, Revoked: time.Unix(1, 0)}}, Roles: map[string]policy.Role{"r": {Keys: []string{"old"}}},
		Teams: map[string]policy.Team{"apps": {Images: []string{"registry.example/apps/**"}, Policy: team}},
		Rules: []policy.Rule{{Images: []string{"registry.example/**"}, Require: []policy.Requirement{{Signature: &policy.SignatureRequirement{By: "r"}}}}},
	}
	began := processor.Time()
	c, err := p.Check(nil)
	if err != nil || processor.Time()-began > 10*time.Second {
		t.Fatalf("%v after %s", err, processor.Time()-began)
	}
	if got := c.Policy.Roles["apps/r1"].Keys; len(got) != 1 || got[0] != "old" {
		t.Errorf("the team's role has %q", got)
	}
}

// fileAuthority is an authority whose settings name a file.
type fileAuthority struct{ policy.Authority }

func (fileAuthority) FileSettings() []string { return []string{"rootFile"} }

// A team whose file names one large file many times must not fill the memory.
func TestAttack_T25_FilesThatTeamsNameAreBounded(t *testing.T) {
	files := teamFiles(t)
	var all strings.Builder
	for i := range 30 {
		fmt.Fprintf(&all, "  i%d: {authority: x, settings: {rootFile: big}}\n", i)
	}
	files["apps/big"] = strings.Repeat("x", 4<<20)
	files["apps/policy.yaml"] = strings.Replace(appsText, "roles:", "identities:\n"+all.String()+"roles:", 1)
	_, err := policy.Load(placed(t, t.TempDir(), files), policy.ParseOptions{Authorities: map[string]policy.Authority{"x": fileAuthority{}}})
	if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "bytes together") {
		t.Errorf("%v", err)
	}
}

// A team that uses one large requirement in many rules, and a rule of the policy with one
// that many rules of a team join, must not fill the memory.
func TestAttack_T25_LargeRequirementsOfManyRulesAreBounded(t *testing.T) {
	builders := make([]string, 0, 2000)
	for i := range 2000 {
		builders = append(builders, fmt.Sprintf("https://ci.example/builder/%d", i))
	}
	large := policy.Requirement{Attestation: &policy.AttestationRequirement{Type: "slsaprovenance", By: "r", ProvenanceConditions: policy.ProvenanceConditions{Builder: builders}}}
	small := policy.Requirement{Signature: &policy.SignatureRequirement{By: "r"}}
	for label, of := range map[string]struct{ own, team policy.Requirement }{"use": {small, policy.Requirement{Use: "q"}}, "join": {large, small}} {
		team := &policy.Policy{
			Version: 1, Keys: map[string]policy.Key{"k": {Public: newKey(t)}}, Roles: map[string]policy.Role{"r": {Keys: []string{"k"}}}, Requirements: map[string]policy.Requirement{"q": large},
		}
		for i := range 1200 {
			team.Rules = append(team.Rules, policy.Rule{Images: []string{fmt.Sprintf("registry.example/apps/a%d", i)}, Require: []policy.Requirement{of.team}})
		}
		p := policy.Policy{
			Version: 1, Keys: map[string]policy.Key{"k": {Public: newKey(t)}}, Roles: map[string]policy.Role{"r": {Keys: []string{"k"}}},
			Teams: map[string]policy.Team{"apps": {Images: []string{"registry.example/apps/**"}, Policy: team}},
			Rules: []policy.Rule{{Images: []string{"registry.example/**"}, Require: []policy.Requirement{of.own}}},
		}
		if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "bytes of requirements of all rules") {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// A team's rules with many separate roles must not keep the policy from being checked.
func TestAttack_T25_ManySeparateRolesAreChecked(t *testing.T) {
	p := policy.Policy{Version: 1, Keys: map[string]policy.Key{}, Roles: map[string]policy.Role{}}
	var all []policy.Requirement
	for i := range 600 {
		name := fmt.Sprintf("n%d", i)
		p.Keys[name], p.Roles[name] = policy.Key{Public: newKey(t)}, policy.Role{Keys: []string{name}}
		all = append(all, policy.Requirement{Signature: &policy.SignatureRequirement{By: name}})
	}
	for i := range 200 {
		p.Rules = append(p.Rules, policy.Rule{Images: []string{fmt.Sprintf("registry.example/a%d", i)}, Require: all, SeparateDuties: true})
	}
	began := processor.Time()
	if _, err := p.Check(nil); err != nil || processor.Time()-began > 10*time.Second {
		t.Errorf("%v after %s", err, processor.Time()-began)
	}
}
