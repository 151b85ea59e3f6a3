package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/pattern"
)

// FindingKind is what a Finding is about.
type FindingKind string

// The kinds of findings.
const (
	// FindingEnded: a key, an identity, an exception, an exemption or the policy has ended.
	FindingEnded FindingKind = "ended"
	// FindingEndsSoon: one of them ends within EndsSoon, or an exemption within
	// ExemptionEndsSoon.
	FindingEndsSoon FindingKind = "ends-soon"
	// FindingEndsLate: an exemption ends later than MaxExemption, and excuses nothing yet.
	FindingEndsLate FindingKind = "ends-late"
	// FindingUnmeetable: no evidence can meet a requirement at present, since too few
	// members of its role count.
	FindingUnmeetable FindingKind = "unmeetable"
	// FindingOneKey: one key meets two requirements of a rule that name two roles. A thief
	// of this key needs no second one.
	FindingOneKey FindingKind = "one-key"
	// FindingUnreached: a pattern decides about no repository, or no rule that an exemption
	// is about matches its images.
	FindingUnreached FindingKind = "unreached"
	// FindingUnused: no rule needs a key, an identity, a role or a builder.
	FindingUnused FindingKind = "unused"
)

// EndsSoon is how long before its end something ends soon.
const EndsSoon = 30 * 24 * time.Hour

