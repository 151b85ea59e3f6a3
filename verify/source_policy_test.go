package verify_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// changing yields the policy that it holds.
type changing struct {
	checked *policy.Checked
	err     error
}

func (c *changing) Policy(context.Context) (*policy.Checked, error) { return c.checked, c.err }

func TestNewSource_FollowsTheSourceOfPolicies(t *testing.T) {
	checkedFor := func(p person) *policy.Checked {
		checked, err := policy.Signatures{Keys: []policy.PublicKey{p.key}, Threshold: 1}.Policy().Check(nil)
		if err != nil {
			t.Fatal(err)
		}
		return checked
	}
	from := &changing{checked: checkedFor(newPerson(t))}
	source := verify.NewSource(from, verify.Options{})
	first, err := source.Verifier(t.Context())
	if err != nil || first.PolicyDigest() != from.checked.Digest {
		t.Fatal(first, err)
	}
	if again, err := source.Verifier(t.Context()); again != first || err != nil {
		t.Errorf("the same policy has another verifier: %v", err)
	}
	from.checked = checkedFor(newPerson(t))
	if second, err := source.Verifier(t.Context()); err != nil || second == first || second.PolicyDigest() != from.checked.Digest {
		t.Errorf("a new policy is not followed: %v", err)
	}
	from.err = errors.New("no policy holds")
	if v, err := source.Verifier(t.Context()); v != nil || !errors.Is(err, from.err) {
		t.Errorf("without a policy there is a verifier: %v", err)
	}
}
