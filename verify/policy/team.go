package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/pattern"
)

// Team is a file by which a team says more about some of the images.
//
//   - What the policy itself says of an image holds, whatever the team's file says. Its most
//     specific rule must be met as well, its rules that deny and DenyDigests deny.
//   - Where the policy itself has no rule for an image, the team's rule decides alone.
//   - Where no rule of the team's file matches an image, the policy's rule decides alone.
//   - A rule of the policy with mode: warn only warns, and the team's rule denies.
//   - Duties are separate where either rule says so. Evidence is where the policy's rule says.
//
// The team's file has the form of a policy. It has version, serial, keys, identities, roles,
// requirements, rules and, by MayExempt, exemptions. All else is the policy's alone. Its
// names are its own: the key ci of the team payments is payments/ci in results. A key that
// the policy has as well is refused, unless it is revoked there, and then it is revoked.
//
// A team's broken file keeps a new policy from being used, one that freezes or revokes too.
// Leave the team out of the policy until its file is mended.
type Team struct {
	// File is the team's file, in the directory of the policy or below. No link leads out of
	// that directory. Files that it names lie in its own directory or below. Required.
	File string `json:"file,omitempty"`
	// Images are patterns of the repositories that the team's rules may be about, as in
	// Rule. Each pattern of a rule must lie within one of them. Patterns of two teams that
	// match one repository are refused. Required, at least one.
	Images []string `json:"images"`
	// MayUse are roles of the policy that the team's requirements may name as their own.
	// Empty: none.
	MayUse []string `json:"mayUse,omitempty"`
	// MayExempt lets the file have exemptions, from the team's own requirements and for its
	// own images. False: exemptions in the file are refused.
	MayExempt bool `json:"mayExempt,omitempty"`

	// Policy is what the file holds, for policies in Go. Nil: refused; Load reads it.
	Policy *Policy `json:"-"`
}

// Bounds of teams.
const (
	maxTeams     = 1000
	maxTeamName  = 64
	maxTeamBytes = 64 << 20 // of all files, and of those that they name
	// maxJoined bounds the rules that a policy and its teams make together.
	maxJoined = 100_000
)

// splitName is the team of a name and its name there. Empty: the name is the policy's.
func (p *Policy) splitName(name string) (team, local string) {
	team, local, is := strings.Cut(name, "/")
	if _, known := p.Teams[team]; is && known {
		return team, local
	}
	return "", name
}

// pathOf is the path of something that has a name.
func (p *Policy) pathOf(kind, name string) string {
	team, local := p.splitName(name)
	return teamPath(team, kind+"."+local)
}

// teamPath is a path in a team's file, as results show it.
func teamPath(team, path string) string {
	if team == "" {
		return path
	}
	return "teams." + team + "." + path
}

// inTeam is where a rule or an exemption stands in a team's file.
type inTeam struct {
	team  string
	index int
}

// rulePath and exemptionPath are the paths of a rule and an exemption. Those of teams
// follow the policy's own.
func (p *Policy) rulePath(i int) string { return listed("rules", i, len(p.Rules), p.teamRules) }

func (p *Policy) exemptionPath(i int) string {
	return listed(pathExemptions, i, len(p.Exemptions), p.teamExemptions)
}

func listed(list string, i, all int, ofTeams []inTeam) string {
	own := all - len(ofTeams)
	if i < own {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	at := ofTeams[i-own]
	return teamPath(at.team, fmt.Sprintf("%s[%d]", list, at.index))
}

// isExemptionPath reports whether a path is that of an exemption.
func isExemptionPath(path string) bool {
	_, local, _ := strings.Cut(strings.TrimPrefix(path, "teams."), ".")
	return strings.HasPrefix(path, pathExemptions+"[") || strings.HasPrefix(path, "teams.") && strings.HasPrefix(local, pathExemptions+"[")
}

// merged is the policy with all that its teams say, under names of their own, and without
// its teams' policies. A policy without teams is returned as it is.
func (p *Policy) merged() (*Policy, error) {
	if len(p.Teams) == 0 {
		return p, nil
	}
	if len(p.Teams) > maxTeams {
		return nil, faultf("teams", "has more than %d teams", maxTeams)
	}
	m := *p
	m.Keys, m.Roles, m.Identities, m.Requirements = copied(p.Keys), copied(p.Roles), copied(p.Identities), copied(p.Requirements)
	m.Teams, m.Rules, m.Exemptions = maps.Clone(p.Teams), slices.Clone(p.Rules), slices.Clone(p.Exemptions)
	if err := p.checkClaims(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Teams)) {
		t := joining{name: name, Team: p.Teams[name], root: p, into: &m}
		for _, text := range t.Images {
			parsed, err := pattern.Parse(text)
			if err != nil {
				return nil, err
			}
			t.claims = append(t.claims, parsed)
		}
		for _, step := range []func() error{t.check, t.addNames, t.addRules, t.addExemptions} {
			if err := step(); err != nil {
				return nil, err
			}
		}
		t.Team.Policy = nil
		m.Teams[name] = t.Team
	}
	return &m, nil
}

