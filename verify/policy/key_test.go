package policy_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestKeysTellWhatTheyAre(t *testing.T) {
	if a := newKey(t).Algorithm(); a != "ECDSA P-256" {
		t.Errorf("%q", a)
	}
	if a := (policy.PublicKey{}).Algorithm(); a != "" {
		t.Errorf("no key is %q", a)
	}
}
