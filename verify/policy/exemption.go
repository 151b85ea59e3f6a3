package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/pattern"
)

// MaxExemption is how far ahead of the clock Exemption.Until may be.
const MaxExemption = 90 * 24 * time.Hour

// ExemptionEndsSoon is how long before its end an exemption is warned of.
const ExemptionEndsSoon = 7 * 24 * time.Hour

// Bounds of exemptions.
const (
	maxExemptions       = 1000
	maxExemptedDigests  = 1000 // of one exemption
	maxExemptedPatterns = 100  // of one exemption
	maxExemptionWords   = 1000 // bytes of Reason, and of By
	// maxExcused bounds the places of rules that exemptions excuse, each counted for each.
	maxExcused = 1_000_000
)

// Exemption excuses one requirement for some digests until a time.
//
// What it does:
//
//   - It excuses the requirement as a whole, with all its conditions and its threshold,
//     wherever the rule that decides uses it. A requirement that is met needs no excuse.
//   - It holds for the listed digests alone. What a listed index lists must be listed too.
//
// What it does not do:
//
//   - It lifts no denial: DenyDigests, a rule that denies, a policy that has expired, an
//     image without a rule.
//   - It lifts no revocation: a requirement is not excused if a revoked key or identity of
//     its role has signed for it. A registry can hide such a signature, so the list of
//     digests is what bounds an exemption.
//   - It allows no unsigned image: a key or identity must count for another
//     requirement of the rule.
//   - It makes no evidence count, and keeps duties separate.
//   - It does not hold for files.
type Exemption struct {
	// Images are patterns of repositories, as in Rule. Required, at least one.
	Images []string `json:"images"`
	// Digests are those of manifests and indexes: sha256: and 64 lower-case hex digits.
	// Required, at least one.
	Digests []string `json:"digests"`
	// Requirement is the name of one of Policy.Requirements. A rule must use it, and need
	// another signature or attestation besides. Required.
	Requirement string `json:"requirement"`
	// Reason is why the requirement is excused. Required.
	Reason string `json:"reason"`
	// By is the person who has decided that. Required.
	By string `json:"by"`
	// Until is when the exemption ends. While it is more than MaxExemption (90 days) ahead
	// of the clock that judges, the exemption excuses nothing. Required.
	Until time.Time `json:"until"`
}

// Misfit says why an exemption excuses nothing at a time: it has ended, or ends later than
// it may, with clocks that differ by at most skew. Empty: it excuses.
func (e *Exemption) Misfit(now time.Time, skew time.Duration) string {
	switch until := e.Until.UTC().Format(time.RFC3339); {
	case !now.Before(e.Until):
		return "ended on " + until
	case e.Until.After(now.Add(MaxExemption + skew)):
		return "is until " + until + ", more than 90 days ahead, and is not in force"
	}
	return ""
}