// copied is a copy of a map that can be written to.
func copied[V any](m map[string]V) map[string]V {
	all := make(map[string]V, len(m))
	maps.Copy(all, m)
	return all
}

// checkClaims refuses teams without a usable name or patterns, and patterns of two teams
// that match one repository.
func (p *Policy) checkClaims() error {
	var claims []pattern.Entry
	names := slices.Sorted(maps.Keys(p.Teams))
	files := make(map[string]string)
	for i, name := range names {
		t, at := p.Teams[name], "teams."+name
		switch file := filepath.Clean(t.File); {
		case !isTeamName(name):
			return faultf(at, "has the name %.100q, want lower-case letters, digits and -, at most %d", name, maxTeamName)
		case t.Policy == nil:
			return faultf(at, "was not read: read the policy with Load, or set Policy")
		case t.File != "" && files[file] != "":
			return faultf(at+".file", "is the file of the team %s as well", files[file])
		case len(t.Images) == 0:
			return faultf(at, "needs images: the patterns of the repositories that its rules may be about")
		default:
			files[file] = name
		}
		for n, text := range t.Images {
			parsed, err := pattern.Parse(text)
			if err != nil {
				return &fault{fmt.Sprintf("%s.images[%d]", at, n), err}
			}
			claims = append(claims, pattern.Entry{Pattern: parsed, Rule: i})
		}
	}
	overlap := func(a, b pattern.Entry) error {
		return faultf("teams."+names[b.Rule]+".images", "has %q, and the team %s has %q: both match one repository, which has one team", b.Pattern, names[a.Rule], a.Pattern)
	}
	set, err := pattern.NewSet(claims)
	var pairs []pattern.Pair
	if err == nil {
		pairs, err = set.Pairs(set)
	}
	if conflict := (*pattern.ConflictError)(nil); errors.As(err, &conflict) {
		return overlap(conflict.A, conflict.B)
	}
	if err != nil {
		return &fault{"teams", err}
	}
	for _, pair := range pairs {
		if pair.A.Rule < pair.B.Rule {
			return overlap(pair.A, pair.B)
		}
	}
	return nil
}

// isTeamName reports whether a team may have a name. It stands in paths and before names.
func isTeamName(name string) bool {
	return name != "" && len(name) <= maxTeamName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && !strings.HasPrefix(name, "-")
}

// joining is a team whose file is joined with the policy.
type joining struct {
	name string
	Team
	root, into *Policy
	// claims are Team.Images.
	claims []pattern.Pattern
}

func (t *joining) faultf(path, format string, args ...any) error {
	return faultf(teamPath(t.name, path), format, args...)
}

