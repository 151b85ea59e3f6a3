package verify

import (
	"fmt"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// images is what was read of the image itself.
type images struct {
	views []*imageView
	err   error
}

// leafMet reports whether a requirement is met.
func (j *judgement) leafMet(n *need) bool {
	state := &j.leaves[n.leaf]
	if n.config != nil || n.layout {
		return state.met
	}
	return len(state.counted) >= n.role.threshold
}

// met reports whether a requirement, or what it consists of, is met.
func (j *judgement) met(n *need) bool { return n.holds(j.leafMet) }

// enough reports whether no further evidence is needed. What is asked of the
// image itself is judged apart: where it must be met anyway, no evidence changes
// that; where it is an alternative, it may turn out not to be met.
func (j *judgement) enough(n *need) bool {
	return n.holds(func(leaf *need) bool { return leaf.config != nil && !leaf.optional || j.leafMet(leaf) })
}

// holds evaluates the tree.
func (n *need) holds(leaf func(*need) bool) bool {
	if n.children == nil {
		return leaf(n)
	}
	for _, child := range n.children {
		if child.holds(leaf) == n.any {
			return n.any
		}
	}
	return !n.any
}

// decisive appends the leaves that a positive decision rests on: of each anyOf
// those of the first alternative that is met.
func (j *judgement) decisive(all []*need, n *need) []*need {
	if n.children == nil {
		return append(all, n)
	}
	for _, child := range n.children {
		switch {
		case !n.any:
			all = j.decisive(all, child)
		case j.met(child):
			return j.decisive(all, child)
		}
	}
	return all
}

// result is the positive decision.
func (j *judgement) result() *Result {
	r := j.newResult()
	r.ValidUntil = j.v.policy.expires
	var room [4]*need // saves most rules an allocation
	for _, leaf := range j.decisive(room[:0], j.rule.root) {
		state := &j.leaves[leaf.leaf]
		met := Met{Requirement: leaf.path, Title: leaf.title, Keys: state.counted}
		if leaf.role != nil {
			met.By = leaf.role.name
		}
		r.Requirements = append(r.Requirements, met)
		r.Keys = joined(r.Keys, state.counted)
		r.Statements = joined(r.Statements, state.statements)
		r.ValidUntil = earlier(r.ValidUntil, state.until)
	}
	return r
}

// joined is append that leaves what it is given as it is, and copies only where
// there is something on both sides.
func joined[T any](have, more []T) []T {
	if len(have) == 0 {
		return slices.Clip(more)
	}
	return append(have, more...)
}

func (j *judgement) newResult() *Result {
	return &Result{
		Reference: j.reference, Digest: j.digest, Evidence: j.told(), PolicyDigest: j.v.policy.digest,
		Rule: j.pattern, JudgedAt: j.now, by: j.v,
	}
}

// refuse is the negative decision, or that there is none.
func (j *judgement) refuse() (*Result, error) {
	if err := j.ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: not verified: %w", j.digest, err)
	}
	if j.overflow == nil && len(j.causes) > 0 {
		return nil, &UndecidedError{Reference: j.reference, Digest: j.digest, Evidence: j.told(), Causes: j.causes}
	}
	e := &Error{
		Reference: j.reference, Digest: j.digest, Evidence: j.told(), PolicyDigest: j.v.policy.digest, Rule: j.pattern,
		Unmet: j.unmet(j.rule.root),
	}
	e.Reason, e.Detail = e.Unmet[0].Reason, e.Unmet[0].Detail
	if j.overflow != nil {
		e.Reason, e.Detail = ReasonTooMuchEvidence, registry.SafeText(j.overflow.Error(), maxDetail)
	}
	if j.rule.Mode != policy.ModeWarn {
		return nil, e
	}
	r := j.newResult()
	r.ValidUntil = j.v.policy.expires
	r.Warning = e
	return r, nil
}

// unmet lists the leaves that would have to be met.
func (j *judgement) unmet(n *need) []Unmet {
	if n.children == nil {
		u := Unmet{Requirement: n.path, Title: n.title}
		u.Reason, u.Detail = j.why(n)
		return []Unmet{u}
	}
	var all []Unmet
	for _, child := range n.children {
		if !j.met(child) {
			all = append(all, j.unmet(child)...)
		}
	}
	return all
}

// why says what is missing of a requirement.
func (j *judgement) why(n *need) (Reason, string) {
	state := &j.leaves[n.leaf]
	switch {
	case n.config != nil && state.problem == nil:
		return ReasonConfig, "the image's config could not be read"
	case n.config != nil:
		return state.problem.reason, registry.SafeText(state.problem.detail, maxDetail)
	case n.layout && state.problem != nil:
		return state.problem.reason, registry.SafeText(state.problem.detail, maxDetail)
	case len(state.counted) > 0:
		return ReasonThreshold, fmt.Sprintf("signed by %d of the %d distinct trusted keys needed", len(state.counted), n.role.threshold)
	case n.attestation != nil && state.problem != nil:
		return state.problem.reason, registry.SafeText(state.problem.detail, maxDetail)
	case n.attestation != nil && state.offered:
		return ReasonNoTrustedAttestation, "no attestation of type " + n.attestation.Type + " that is attached to it counts"
	case n.attestation != nil:
		return ReasonNoAttestation, "no attestation of type " + n.attestation.Type + " is attached to it"
	}
	for _, e := range j.seen {
		if (e.Requirement == "" || e.Requirement == n.path) && e.looksLikeSignature() {
			return ReasonNoTrustedSignature, "no signature attached to it counts"
		}
	}
	return ReasonNoSignature, "no signature is attached to it"
}

// looksLikeSignature reports whether evidence was offered as a signature, as
// far as one can tell.
func (e Evidence) looksLikeSignature() bool {
	return e.Format != registry.FormatOther && e.Reason != ReasonWrongType && !e.attestation
}

// judgeImages judges what is asked of the image itself.
func (j *judgement) judgeImages(read images) {
	if read.err != nil {
		j.unreadImage(read.err)
		return
	}
	for _, leaf := range j.rule.leaves {
		if leaf.config == nil {
			continue
		}
		state := &j.leaves[leaf.leaf]
		state.met = true
		for _, view := range read.views {
			until, p := leaf.config.judge(view, j.now, j.v.policy.skew)
			if p != nil {
				state.met, state.problem = false, p
				break
			}
			state.until = earlier(state.until, until)
		}
	}
}

// unreadImage notes that the image itself could not be judged.
func (j *judgement) unreadImage(err error) {
	if registry.Unreadable(err) {
		j.causes = append(j.causes, err)
		return
	}
	for _, leaf := range j.rule.leaves {
		if leaf.config != nil {
			j.leaves[leaf.leaf].problem = &problem{ReasonConfig, err.Error()}
		}
	}
}

// ValidAt reports whether a result may still be used at a time: what it rests on
// has not ended.
func (r *Result) ValidAt(t time.Time) bool { return r.ValidUntil.IsZero() || t.Before(r.ValidUntil) }
