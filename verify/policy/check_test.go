package policy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

func newKey(t *testing.T) policy.PublicKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := policy.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func denying(pattern string) *policy.Policy {
	return &policy.Policy{Version: 1, Rules: []policy.Rule{{Images: []string{pattern}, Deny: true, Reason: "a freeze"}}}
}

func TestCheck_LaterChangesDoNotReachIt(t *testing.T) {
	p := policy.Signatures{Keys: []policy.PublicKey{newKey(t)}, Threshold: 1}.Policy()
	p.Rules[0].Require[0].Signature.Annotations = map[string]string{"env": "prod"}
	checked, err := p.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Rules[0].Require[0].Signature.Annotations["env"] = "dev"
	p.Rules[0].Require[0].Signature.By = "unknown"
	p.Rules[0].Images[0] = "registry.example/none"
	p.Roles["signers"].Keys[0] = "another"
	delete(p.Keys, "key 0")
	own := checked.Policy
	asked := own.Rules[0].Require[0].Signature
	if asked.By != "signers" || asked.Annotations["env"] != "prod" || own.Rules[0].Images[0] != "**" || own.Roles["signers"].Keys[0] != "key 0" || len(own.Keys) != 1 {
		t.Errorf("changed with the policy: %+v", own)
	}
}

func TestCheck_FillsInWhatWasLeftOut(t *testing.T) {
	p := policy.Signatures{Keys: []policy.PublicKey{newKey(t)}, Threshold: 1}.Policy()
	p.Roles["signers"] = policy.Role{Keys: []string{"key 0"}}
	checked, err := p.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	own := checked.Policy
	if got := time.Duration(own.ClockSkew); got != 5*time.Minute || own.Roles["signers"].Threshold != 1 || own.Keys["key 0"].Public.Name != "key 0" {
		t.Errorf("%+v", own)
	}
	if p.ClockSkew != 0 || p.Roles["signers"].Threshold != 0 {
		t.Error("the policy itself was changed")
	}
}

func TestCheck_RequirementsThatHoldThemselvesAreRefused(t *testing.T) {
	p := policy.Signatures{Keys: []policy.PublicKey{newKey(t)}, Threshold: 1}.Policy()
	ring := []policy.Requirement{{}}
	ring[0].AnyOf = ring
	p.Rules[0].Require = ring
	if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "nests deeper") {
		t.Errorf("%v", err)
	}
}

func TestRuleFor_FindsTheMostSpecificPattern(t *testing.T) {
	p := denying("registry.example/**")
	p.Rules = append(p.Rules, denying("registry.example/team/*").Rules...)
	checked, err := p.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	for repo, want := range map[string]string{
		"registry.example/team/app": "registry.example/team/*", "registry.example/other/app": "registry.example/**", "elsewhere.example/app": "",
	} {
		r, err := name.NewRepository(repo)
		if err != nil {
			t.Fatal(err)
		}
		index, pattern, ok := checked.RuleFor(r)
		if pattern != want || ok != (want != "") || ok && p.Rules[index].Images[0] != want {
			t.Errorf("%s: %d, %q, %v; want %q", repo, index, pattern, ok, want)
		}
	}
}

func TestFileSource_GivesOnePointerWhileAPolicyHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(pattern string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("version: 1\nrules: [{images: ["+pattern+"], deny: true, reason: a freeze}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.example/**")
	now := time.Now()
	s, err := policy.NewFileSource(path, policy.FileSourceOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := s.Policy(t.Context())
	now = now.Add(time.Minute)
	if again, err := s.Policy(t.Context()); again != first || err != nil {
		t.Errorf("another one of the same file: %v", err)
	}
	write("b.example/**")
	now = now.Add(time.Minute)
	if changed, err := s.Policy(t.Context()); changed == first || changed.Digest == first.Digest || err != nil || s.Err() != nil {
		t.Errorf("the old one of another file: %v, %v", err, s.Err())
	}
}

// Policies that programs make are bounded as those of files are, and fail whole.
func TestPoliciesInGoThatAreTooMuchOrNoPoliciesAreRefused(t *testing.T) {
	for says, change := range map[string]func(*policy.Policy){
		"more than 10000 keys": func(p *policy.Policy) {
			for i := range 10_000 {
				p.Keys[fmt.Sprint(i)] = policy.Key{}
			}
		},
		"more than 100000 rules": func(p *policy.Policy) { p.Rules = slices.Repeat(p.Rules, 100_001) },
		"too many patterns":      func(p *policy.Policy) { p.Rules[0].Images = manyPatterns() },
		// What cannot be written has no digest that would tell it from others.
		"unsupported value": func(p *policy.Policy) {
			p.Rules[0].Require = []policy.Requirement{{Attestation: &policy.AttestationRequirement{
				Type: "slsaprovenance", By: "signers", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{"https://ci.example/builder"}, Parameters: map[string]any{"n": math.NaN()}},
			}}}
		},
	} {
		p := policy.Signatures{Keys: []policy.PublicKey{newKey(t)}, Threshold: 1}.Policy()
		change(p)
		if v, err := p.Check(nil); v != nil || !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, %v; want ErrInvalid for %q", v, err, says)
		}
	}
	if v, err := (*policy.Policy)(nil).Check(nil); v != nil || !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("no policy: %v, %v", v, err)
	}
}

// manyPatterns are more than can be compared with one another.
func manyPatterns() (all []string) {
	for i := range 2001 {
		all = append(all, fmt.Sprintf("registry.example/*/app-%d", i))
	}
	return all
}
