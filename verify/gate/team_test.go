package gate_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// teamOf adds a team to a policy, whose rule for the scene's images wants its signature, too.
func teamOf(key policy.PublicKey, change func(*policy.Policy)) func(*policy.Policy) {
	return func(p *policy.Policy) {
		own := policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy()
		own.Files, own.Rules[0].Images = nil, []string{known + "/team/**"}
		if change != nil {
			change(own)
		}
		p.Teams = map[string]policy.Team{"apps": {Images: []string{known + "/team/**"}, Policy: own}}
	}
}

func TestTeams_TheGateEnforcesAndNamesThem(t *testing.T) {
	log := &lines{}
	s := newScene(t, registrytest.Options{}, nil)
	team, key := newSigner(t)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Audit, c.Verifier = log, s.verifier(teamOf(key, nil)) })
	s.denied(manifestPath+"signed", "no-trusted-signature")
	if r := s.get(manifestPath + "unsigned"); r.status != http.StatusForbidden || !strings.Contains(string(r.body), "the rule of the team apps for "+known+"/team/** decides") {
		t.Errorf("%d %s", r.status, r.body)
	}
	both, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("both"), registrytest.ImageOptions{Seed: "both"})
	must(t, err)
	_, err = sign.Image(t.Context(), s.store, both, sign.ImageOptions{}, s.signer, team)
	must(t, err)
	s.passes("both")
	for _, part := range s.parts(both) {
		if r := s.get(blobPath(part)); r.status != http.StatusOK {
			t.Errorf("%s: %d", part.Digest, r.status)
		}
	}
	all := audited(t, log)
	if len(all) < 3 {
		t.Fatal(log.text())
	}
	for _, e := range all {
		if e.Team != "apps" || e.Rule != known+"/team/**" {
			t.Errorf("%+v", e)
		}
	}
	if u := all[0].Unmet; len(u) != 1 || u[0].Team != "apps" {
		t.Errorf("%+v", u)
	}
	if u := all[1].Unmet; len(u) != 2 || u[0].Team != "" || u[1].Team != "apps" {
		t.Errorf("%+v", u)
	}
}

// The children of an index pass because both, the policy and the team, let the index pass.
func TestAttack_T25_TheGateHoldsTeamsRulesForChildren(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	team, key := newSigner(t)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = s.verifier(teamOf(key, nil)) })
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	s.denied(manifestPath+"index", "no-trusted-signature")
	for _, child := range children {
		if r := s.get(manifestPath + child.DigestStr()); r.status != http.StatusForbidden {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	other, others, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("other"))
	must(t, err)
	_, err = sign.Image(t.Context(), s.store, other, sign.ImageOptions{}, s.signer, team)
	must(t, err)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = s.verifier(teamOf(key, nil)) })
	s.passes("other")
	for _, child := range others {
		s.passes(child.DigestStr())
	}
}

// What passed by a team's rule does not pass on after the team denies it.
func TestAttack_T25_TheGateForgetsWhatATeamNowDenies(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	team, key := newSigner(t)
	_, err := sign.Image(t.Context(), s.store, s.signed, sign.ImageOptions{}, team)
	must(t, err)
	source := &replaceable{v: s.verifier(teamOf(key, nil))}
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = source })
	s.passes("signed")
	source.set(s.verifier(teamOf(key, func(p *policy.Policy) {
		p.Rules = append(p.Rules, policy.Rule{Images: []string{known + "/team/app"}, Deny: true, Reason: "withdrawn"})
	})))
	s.denied(manifestPath+"signed", "denied-by-rule")
	s.denied(manifestPath+s.signed.DigestStr(), "denied-by-rule")
	if r := s.get(blobPath(s.parts(s.signed)[0])); r.status != http.StatusForbidden {
		t.Errorf("a blob: %d", r.status)
	}
}
