package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/pattern"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Exempted is a requirement that an exemption of the policy excuses (policy.Exemption).
type Exempted struct {
	// Requirement is its path in the policy. Name is its name in Policy.Requirements.
	Requirement string `json:"requirement"`
	Name        string `json:"name"`
	// Team is the team whose file requires it. Empty: the policy itself does.
	Team string `json:"team,omitempty"`
	// Reason, By and Until are those of the exemption.
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Until  time.Time `json:"until"`
	// Unmet is what the exemption excuses. Empty: the requirement is unmet for the index that
	// lists the image, or the exemption does not excuse it.
	Unmet []Unmet `json:"unmet,omitempty"`
}

// EndsSoon reports whether the exemption ends within policy.ExemptionEndsSoon of a time.
func (e *Exempted) EndsSoon(now time.Time) bool {
	return e.Until.Sub(now) <= policy.ExemptionEndsSoon
}

// exemptions are those of a policy.
type exemptions struct {
	by map[string][]*exemption // digest
	// of are the exemptions of a requirement.
	of map[*need][]*exemption
}

type exemption struct {
	policy.Exemption
	images *pattern.Set
}

// addExemptions compiles the exemptions of a policy that has some.
func (c *compiled) addExemptions() error {
	all := c.checked.Policy.Exemptions
	if len(all) == 0 {
		return nil
	}
	made := make([]*exemption, len(all))
	c.exemptions = &exemptions{by: make(map[string][]*exemption), of: make(map[*need][]*exemption)}
	for i, e := range all {
		images, err := pattern.SetOf(e.Images)
		if err != nil {
			return err
		}
		made[i] = &exemption{e, images}
		for _, digest := range e.Digests {
			c.exemptions.by[digest] = append(c.exemptions.by[digest], made[i])
		}
	}
	for _, r := range c.rules {
		if r.root != nil {
			c.exemptions.find(c.checked, r.root, made)
		}
	}
	return nil
}

// find finds the exemptions of a requirement and of those below.
func (all *exemptions) find(checked *policy.Checked, n *need, made []*exemption) {
	for _, i := range checked.ExemptionsOf(n.path) {
		all.of[n] = append(all.of[n], made[i])
	}
	for _, child := range n.children {
		all.find(checked, child, made)
	}
}

// about are the exemptions for an image, ended ones too. Nil: none lists it.
func (all *exemptions) about(image name.Digest) (found []*exemption) {
	if all == nil {
		return nil
	}
	for _, e := range all.by[image.DigestStr()] {
		if _, matches := e.images.Match(image.Context()); matches {
			found = append(found, e)
		}
	}
	return found
}

// in are the exemptions from a requirement in a repository.
func (all *exemptions) in(repo name.Repository, n *need) (found []policy.Exemption) {
	if all == nil {
		return nil
	}
	for _, e := range all.of[n] {
		if _, matches := e.images.Match(repo); matches {
			found = append(found, e.Exemption)
		}
	}
	return found
}

// exempted is the account of an exemption from a requirement.
func (e *exemption) exempted(path string) Exempted {
	return Exempted{Requirement: path, Name: e.Requirement, Team: teamOf(path), Reason: registry.SafeText(e.Reason, maxDetail), By: registry.SafeText(e.By, maxDetail), Until: e.Until}
}

// exempting is an evaluation that exemptions may complete.
type exempting struct {
	*evaluation
	policy *compiled
	now    time.Time
	// about are those for the image.
	about []*exemption
	// leaves are the requirements that are met, used the exemptions of those that are not.
	leaves []*need
	used   []Exempted
	until  time.Time
	// failed says by the paths of requirements why exemptions do not excuse them.
	failed map[string]Exempted
	why    map[string]string
}

// exempt is the outcome with the exemptions for the image. The decision, in this order:
//
//   - no exemption lists the image, or those that do leave a requirement unmet: not met;
//   - no key or identity counts for a requirement that is met: not met. Beside an exemption
//     from a requirement of the policy itself, those of a team do not vouch;
//   - otherwise met, until the first exemption ends.
func (d *decision) exempt(e *evaluation, o outcome) outcome {
	x := exempting{
		evaluation: e, policy: d.v.policy, now: d.now, about: d.v.policy.exemptions.about(d.image),
		failed: make(map[string]Exempted), why: make(map[string]string),
	}
	if len(x.about) == 0 {
		return o
	}
	if x.holds(d.rule.root) {
		if met := e.outcomeOf(x.leaves); len(met.keys) > 0 && x.vouched() {
			met.until, met.exempted = earlier(met.until, x.until), x.used
			return met
		}
		for _, used := range x.used {
			for _, u := range used.Unmet {
				x.fail(u.Requirement, used, "holds only for an image that a key or identity of the policy has signed for another requirement")
			}
		}
	}
	for i, u := range o.unmet {
		if why := x.why[u.Requirement]; why != "" {
			failed := x.failed[u.Requirement]
			failed.Unmet = nil
			o.unmet[i].Exemption = &failed
			o.unmet[i].Detail = registry.SafeText(u.Detail+"; the exemption by "+failed.By+" "+why, 2*maxDetail)
		}
	}
	return o
}