// Finding is a doubt about a valid policy.
type Finding struct {
	Kind FindingKind `json:"kind"`
	// File is the team's file that it is about. Empty: the policy itself.
	File string `json:"file,omitempty"`
	// Path is where in the policy, as "rules[0].require[1]". Line and Column count from 1.
	Path   string `json:"path"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Detail says what is in doubt, and what to do.
	Detail string `json:"detail"`
	// Ends is when it ends or has ended. Zero: it is not about an end.
	Ends time.Time `json:"ends,omitzero"`
}

// End is a time at which a policy begins to allow less.
type End struct {
	// Path is what ends, as "keys.release".
	Path string    `json:"path"`
	At   time.Time `json:"at"`
}

// Ends are the times at which a policy begins to allow less, the earliest first: its own
// end, those of its keys and identities, of accepted vulnerabilities and of exemptions.
func (p *Policy) Ends() (all []End) {
	add := func(at time.Time, path string) {
		if !at.IsZero() {
			all = append(all, End{path, at})
		}
	}
	add(p.Expires, "expires")
	for name, k := range p.Keys {
		if k.Revoked.IsZero() {
			add(k.NotAfter, p.pathOf("keys", name))
		}
	}
	for name, i := range p.Identities {
		if i.Revoked.IsZero() {
			add(i.NotAfter, p.pathOf("identities", name))
		}
	}
	p.eachLeaf(func(path string, q Requirement) {
		if q.Attestation == nil {
			return
		}
		for i, a := range q.Attestation.Accept {
			add(a.Until, fmt.Sprintf("%s.attestation.accept[%d]", path, i))
		}
	})
	for i, e := range p.Exemptions {
		add(e.Until, p.exemptionPath(i))
	}
	for name, t := range p.Teams {
		if t.Policy == nil {
			continue
		}
		for _, e := range t.Policy.Ends() {
			add(e.At, teamPath(name, e.Path))
		}
	}
	slices.SortFunc(all, func(a, b End) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Path, b.Path)) })
	return all
}

// NextEnd is the first of the policy's Ends after now; false: nothing ends later.
func (p *Policy) NextEnd(now time.Time) (next End, ok bool) {
	for _, e := range p.Ends() {
		if e.At.After(now) {
			return e, true
		}
	}
	return End{}, false
}

// Days are the whole days from now until the end.
func (e End) Days(now time.Time) int { return int(e.At.Sub(now).Hours() / 24) }

// pathFiles is the path of Policy.Files.
const pathFiles = "files"

// eachLeaf calls do with each requirement that is not a list of others, and its path:
// those of rules and files, and those that rules share.
func (p *Policy) eachLeaf(do func(path string, q Requirement)) {
	for _, name := range slices.Sorted(maps.Keys(p.Requirements)) {
		p.Requirements[name].eachLeaf(p.pathOf("requirements", name), do)
	}
	for i, r := range p.Rules {
		for n, q := range r.Require {
			q.eachLeaf(fmt.Sprintf("%s.require[%d]", p.rulePath(i), n), do)
		}
	}
	for i, q := range p.Files {
		q.eachLeaf(fmt.Sprintf("%s[%d]", pathFiles, i), do)
	}
}

func (q Requirement) eachLeaf(path string, do func(path string, q Requirement)) {
	if q.AnyOf == nil && q.AllOf == nil {
		do(path, q)
	}
	for i, of := range q.AnyOf {
		of.eachLeaf(fmt.Sprintf("%s.anyOf[%d]", path, i), do)
	}
	for i, of := range q.AllOf {
		of.eachLeaf(fmt.Sprintf("%s.allOf[%d]", path, i), do)
	}
}

// Lint loads a policy file as Load does, and looks for what its author may not have
// meant, at a time. Findings stand in the order of the file.
func Lint(path string, o ParseOptions, now time.Time) ([]Finding, error) {
	read, err := load(path, o)
	if err != nil {
		return nil, err
	}
	written, err := read.policy.merged()
	if err != nil {
		return nil, err
	}
	l := &linting{Checked: read.checked, written: written, now: now}
	for _, look := range []func(){l.ends, l.unmeetable, l.oneKey, l.unreached, l.unreachedExemptions, l.unused} {
		look()
	}
	for i := range l.all {
		f := &l.all[i]
		team, path := read.split(f.Path)
		if team != "" {
			f.File = read.policy.Teams[team].File
		}
		f.Line, f.Column = read.docOf(team).Position(path)
	}
	slices.SortStableFunc(l.all, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(a.Path, b.Path))
	})
	return l.all, nil
}

// linting is a policy whose findings are collected.
type linting struct {
	*Checked
	// written is the policy as it stands in its file: what uses a shared requirement is
	// not replaced by it.
	written *Policy
	now     time.Time
	all     []Finding
}

func (l *linting) add(kind FindingKind, path, format string, args ...any) {
	l.all = append(l.all, Finding{Kind: kind, Path: path, Detail: fmt.Sprintf(format, args...)})
}

func (l *linting) ends() {
	for _, e := range l.written.Ends() {
		exempts, soon := isExemptionPath(e.Path), EndsSoon
		if exempts {
			soon = ExemptionEndsSoon
		}
		switch left := e.At.Sub(l.now); {
		case left <= 0:
			l.add(FindingEnded, e.Path, "ended on %s: renew it, or remove it", e.At.UTC().Format(time.RFC3339))
		case exempts && left > MaxExemption+time.Duration(l.Policy.ClockSkew):
			l.add(FindingEndsLate, e.Path, "ends on %s, more than 90 days ahead, and excuses nothing yet: write an earlier until", e.At.UTC().Format(time.RFC3339))
		case left <= soon:
			l.add(FindingEndsSoon, e.Path, "ends on %s, in %d days", e.At.UTC().Format(time.RFC3339), e.Days(l.now))
		default:
			continue
		}
		l.all[len(l.all)-1].Ends = e.At
	}
}

// counting is how many members of a role count at present. A revoked key may count for
// images that it has signed before, and never for files.
func (l *linting) counting(role string, files bool) (n int) {
	for _, name := range l.Policy.Roles[role].Keys {
		k := l.Policy.Keys[name]
		stands := k.StandsBefore && !files
		if (k.Revoked.IsZero() || stands) && !l.now.Before(k.NotBefore) && (k.NotAfter.IsZero() || l.now.Before(k.NotAfter)) {
			n++
		}
	}
	for _, name := range l.Policy.Roles[role].Identities {
		i := l.Policy.Identities[name]
		if i.StandsBefore || i.Revoked.IsZero() && (i.NotAfter.IsZero() || l.now.Before(i.NotAfter)) {
			n++
		}
	}
	return n
}

func (l *linting) unmeetable() {
	l.written.eachLeaf(func(path string, q Requirement) {
		for _, role := range []string{q.by(), q.vexBy()} {
			r, is := l.Policy.Roles[role]
			if n := l.counting(role, strings.HasPrefix(path, pathFiles)); is && n < r.Threshold {
				l.add(FindingUnmeetable, path, "cannot be met: %d of the role %s must sign, and %d of its members count at present", r.Threshold, role, n)
			}
		}
		if a := q.Attestation; a != nil && a.BuiltAfter.After(l.now) {
			l.add(FindingUnmeetable, path, "cannot be met: builtAfter is %s, in the future", a.BuiltAfter.UTC().Format(time.RFC3339))
		}
	})
}

// by is the role that must sign; "" where none does.
func (q Requirement) by() string {
	switch {
	case q.Signature != nil:
		return q.Signature.By
	case q.Attestation != nil:
		return q.Attestation.By
	}
	return ""
}

func (q Requirement) vexBy() string {
	if q.Attestation == nil {
		return ""
	}
	return q.Attestation.VEXBy
}

// oneKey looks for keys in two roles of a rule, each of which one member opens. A rule
// with separateDuties has none.
func (l *linting) oneKey() {
	c := &checking{Checked: l.Checked}
	for i, r := range l.Policy.Rules {
		var roles []string
		one := Policy{Rules: []Rule{{Require: r.Require}}}
		one.eachLeaf(func(_ string, q Requirement) {
			if role := q.by(); role != "" && l.Policy.Roles[role].Threshold == 1 && !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		})
		for n, a := range roles {
			for _, b := range roles[:n] {
				if key := c.inBoth(a, b); key != "" {
					l.add(FindingOneKey, l.Origin(i).Rule, "asks the roles %s and %s, and the key %s is in both: one stolen key meets both; set separateDuties, or give the roles keys of their own", b, a, key)
				}
			}
		}
	}
}

func (l *linting) unreached() {
	for _, set := range []*pattern.Set{l.patterns, l.teamPatterns} {
		if set == nil {
			continue
		}
		for _, e := range set.Unreached() {
			path := fmt.Sprintf("%s.images[%d]", l.written.rulePath(e.Rule), slices.Index(l.written.Rules[e.Rule].Images, e.Pattern.String()))
			l.add(FindingUnreached, path, "%s decides about no repository: more specific patterns match all that it matches", e.Pattern)
		}
	}
}

func (l *linting) unused() {
	roles, builders, members, shared := make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]bool)
	l.written.eachLeaf(func(_ string, q Requirement) {
		roles[q.by()], roles[q.vexBy()], shared[q.Use] = true, true, true
		if q.Attestation != nil && q.Attestation.MinLevel > 0 {
			for _, id := range q.Attestation.Builder {
				builders[id] = true
			}
		}
	})
	for name, r := range l.Policy.Roles {
		for _, member := range slices.Concat(r.Keys, r.Identities) {
			members[member] = true
		}
		if !roles[name] {
			l.add(FindingUnused, l.written.pathOf("roles", name), "is a role that no requirement names")
		}
	}
	for name := range l.Policy.Requirements {
		if !shared[name] {
			l.add(FindingUnused, l.written.pathOf("requirements", name), "is a requirement that no rule uses")
		}
	}
	for name := range l.Policy.Keys {
		if !members[name] {
			l.add(FindingUnused, l.written.pathOf("keys", name), "is a key of no role")
		}
	}
	for name := range l.Policy.Identities {
		if !members[name] {
			l.add(FindingUnused, l.written.pathOf("identities", name), "is an identity of no role")
		}
	}
	for id := range l.Policy.Builders {
		if !builders[id] {
			l.add(FindingUnused, "builders."+id, "has a level that no requirement asks for with minLevel")
		}
	}
}