// CheckExemptions refuses exemptions that end later than they may at a time. It is for tools
// that people check policies with. Policy.Check has no clock: a policy that revokes a key
// must not be refused because a clock is wrong.
func (p *Policy) CheckExemptions(now time.Time) error {
	p, err := p.merged()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for i := range p.Exemptions {
		e := &p.Exemptions[i]
		if most := now.Add(MaxExemption + time.Duration(p.ClockSkew)); e.Until.After(most) {
			return fmt.Errorf("%w: %s.until is %s, want at most 90 days from now, %s", ErrInvalid, p.exemptionPath(i), e.Until.UTC().Format(time.RFC3339), most.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// ExemptionsOf are the exemptions that excuse the requirement at a path such as
// "rules[0].require[1]", as indexes of Policy.Exemptions.
func (c *Checked) ExemptionsOf(path string) []int { return c.excused[path] }

// check checks the exemptions after the rules that they are about.
func (x *exempting) check(c *Checked) error {
	if len(c.Policy.Exemptions) > maxExemptions {
		return faultf(pathExemptions, "has more than %d exemptions", maxExemptions)
	}
	c.excused, c.excusedIn = make(map[string][]int), make([][][]string, len(c.Policy.Exemptions))
	all := 0
	for i := range c.Policy.Exemptions {
		e, path := &c.Policy.Exemptions[i], c.Policy.exemptionPath(i)
		e.Images, e.Digests = slices.Clone(e.Images), slices.Clone(e.Digests)
		if err := e.check(path); err != nil {
			return err
		}
		if err := x.checkExempted(c, e, path+".requirement"); err != nil {
			return err
		}
		if all += len(x.uses[e.Requirement]); all > maxExcused {
			return faultf(pathExemptions, "excuse more than %d places of rules that use their requirements", maxExcused)
		}
		for _, used := range x.uses[e.Requirement] {
			c.excused[used.path] = append(c.excused[used.path], i)
			c.excusedIn[i] = append(c.excusedIn[i], used.images)
		}
	}
	return nil
}

// pathExemptions is the path of Policy.Exemptions.
const pathExemptions = "exemptions"

func (e *Exemption) check(path string) error {
	switch {
	case len(e.Images) == 0:
		return faultf(path, "needs images: the patterns of the repositories that it is about")
	case len(e.Images) > maxExemptedPatterns:
		return faultf(path+".images", "has more than %d patterns", maxExemptedPatterns)
	case len(e.Digests) == 0:
		return faultf(path, "needs digests: an exemption is about images that are known")
	case len(e.Digests) > maxExemptedDigests:
		return faultf(path+".digests", "has more than %d digests", maxExemptedDigests)
	case e.Until.IsZero():
		return faultf(path, "needs until: the time at which it ends, at most 90 days ahead")
	}
	for i, text := range e.Images {
		if _, err := pattern.Parse(text); err != nil {
			return &fault{fmt.Sprintf("%s.images[%d]", path, i), err}
		}
	}
	for i, digest := range e.Digests {
		at := fmt.Sprintf("%s.digests[%d]", path, i)
		if !isDigest(digest) {
			return faultf(at, "needs a digest as in sha256:…, with 64 lower-case hex digits")
		}
		if slices.Contains(e.Digests[:i], digest) {
			return faultf(at, "names the digest a second time")
		}
	}
	for _, x := range []struct{ name, words, what string }{
		{"reason", e.Reason, "why the requirement is excused"}, {"by", e.By, "the person who has decided that"},
	} {
		if strings.TrimSpace(x.words) == "" {
			return faultf(path, "needs %s: %s", x.name, x.what)
		}
		if len(x.words) > maxExemptionWords {
			return faultf(path+"."+x.name, "has more than %d bytes", maxExemptionWords)
		}
	}
	return nil
}

// checkExempted refuses an exemption that could never hold.
func (x *exempting) checkExempted(c *Checked, e *Exemption, path string) error {
	name := e.Requirement
	if _, known := c.Policy.Requirements[name]; !known {
		if name == "" {
			return faultf(strings.TrimSuffix(path, ".requirement"), "needs requirement: the name of one of requirements")
		}
		return faultf(path, "names the requirement %.100q, which is not among requirements", name)
	}
	if len(x.uses[name]) == 0 {
		return faultf(path, "names the requirement %.100q, which no rule uses", name)
	}
	more, known := x.more[name]
	if !known {
		more = x.needsMore(name)
		x.more[name] = more
	}
	if !more {
		return faultf(path, "names the requirement %.100q, and no rule that uses it needs another signature or attestation: an unsigned image is never exempt", name)
	}
	return nil
}

// usage is a place in a rule that uses a requirement by its name.
type usage struct {
	rule int
	path string
	// images are the rule's patterns.
	images []string
}

// exempting is what the check of exemptions needs to know of the rules.
type exempting struct {
	// rule is the index of the rule under check; negative: what is checked is not a rule's.
	rule int
	// images are that rule's patterns.
	images []string
	// uses are the places that use requirements, by their names. Nil: the policy has no
	// exemptions, and nothing is noted.
	uses map[string][]usage
	// signed are the paths of the signatures and attestations that a rule requires.
	signed map[int][]string
	// more are the requirements beside which a rule needs a signature or attestation, and
	// those that need no other, as far as that was asked.
	more map[string]bool
}

// newExempting makes one for a policy.
func newExempting(p *Policy) exempting {
	x := exempting{rule: -1}
	if len(p.Exemptions) > 0 {
		x.uses, x.signed, x.more = make(map[string][]usage), make(map[int][]string), make(map[string]bool)
	}
	return x
}

// noteUse notes that a rule uses a requirement.
func (x *exempting) noteUse(name, path string) {
	if x.uses != nil && x.rule >= 0 {
		x.uses[name] = append(x.uses[name], usage{x.rule, path, x.images})
	}
}

// noteSigned notes that a rule requires a signature or an attestation.
func (x *exempting) noteSigned(q *Requirement, path string) {
	if x.uses != nil && x.rule >= 0 && q.by() != "" {
		x.signed[x.rule] = append(x.signed[x.rule], path)
	}
}

// needsMore reports whether a rule that uses a requirement requires a signature or
// attestation beside those of the requirement.
func (x *exempting) needsMore(name string) bool {
	paths, rules := make(map[string]bool), make(map[int]bool)
	for _, u := range x.uses[name] {
		paths[u.path], rules[u.rule] = true, true
	}
	for rule := range rules {
		if slices.ContainsFunc(x.signed[rule], func(path string) bool { return !isBelow(path, paths) }) {
			return true
		}
	}
	return false
}

// isBelow reports whether a path is one of others, or below one.
func isBelow(path string, others map[string]bool) bool {
	for !others[path] {
		end := strings.LastIndexByte(path, '.')
		if end < 0 {
			return false
		}
		path = path[:end]
	}
	return true
}

// unreachedExemptions looks for exemptions whose images have no rule that uses their
// requirement.
func (l *linting) unreachedExemptions() {
	for i, e := range l.Policy.Exemptions {
		if !slices.ContainsFunc(l.excusedIn[i], func(images []string) bool { return meet(e.Images, images) }) {
			l.add(FindingUnreached, l.Policy.exemptionPath(i), "excuses nothing: no rule for its images uses the requirement %s", e.Requirement)
		}
	}
}

// meet reports whether patterns of both lists match some repository.
func meet(some, others []string) bool {
	return slices.ContainsFunc(some, func(a string) bool {
		p, err := pattern.Parse(a)
		return err == nil && slices.ContainsFunc(others, func(b string) bool {
			q, err := pattern.Parse(b)
			return err == nil && p.Meets(q)
		})
	})
}
