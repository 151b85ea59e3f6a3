package command

import (
	"slices"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

func TestInspectPolicy_SaysWhatCountsAndWhyNot(t *testing.T) {
	x := layoutTarget(t)
	c, keys, stranger := newCLI(t), team(t), newKey(t)
	shipped(t, x, keys, "")
	c.must("sign", "--key", stranger.private, x.tag("v1"))
	p := policyIn(t, "production.yaml", keys, here...)
	var i verify.Inspection
	c.must("inspect", "-o", "json", "--policy", p, x.tag("v1")).decode(&i)
	if i.Decision == nil || i.Decision.Status != verify.StatusVerified || len(i.Decision.Requirements) < 4 || len(i.Decision.Evidence) > 0 {
		t.Fatalf("%+v", i.Decision)
	}
	var got []string
	for _, e := range i.Evidence {
		if len(e.Judged) != 1 {
			t.Errorf("%s %s: %+v", e.Kind, e.PredicateType, e.Judged)
			continue
		}
		got = append(got, string(e.Judged[0].Reason))
	}
	slices.Sort(got)
	if want := []string{"counted", "counted", "counted", "counted", "untrusted-key"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	c.must("inspect", "--policy", p, x.tag("v1")).prints("verified", "counts  a signature by release", "does not count  untrusted-key", "counts  an attestation of type slsaprovenance")

	c.must("inspect", "--policy", p, "--at", "2099-01-01T00:00:00Z", x.tag("v1")).prints("denied", "stale", "as of 2099").says("not as of now")
	none := policyIn(t, "production.yaml", keys)
	c.must("inspect", "--policy", none, x.tag("v1")).prints("denied", "no-rule", "the policy does not look at it")
}

func TestInspectPolicy_RefusesFlagsThatNeedOne(t *testing.T) {
	c := newCLI(t)
	c.run("inspect", "--at", "2099-01-01T00:00:00Z", "a/b:c").exits(exitUndecided).says("--policy is missing")
	c.run("inspect", "--trusted-root", "f", "a/b:c").exits(exitUndecided).says("--policy is missing")
	c.run("inspect", "--policy", "none.yaml", "a/b:c").exits(exitUndecided).says("none.yaml")
}
