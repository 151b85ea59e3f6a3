package policytest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Uncovered is a part of a policy that no case tries.
type Uncovered struct {
	// Policy is the policy file, Path what in it, as "rules[0].require[1]".
	Policy string `json:"policy"`
	Path   string `json:"path"`
	// Detail says what no case shows.
	Detail string `json:"detail"`
}

// coverage is what cases have shown of policies.
type coverage struct {
	all []*covered // in the order of the cases
	of  map[string]*covered
}

// covered is what cases have shown of one policy.
type covered struct {
	file    string
	policy  *policy.Checked
	reached map[string]bool // paths of rules
	allowed map[string]bool // paths of rules
	unmet   map[string]bool // paths of requirements
}

func newCoverage() *coverage { return &coverage{of: make(map[string]*covered)} }

func (c *coverage) add(l *loaded, checked *policy.Checked, r verify.Report) {
	at := fileOf(l.policy)
	one := c.of[at]
	if one == nil {
		one = &covered{l.policy, checked, make(map[string]bool), make(map[string]bool), make(map[string]bool)}
		c.of[at] = one
		c.all = append(c.all, one)
	}
	for _, rule := range l.rules(checked) {
		one.reached[rule] = true
		one.allowed[rule] = one.allowed[rule] || r.Status != verify.StatusDenied
	}
	for _, u := range r.Unmet {
		one.unmet[u.Requirement] = true
	}
}

// rules are the paths of the rules that decide about a case: that of the policy, and that
// of a team.
func (c *loaded) rules(p *policy.Checked) []string {
	if c.Image == "" {
		return []string{filesPath}
	}
	ref, _, _ := c.reference() // a case that was judged has one
	i, _, ok := p.RuleFor(ref.Context())
	if !ok {
		return nil
	}
	origin := p.Origin(i)
	all := []string{origin.Rule}
	for _, q := range origin.Requirements {
		all = append(all, ruleOf(q))
	}
	return all
}

// ruleOf is the path of a requirement's rule.
func ruleOf(requirement string) string {
	return requirement[:max(0, strings.LastIndex(requirement, ".require["))]
}

// missing lists what no case tries.
func (c *coverage) missing() (all []Uncovered) {
	for _, one := range c.all {
		for _, u := range one.missing() {
			all = append(all, Uncovered{one.file, u.Path, u.Detail})
		}
	}
	return all
}

// fileOf is one path of a file that has several.
func fileOf(path string) string {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		path = at
	}
	if at, err := filepath.Abs(path); err == nil {
		path = at
	}
	return path
}

func (c *covered) missing() (all []Uncovered) {
	add := func(path, format string, args ...any) {
		all = append(all, Uncovered{Path: path, Detail: fmt.Sprintf(format, args...)})
	}
	lacked := func(paths []string) {
		for _, at := range paths {
			if !c.shows(at) {
				add(at, "no case lacks what it requires")
			}
		}
	}
	seen := make(map[string]bool)
	for i, r := range c.policy.Policy.Rules {
		origin, of := c.policy.Origin(i), strings.Join(r.Images, ", ")
		path := origin.Rule
		if seen[path] {
			continue
		}
		seen[path] = true
		switch {
		case !c.reached[path]:
			add(path, "no case reaches the rule for %s", of)
			continue
		case !r.Deny && !c.allowed[path]:
			add(path, "no case is allowed by the rule for %s", of)
		}
		lacked(slices.DeleteFunc(slices.Clone(origin.Requirements), func(q string) bool { return ruleOf(q) != path }))
	}
	switch {
	case c.policy.Policy.Files == nil:
		return all
	case !c.reached[filesPath]:
		add(filesPath, "no case is about a file")
		return all
	case !c.allowed[filesPath]:
		add(filesPath, "no file is allowed")
	}
	var files []string
	for n := range c.policy.Policy.Files {
		files = append(files, fmt.Sprintf("%s[%d]", filesPath, n))
	}
	lacked(files)
	return all
}

// filesPath is where policies hold the requirements of files.
const filesPath = "files"

// shows reports whether a case does not meet a requirement, or a part of it.
func (c *covered) shows(path string) bool {
	return c.unmet[path] || slices.ContainsFunc(sorted(c.unmet), func(u string) bool { return strings.HasPrefix(u, path+".") })
}
