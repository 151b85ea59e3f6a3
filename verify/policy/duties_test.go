package policy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// badges recognises principals by the name in their settings.
type badges struct{}

func (badges) Matcher(settings map[string]any) (policy.Matcher, error) {
	name, _ := settings["name"].(string)
	return badge(name), nil
}

type badge string

func (b badge) ID() string { return "badge:" + string(b) }

func (badge) Signed(context.Context, policy.SignedEvidence) (policy.Recognized, error) {
	return policy.Recognized{}, errors.New("not asked")
}

func TestAttack_T7_OneIdentityFillsNoTwoSeparateRoles(t *testing.T) {
	text := `
version: 1
identities:
  jane: {authority: badges, settings: {name: jane}}
  ken: {authority: badges, settings: {name: ken}}
roles:
  builder: {identities: [jane]}
  release: {identities: [ken]}
rules:
  - images: ["registry.example/**"]
    separateDuties: true
    require:
      - signature: {by: builder}
      - signature: {by: release}
`
	o := policy.ParseOptions{Authorities: map[string]policy.Authority{"badges": badges{}}}
	if _, err := policy.Parse([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	_, err := policy.Parse([]byte(strings.Replace(text, "identities: [ken]", "identities: [jane]", 1)), o)
	if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "jane is in the roles builder and release") {
		t.Errorf("one identity in both roles: %v", err)
	}
}