// check refuses what a team's file must not say, and roles that it cannot use.
func (t *joining) check() error {
	q := t.Policy
	if q.Version != 1 {
		return t.faultf("version", "is %d; this program knows version 1", q.Version)
	}
	if q.Serial < 0 {
		return t.faultf("serial", "is %d, want 1 or more", q.Serial)
	}
	for _, x := range []struct {
		field string
		set   bool
	}{
		{"expires", !q.Expires.IsZero()}, {"timestamps", q.Timestamps != nil}, {"builders", q.Builders != nil}, {"denyDigests", q.DenyDigests != nil},
		{"clockSkew", q.ClockSkew != 0}, {"limits", q.Limits != nil}, {"files", q.Files != nil}, {"teams", q.Teams != nil},
	} {
		if x.set {
			return t.faultf(x.field, "is not for a team's file: it would hold for all images; write it into the policy itself")
		}
	}
	if len(q.Exemptions) > 0 && !t.MayExempt {
		return t.faultf(pathExemptions, "needs mayExempt: true of the team in the policy itself")
	}
	if len(q.Rules) == 0 {
		return t.faultf("rules", "is empty: a team's file without rules says nothing")
	}
	for i, name := range t.MayUse {
		at := fmt.Sprintf("teams.%s.mayUse[%d]", t.name, i)
		switch _, known := t.root.Roles[name]; {
		case !known:
			return faultf(at, "names the role %.100q, which is not among roles", name)
		case slices.Contains(t.MayUse[:i], name):
			return faultf(at, "names the role %.100q a second time", name)
		}
		if _, shadows := q.Roles[name]; shadows {
			return t.faultf("roles."+name, "has the name of a role that the policy lets the team use; choose another name")
		}
	}
	return nil
}

// own is the name of something of the team, among all names.
func (t *joining) own(name string) string { return t.name + "/" + name }

// role is the name of a role that the team's file names.
func (t *joining) role(name string) string {
	if name == "" || slices.Contains(t.MayUse, name) {
		return name
	}
	return t.own(name)
}

// addNames adds keys, identities, roles and shared requirements under names of the team.
func (t *joining) addNames() error {
	for _, x := range []struct {
		kind  string
		names []string
	}{
		{"keys", slices.Sorted(maps.Keys(t.root.Keys))}, {"identities", slices.Sorted(maps.Keys(t.root.Identities))}, {"roles", slices.Sorted(maps.Keys(t.root.Roles))},
		{"timestamps", slices.Sorted(maps.Keys(t.root.Timestamps))}, {"requirements", slices.Sorted(maps.Keys(t.root.Requirements))},
	} {
		for _, name := range x.names {
			if strings.HasPrefix(name, t.name+"/") {
				return faultf(x.kind, "has the name %.100q, which would be one of the team %s", name, t.name)
			}
		}
	}
	q := t.Policy
	for name, k := range q.Keys {
		t.into.Keys[t.own(name)] = k
	}
	for name, i := range q.Identities {
		t.into.Identities[t.own(name)] = i
	}
	for name, r := range q.Roles {
		r.Keys, r.Identities = slices.Clone(r.Keys), slices.Clone(r.Identities)
		for i := range r.Keys {
			r.Keys[i] = t.own(r.Keys[i])
		}
		for i := range r.Identities {
			r.Identities[i] = t.own(r.Identities[i])
		}
		t.into.Roles[t.own(name)] = r
	}
	for name, r := range q.Requirements {
		t.into.Requirements[t.own(name)] = t.renamed(r)
	}
	return nil
}

// renamed is a requirement with the names of what it names.
func (t *joining) renamed(q Requirement) Requirement {
	q = q.own()
	if q.Signature != nil {
		q.Signature.By = t.role(q.Signature.By)
	}
	if q.Attestation != nil {
		q.Attestation.By, q.Attestation.VEXBy = t.role(q.Attestation.By), t.role(q.Attestation.VEXBy)
	}
	if q.Use != "" {
		q.Use = t.own(q.Use)
	}
	for _, list := range []*[]Requirement{&q.AnyOf, &q.AllOf} {
		*list = slices.Clone(*list)
		for i := range *list {
			(*list)[i] = t.renamed((*list)[i])
		}
	}
	return q
}

// addRules adds the rules, which must keep to the team's patterns.
func (t *joining) addRules() error {
	for i, r := range t.Policy.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		switch {
		case r.Mode == ModeWarn:
			return t.faultf(at+".mode", "is not for a team's file: only the policy itself lets images pass with a warning")
		case r.EvidenceRepository != "":
			return t.faultf(at+".evidenceRepository", "is not for a team's file: the policy itself says where evidence is")
		}
		if err := t.within(at, r.Images); err != nil {
			return err
		}
		r.Require = slices.Clone(r.Require)
		for n := range r.Require {
			r.Require[n] = t.renamed(r.Require[n])
		}
		t.into.Rules = append(t.into.Rules, r)
		t.into.teamRules = append(t.into.teamRules, inTeam{t.name, i})
	}
	return nil
}

