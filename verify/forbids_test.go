package verify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestForbids_SaysWhatNoEvidenceChanges(t *testing.T) {
	now := time.Unix(1000, 0)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := policy.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy()
	p.Rules[0].Images = []string{"a.example/team/**"}
	p.Rules = append(p.Rules, policy.Rule{Images: []string{"a.example/team/secret"}, Deny: true, Reason: "not released"})
	p.Expires = time.Unix(2000, 0)
	v, err := verify.New(p, verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	check := func(repo string, want verify.Reason) {
		t.Helper()
		at, err := name.NewRepository(repo)
		if err != nil {
			t.Fatal(err)
		}
		denied := v.Forbids(at)
		switch {
		case denied == nil && want != "":
			t.Errorf("%s is not forbidden, want %s", repo, want)
		case denied != nil && (denied.Reason != want || denied.PolicyDigest != v.PolicyDigest() || denied.Detail == ""):
			t.Errorf("%s: %+v, want %q", repo, denied, want)
		}
	}
	check("a.example/team/app", "")
	check("a.example/team/secret", verify.ReasonDeniedByRule)
	check("a.example/other/app", verify.ReasonNoRule)
	now = time.Unix(2000, 0)
	check("a.example/team/app", verify.ReasonPolicyExpired)
}
