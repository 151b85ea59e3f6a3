package policy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Compile implements policy.ExpressionAuthority: an expression reads the variables that it
// names.
func (anyAuthority) Compile(text string, about policy.ExpressionAbout) (policy.Expression, error) {
	if strings.Contains(text, "refused") {
		return nil, fmt.Errorf("is refused for a %s", about)
	}
	return namedVariables(text), nil
}

type namedVariables string

func (n namedVariables) Reads() (all []string) {
	for _, v := range []string{"predicate", "config", "signedAfter", "now"} {
		if strings.Contains(string(n), v) {
			all = append(all, v)
		}
	}
	return all
}

func (namedVariables) Holds(context.Context, *policy.ExpressionVariables) (bool, error) {
	return true, nil
}

// withExpressions loads a policy with one requirement.
func withExpressions(t *testing.T, read func(string, int64) ([]byte, error), requirement string, linked map[string]policy.Authority) error {
	t.Helper()
	_, err := policy.Parse(composed(t, "- "+requirement), policy.ParseOptions{ReadFile: read, Authorities: linked})
	return err
}

func TestExpressionsAreCompiledWithThePolicy(t *testing.T) {
	custom := func(cel string) string {
		return `attestation: {type: "https://example.com/approval/v1", by: release, ` + cel + `}`
	}
	linked, read := map[string]policy.Authority{"cel": anyAuthority{}}, referenceFiles(t)
	for requirement, says := range map[string]string{
		custom(`cel: [predicate.a, refused]`):                          "cel[1] is refused for a statement",
		`config: {cel: [refused]}`:                                     "cel[0] is refused for a config",
		custom(`cel: []`):                                              "empty cel",
		`config: {cel: []}`:                                            "is empty",
		custom(`cel: [predicate.a], acceptAnyContent: true`):           "cel and acceptAnyContent",
		custom(`cel: [now]`):                                           "reads no predicate",
		custom(`cel: [predicate.a, signedAfter]`):                      "needs 1 identities",
		custom(`cel: [` + strings.Repeat("predicate, ", 21) + `]`):     "more than 20",
		custom(`cel: [predicate.` + strings.Repeat("a", 4096) + `]`):   "more than 4096 bytes",
		`attestation: {type: intoto, by: release, cel: [predicate.a]}`: "type intoto does not have",
	} {
		if err := withExpressions(t, read, requirement, linked); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%.80s: %v, want %q with its line", requirement, err, says)
		}
	}
	for _, good := range []string{custom(`cel: [predicate.a]`), custom(`cel: [predicate.a, predicate.a]`), custom(`cel: [now], where: [{pointer: /a, present: true}]`), `config: {cel: [config.os]}`,
		`attestation: {type: spdx, by: release, cel: [now]}`} {
		if err := withExpressions(t, read, good, linked); err != nil {
			t.Errorf("%s: %v", good, err)
		}
		if err := withExpressions(t, read, good, nil); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "not linked") {
			t.Errorf("%s, without the authority: %v", good, err)
		}
		if err := withExpressions(t, read, good, map[string]policy.Authority{"cel": justAuthority{}}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s, with an authority that compiles nothing: %v", good, err)
		}
	}
}

// justAuthority is an authority without expressions.
type justAuthority struct{ policy.Authority }