// vouched reports whether a key or identity counts for a requirement of the policy itself,
// if the policy itself has one that is excused. A team's file must not make an exemption
// hold that would not hold without the file.
func (x *exempting) vouched() bool {
	if x.rule.team == "" || !slices.ContainsFunc(x.used, func(used Exempted) bool { return used.Team == "" }) {
		return true
	}
	own := slices.DeleteFunc(slices.Clone(x.leaves), func(n *need) bool { return teamOf(n.path) != "" })
	return len(x.outcomeOf(own).keys) > 0
}

// teamOf is the team whose file has a requirement, by its path. Empty: the policy itself
// has it.
func teamOf(path string) string {
	rest, is := strings.CutPrefix(path, "teams.")
	if !is {
		return ""
	}
	team, _, _ := strings.Cut(rest, ".")
	return team
}

func (x *exempting) fail(path string, by Exempted, why string) {
	x.failed[path], x.why[path] = by, why
}

// holds reports whether a requirement is met or excused. It notes what that rests on.
func (x *exempting) holds(n *need) bool {
	if x.met(n) {
		x.leaves = x.decisive(x.leaves, n)
		return true
	}
	if x.excused(n) {
		return true
	}
	met, used, until := len(x.leaves), len(x.used), x.until
	for _, child := range n.children {
		if x.holds(child) == n.any {
			if !n.any {
				x.leaves, x.used, x.until = x.leaves[:met], x.used[:used], until
			}
			return n.any
		}
	}
	return n.children != nil && !n.any
}

// excused reports whether an exemption excuses a requirement. Of several, the one that
// lasts longest counts.
func (x *exempting) excused(n *need) bool {
	var best *exemption
	for _, e := range x.policy.exemptions.of[n] {
		if !slices.Contains(x.about, e) {
			continue
		}
		why := e.Misfit(x.now, x.policy.skew)
		if by := x.revoked(n); why == "" && by != "" {
			why = "lifts no revocation, and " + by
		}
		if why != "" {
			for _, u := range x.unmet(n) {
				x.fail(u.Requirement, e.exempted(n.path), why)
			}
			continue
		}
		if best == nil || best.Until.Before(e.Until) {
			best = e
		}
	}
	if best == nil {
		return false
	}
	used := best.exempted(n.path)
	used.Unmet = x.unmet(n)
	x.used, x.until = append(x.used, used), earlier(x.until, best.Until)
	return true
}

// revoked says which revoked key has signed what a requirement asks for; empty: none has. If
// revoked keys have signed more than is remembered, any may have. A principal
// that a revoked identity recognises counts by no other identity, so one of any role stands
// for all roles with identities.
func (x *exempting) revoked(n *need) string {
	if x.log.manyRevoked {
		return fmt.Sprintf("revoked keys have signed more than %d times", maxRevoked)
	}
	for _, child := range n.children {
		if key := x.revoked(child); key != "" {
			return key
		}
	}
	if n.role == nil {
		return ""
	}
	ofIdentities := func(k *trustedKey) bool { return n.role.keys[k.ID()] }
	for _, f := range x.log.revoked {
		stands := n.role.keys[f.by.id] || f.by.principal != "" && slices.ContainsFunc(x.policy.identities, ofIdentities)
		if stands && (n.stepLayout || n.asksFor(f)) {
			return fmt.Sprintf("the revoked key %s has signed", f.by.name)
		}
	}
	return ""
}

// exemptChild says why the exemptions that an index rests on do not let a manifest pass
// that the index lists; nil: the manifest is listed in exemptions from the same
// requirements, which are returned.
func exemptChild(v *Verifier, index *Result, child name.Digest) (all []Exempted, denied *Error) {
	now := v.o.Now()
	for _, x := range index.Exemptions {
		var best *exemption
		for _, e := range v.policy.exemptions.about(child) {
			if e.Requirement == x.Name && e.Misfit(now, v.policy.skew) == "" && (best == nil || best.Until.Before(e.Until)) {
				best = e
			}
		}
		if best == nil {
			return nil, &Error{
				Reason: ReasonNotExempt, Reference: child.String(), Digest: child, PolicyDigest: v.policy.digest, Rule: index.Rule, Team: index.Team,
				Detail: registry.SafeText(fmt.Sprintf("an exemption by %s from %s lets the index %s pass, and none lists this manifest", x.By, x.Name, index.Digest.DigestStr()), maxDetail),
			}
		}
		all = append(all, best.exempted(x.Requirement))
	}
	return all, nil
}