// addExemptions adds the exemptions, which must keep to the team's patterns.
func (t *joining) addExemptions() error {
	for i, e := range t.Policy.Exemptions {
		if err := t.within(fmt.Sprintf("%s[%d]", pathExemptions, i), e.Images); err != nil {
			return err
		}
		if e.Requirement != "" {
			e.Requirement = t.own(e.Requirement)
		}
		t.into.Exemptions = append(t.into.Exemptions, e)
		t.into.teamExemptions = append(t.into.teamExemptions, inTeam{t.name, i})
	}
	return nil
}

// within refuses patterns of images that are not the team's.
func (t *joining) within(at string, images []string) error {
	for i, text := range images {
		parsed, err := pattern.Parse(text)
		if err != nil {
			return &fault{teamPath(t.name, fmt.Sprintf("%s.images[%d]", at, i)), err}
		}
		if !slices.ContainsFunc(t.claims, parsed.Within) {
			return t.faultf(fmt.Sprintf("%s.images[%d]", at, i), "is %q, and the policy gives the team %q", text, t.Images)
		}
	}
	return nil
}

// Origin says where a rule of a Checked policy stands. Rules that a policy and a team's
// file make together have the requirements of both.
type Origin struct {
	// Team is the team whose rule it is. Empty: it is the policy's own.
	Team string
	// Rule is the path of the rule, as "rules[0]" or "teams.payments.rules[0]", and
	// Requirements are those of Rule.Require.
	Rule         string
	Requirements []string
	// Enforced is how many requirements, from the first, are enforced whatever Rule.Mode of
	// the policy's own rule says: those of the team. Zero: Rule.Mode holds for all.
	Enforced int
}

// Origin is where Policy.Rules[rule] stands.
func (c *Checked) Origin(rule int) Origin {
	if own := len(c.Policy.Rules) - len(c.origins); rule >= own {
		return c.origins[rule-own]
	}
	at := fmt.Sprintf("rules[%d]", rule)
	return Origin{Rule: at, Requirements: requirementPaths(at, len(c.Policy.Rules[rule].Require))}
}

func requirementPaths(at string, n int) []string {
	all := make([]string, 0, n)
	for i := range n {
		all = append(all, fmt.Sprintf("%s.require[%d]", at, i))
	}
	return all
}

// teamRules are the rules of teams in a policy under check.
type teamRules struct{ checking *checking }

// together names the rules of the policy and of a team that decide about an image. alone
// in place of the policy's: it has none.
type together struct{ own, team int }

const alone = -1

// join makes the rules of teams and those of the policy that may decide about the
// same images one. All of them were checked.
func (j teamRules) join() error {
	c := j.checking
	rules, own := c.Policy.Rules, len(c.Policy.Rules)-len(c.Policy.teamRules)
	if c.teamPatterns == nil {
		return nil
	}
	needed, err := j.needed()
	if err != nil {
		return err
	}
	if len(needed) > maxJoined {
		return faultf("teams", "have more than %d rules together with those of the policy that match the same images", maxJoined)
	}
	c.joined = make(map[together]int, len(needed))
	joined := slices.Clip(rules[:own])
	for _, pair := range needed {
		made, origin, err := j.joined(pair)
		if err != nil {
			return err
		}
		c.joined[pair] = len(joined)
		joined, c.origins = append(joined, made), append(c.origins, origin)
	}
	c.Policy.Rules, c.Policy.teamRules = joined, nil
	return nil
}

// needed are the pairs of rules that may decide together, in order.
func (j teamRules) needed() ([]together, error) {
	c := j.checking
	pairs, err := c.patterns.Pairs(c.teamPatterns)
	if err != nil {
		return nil, &fault{"teams", err}
	}
	type entry struct {
		pattern string
		rule    int
	}
	// Of the policy's patterns that match all that a team's does, the most specific decides.
	closest := make(map[entry]pattern.Entry)
	all := make(map[together]bool)
	add := func(own, team int) {
		if own == alone || !c.Policy.Rules[own].Deny { // what denies decides by itself
			all[together{own, team}] = true
		}
	}
	for _, p := range pairs {
		key := entry{p.B.Pattern.String(), p.B.Rule}
		if !p.B.Pattern.Within(p.A.Pattern) {
			add(p.A.Rule, p.B.Rule)
		} else if before, is := closest[key]; !is || p.A.Pattern.Within(before.Pattern) {
			closest[key] = p.A
		}
	}
	for e := range c.teamPatterns.All() {
		own := alone
		if over, is := closest[entry{e.Pattern.String(), e.Rule}]; is {
			own = over.Rule
		}
		add(own, e.Rule)
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b together) int { return cmp.Or(cmp.Compare(a.team, b.team), cmp.Compare(a.own, b.own)) }), nil
}

