package policy_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// renewed is an authority whose settings pin its trust.
type renewed struct{ trust string }

func (r *renewed) Generation() string { return r.trust }

func (r *renewed) Matcher(settings map[string]any) (policy.Matcher, error) {
	if settings["root"] != r.trust {
		return nil, errors.New("the trust root is another one")
	}
	return nobodyMatches{}, nil
}

type nobodyMatches struct{ policy.Matcher }

func (nobodyMatches) ID() string { return "ci" }

// A policy that names the next trust root comes before that root. It must not stay refused
// after the root has come: a gate may deny everything until then.
func TestAttack_T6_PoliciesBeforeTheirTrustAreNotRefusedForEver(t *testing.T) {
	text := "version: 1\nidentities: {ci: {authority: it, settings: {root: %}}}\nroles: {release: {identities: [ci]}}\nrules: [{images: [\"**\"], require: [{signature: {by: release}}]}]\n"
	path := t.TempDir() + "/policy.yaml"
	write := func(root string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Replace(text, "%", root, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	authority := &renewed{"one"}
	write("one")
	s, err := policy.NewFileSource(path, policy.FileSourceOptions{Authorities: map[string]policy.Authority{"it": authority}, Interval: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := s.Policy(t.Context())
	write("two")
	if p, _ := s.Policy(t.Context()); p != first || s.Err() == nil {
		t.Fatalf("%v", s.Err())
	}
	authority.trust = "two"
	if p, _ := s.Policy(t.Context()); p == first || s.Err() != nil {
		t.Errorf("the policy stays refused: %v", s.Err())
	}
	if p, _ := s.Policy(t.Context()); p == first || s.Err() != nil {
		t.Errorf("%v", s.Err())
	}
}
