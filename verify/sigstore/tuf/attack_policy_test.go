package tuf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

func TestAttack_T19_PoliciesByTUFDoNotLowerTheirSerial(t *testing.T) {
	text := func(serial int) string {
		return fmt.Sprintf("version: 1\nserial: %d\nrules:\n  - images: [\"**\"]\n    deny: true\n    reason: x\n", serial)
	}
	r := newRepository(t, text(5))
	c := r.open("")
	s, err := tuf.NewPolicySource(c, policy.ParseOptions{})
	must(t, err)
	for serial, want := range map[int]int64{4: 5, 0: 5} {
		r.release(text(serial))
		must(t, c.Refresh(t.Context()))
		p, err := s.Policy(t.Context())
		if err != nil || p.Policy.Serial != want || !errors.Is(s.Err(), policy.ErrInvalid) {
			t.Errorf("%+v, %v, %v", p, err, s.Err())
		}
	}
	r.release(text(6))
	must(t, c.Refresh(t.Context()))
	if p, err := s.Policy(t.Context()); err != nil || p.Policy.Serial != 6 || s.Err() != nil {
		t.Errorf("%+v, %v, %v", p, err, s.Err())
	}
}

// broken is an authority that fails.
type broken struct{}

func (broken) Matcher(map[string]any) (policy.Matcher, error) { panic("unforeseen") }

func TestAttack_T19_PanicsDoNotHideThatAPolicyIsRefused(t *testing.T) {
	r := newRepository(t, strings.Replace(frozen, "REASON", "first", 1))
	c := r.open("")
	s, err := tuf.NewPolicySource(c, policy.ParseOptions{Authorities: map[string]policy.Authority{"any": broken{}}})
	must(t, err)
	first, err := s.Policy(t.Context())
	must(t, err)
	r.release("version: 1\nidentities: {a: {authority: any, settings: {x: y}}}\nroles: {r: {identities: [a]}}\nrules: [{images: ['**'], require: [{signature: {by: r}}]}]\n")
	must(t, c.Refresh(t.Context()))
	for range 2 {
		if p, err := s.Policy(t.Context()); err != nil || p != first || s.Err() == nil {
			t.Errorf("%v, %v, %v", p, err, s.Err())
		}
	}
}

// A newer policy that cannot be used must not keep an old one for ever.
func TestAttack_T19_RefusedPoliciesDoNotKeepOldOnesForEver(t *testing.T) {
	r := newRepository(t, strings.Replace(frozen, "REASON", "first", 1))
	c := r.open("")
	s, err := tuf.NewPolicySource(c, policy.ParseOptions{})
	must(t, err)
	for range 3 {
		r.now = r.now.Add(5 * day)
		r.stamp.Signed.Expires, r.snap.Signed.Expires, r.targets.Signed.Expires = r.now.Add(day), r.now.Add(day), r.now.Add(day)
		r.release("version: 1\n")
		must(t, c.Refresh(t.Context()))
		_, _ = s.Policy(t.Context())
	}
	if p, err := s.Policy(t.Context()); p != nil || !errors.Is(err, tuf.ErrStale) || !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("%v, %v", p, err)
	}
}

// A newer trust root that lacks what is demanded must not keep an old one for ever.
func TestAttack_T19_RefusedRootsDoNotKeepOldOnesForEver(t *testing.T) {
	i := sigstoretest.New(t, sigstoretest.Options{})
	r := newRepository(t, string(i.Root()))
	c := r.open("")
	a, err := tuf.NewAuthority(map[string]tuf.Instance{"private": {Client: c}})
	must(t, err)
	fresh := a.Generation()
	for range 3 {
		r.now = r.now.Add(5 * day)
		r.stamp.Signed.Expires, r.snap.Signed.Expires, r.targets.Signed.Expires = r.now.Add(day), r.now.Add(day), r.now.Add(day)
		r.release("no trust root")
		must(t, c.Refresh(t.Context()))
		_ = a.Generation()
	}
	if !strings.HasSuffix(a.Generation(), " stale private") || a.Generation() == fresh {
		t.Error("the old root is in use")
	}
	if err := a.Err(); !errors.Is(err, tuf.ErrStale) || !errors.Is(err, sigstore.ErrInvalid) {
		t.Error(err)
	}
}