// joined is one rule of two.
func (j teamRules) joined(pair together) (Rule, Origin, error) {
	c := j.checking
	first := len(c.Policy.Rules) - len(c.Policy.teamRules)
	r, at := c.Policy.Rules[pair.team], c.Policy.rulePath(pair.team)
	origin := Origin{Team: c.Policy.teamRules[pair.team-first].team, Rule: at, Requirements: requirementPaths(at, len(r.Require))}
	if r.Deny || pair.own == alone {
		return r, origin, nil
	}
	own := c.Policy.Rules[pair.own]
	paths := requirementPaths(c.Policy.rulePath(pair.own), len(own.Require))
	if own.Mode == ModeWarn {
		origin.Enforced = len(r.Require)
		r.Mode, r.Require, origin.Requirements = own.Mode, slices.Concat(r.Require, own.Require), slices.Concat(origin.Requirements, paths)
	} else {
		r.Require, origin.Requirements = slices.Concat(own.Require, r.Require), slices.Concat(paths, origin.Requirements)
	}
	r.EvidenceRepository, r.SeparateDuties = own.EvidenceRepository, r.SeparateDuties || own.SeparateDuties
	c.leaves, c.roles = 0, nil
	light := true
	one := Policy{Rules: []Rule{r}}
	one.eachLeaf(func(_ string, q Requirement) {
		c.leaves++
		light = light && c.weigh(&q)
		c.addRole(q.by())
		c.addRole(q.vexBy())
	})
	switch c.all += c.leaves; {
	case c.leaves > maxRequirements:
		return r, origin, faultf(at, "has more than %d requirements, with those of %s", maxRequirements, c.Policy.rulePath(pair.own))
	case c.all > maxAllRequirements:
		return r, origin, faultf(at, "is more than %d requirements of all rules, those that they share counted for each", maxAllRequirements)
	case !light:
		return r, origin, faultf(at, tooLarge, maxAllBytes)
	case r.SeparateDuties:
		return r, origin, c.checkSeparate(at)
	}
	return r, origin, nil
}

// teamRuleFor is RuleFor for a policy with teams. own is the policy's own rule, if it has
// one.
func (c *Checked) teamRuleFor(repo name.Repository, own pattern.Entry, has bool) (index int, pattern string, ok bool) {
	team, is := c.teamPatterns.Match(repo)
	if !is || has && c.Policy.Rules[own.Rule].Deny {
		return own.Rule, own.Pattern.String(), has
	}
	pair := together{alone, team.Rule}
	if has {
		pair.own = own.Rule
	}
	index, ok = c.joined[pair] // without one, no rule matches
	return index, team.Pattern.String(), ok
}

// yields reports whether a key or identity of a team gives way to one of the policy that is
// the same, and revoked. A revocation must not be refused because a team has the key.
func (p *Policy) yields(name, to string, revoked bool) bool {
	team, _ := p.splitName(name)
	other, _ := p.splitName(to)
	return team != "" && other == "" && revoked
}

// replace replaces keys or identities that have given way, in all roles.
func (p *Policy) replace(yielded map[string]string, of func(*Role) []string) {
	if len(yielded) == 0 {
		return
	}
	for _, r := range p.Roles {
		members := of(&r)
		for i, member := range members {
			if to, is := yielded[member]; is {
				members[i] = to
			}
		}
	}
}

// ownFirst are names, those of the policy before those of teams.
func ownFirst[V any](p *Policy, names map[string]V) []string {
	return slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		first, _ := p.splitName(a)
		second, _ := p.splitName(b)
		return cmp.Or(cmp.Compare(first, second), cmp.Compare(a, b))
	})
}
