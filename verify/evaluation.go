package verify

import (
	"slices"
	"time"
)

// evaluation says whether what is known of an image, or of a file, meets a rule. It
// reads nothing, checks no signature and has no clock. Its verbs, in order: add, until
// there is enough or nothing more; close; answer, for what is judged as a whole, unless
// it was known before; outcome. Facts may be added in any order, and more than once.
type evaluation struct {
	rule     *rule
	contents contents
	log      *ledger
	leaves   []leafState
	duties   duties
}

// contents judges what was signed. An evaluation only counts.
type contents interface {
	// meets says why a fact does not meet the conditions of a requirement; nil: it does,
	// until a time (zero: never). What is excused is not a vulnerability.
	meets(leaf *need, f fact, excused map[string]bool) (until time.Time, p *problem)
	// excuses lists the vulnerabilities that OpenVEX documents excuse until a time. An
	// error says that one of them cannot be read.
	excuses(leaf *need, documents []vexDocument) (excused map[string]bool, until time.Time, err error)
}

// fact is something that a valid key or identity of the policy has signed about what is
// judged.
type fact struct {
	from        origin
	by          signatory
	seenAt      time.Time // when a clock saw the signature, where that matters
	annotations map[string]string
	repository  string     // that a simple signing payload names
	statement   *statement // nil: a signature
}

// signatory is who has signed: a key, or an identity that has recognised a principal.
type signatory struct {
	// id is that of the key or identity, which thresholds count, and name the policy's.
	id, name string
	// principal is whom an identity has recognised; empty: it is a key.
	principal string
	// until is when it ends to count; zero: never.
	until time.Time
}

// leafState is how far a requirement is met.
type leafState struct {
	tally
	// statements are what those who count have said.
	statements []Statement
	// until is when what counts ends by itself; zero: never.
	until time.Time
	// problem is why what the role has signed, or what was answered, does not count.
	problem *problem
	// met is the answer about what is judged as a whole.
	met   bool
	scans scans
}

func newEvaluation(r *rule, c contents, log *ledger) *evaluation {
	log.claimed = make([]bool, len(r.leaves))
	return &evaluation{rule: r, contents: c, log: log, leaves: make([]leafState, len(r.leaves))}
}

// add counts a fact for every requirement that it is for. It waits for close where it
// depends on what else there is: on the roles in which its signer stands, or on OpenVEX.
func (e *evaluation) add(f fact) {
	if e.rule.separatesPeople && f.by.principal != "" {
		e.duties.waiting = append(e.duties.waiting, f)
		return
	}
	e.judge(f)
}

// join notes that one principal is known by several names.
func (e *evaluation) join(principals []string) {
	if e.rule.separatesPeople {
		e.duties.join(principals)
	}
}

// answer says whether the image's config or an in-toto layout meets a requirement: p is
// why not.
func (e *evaluation) answer(leaf *need, until time.Time, p *problem) {
	state := &e.leaves[leaf.leaf]
	state.met, state.until, state.problem = p == nil, until, p
}

// enough reports whether no further evidence is needed. The image's config is left out
// where it must be met anyway: no evidence changes that. Where it is an alternative, it
// may turn out not to be met.
func (e *evaluation) enough() bool {
	return e.rule.root.holds(func(leaf *need) bool { return leaf.config != nil && !leaf.optional || e.leafMet(leaf) })
}

// close judges what has waited for all other evidence. gap is why some of that is
// missing; empty: all was seen.
func (e *evaluation) close(gap Reason) {
	e.closeDuties(gap)
	e.closeScans(gap == "" && !e.enough())
}

// outcome is what an evaluation came to.
type outcome struct {
	// unmet are the requirements that would have to be met; empty: the rule is met, by
	// all that follows.
	unmet        []Unmet
	requirements []Met
	keys         []Principal
	statements   []Statement
	until        time.Time // zero: it does not end
}

func (e *evaluation) outcome() (o outcome) {
	if !e.met(e.rule.root) {
		o.unmet = e.unmet(e.rule.root)
		return o
	}
	var room [4]*need // saves most rules an allocation
	for _, leaf := range e.decisive(room[:0], e.rule.root) {
		state := &e.leaves[leaf.leaf]
		met := Met{Requirement: leaf.path, Title: leaf.title, Keys: state.counted}
		if leaf.role != nil {
			met.By = leaf.role.name
		}
		o.requirements = append(o.requirements, met)
		o.keys = joined(o.keys, state.counted)
		o.statements = joined(o.statements, state.statements)
		o.until = earlier(o.until, state.until)
	}
	return o
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

// leafMet reports whether a requirement is met.
func (e *evaluation) leafMet(n *need) bool {
	state := &e.leaves[n.leaf]
	if n.config != nil || n.stepLayout {
		return state.met
	}
	return len(state.counted) >= n.role.threshold
}

// met reports whether a requirement, or what it consists of, is met.
func (e *evaluation) met(n *need) bool { return n.holds(e.leafMet) }

// decisive appends the leaves that a positive decision rests on: of each anyOf
// those of the first alternative that is met.
func (e *evaluation) decisive(all []*need, n *need) []*need {
	if n.children == nil {
		return append(all, n)
	}
	for _, child := range n.children {
		switch {
		case !n.any:
			all = e.decisive(all, child)
		case e.met(child):
			return e.decisive(all, child)
		}
	}
	return all
}

// unmet lists the leaves that would have to be met.
func (e *evaluation) unmet(n *need) []Unmet {
	if n.children == nil {
		return []Unmet{e.log.unmet(n, &e.leaves[n.leaf])}
	}
	var all []Unmet
	for _, child := range n.children {
		if !e.met(child) {
			all = append(all, e.unmet(child)...)
		}
	}
	return all
}

// judge judges a fact for every requirement that it is for.
func (e *evaluation) judge(f fact) {
	asked := false
	for _, leaf := range e.rule.leaves {
		if leaf.vexBy != nil && f.statement != nil && isVEX(f.statement.predicateType) && leaf.vexBy.keys[f.by.id] {
			asked = true
			e.addDocument(leaf, f)
		}
		if leaf.asksFor(f) {
			asked = true
			e.judgeFor(leaf, f)
		}
	}
	if asked {
		return
	}
	detail := "no requirement asks for a signature"
	if f.statement != nil {
		detail = "no requirement asks for an attestation of type " + f.statement.predicateType
	}
	e.log.note(f.from, f.by.id, nil, ReasonWrongType, detail)
}

// asksFor reports whether a requirement is about facts of this kind.
func (n *need) asksFor(f fact) bool {
	switch {
	case n.signature != nil:
		return f.statement == nil
	case n.attestation != nil:
		return f.statement != nil && n.matchesType(f.statement.predicateType)
	}
	return false
}

// judgeFor judges a fact for one requirement.
func (e *evaluation) judgeFor(leaf *need, f fact) {
	e.log.claimed[leaf.leaf] = true
	if !leaf.role.keys[f.by.id] {
		e.log.note(f.from, f.by.id, leaf, ReasonWrongRole, "the key "+f.by.name+" is not in the role "+leaf.role.name)
		return
	}
	until, p := e.contents.meets(leaf, f, nil)
	if p != nil && p.reason == ReasonVulnerable && leaf.vexBy != nil {
		e.postpone(leaf, f)
		return
	}
	e.count(leaf, f, until, p)
}

// count counts a fact that meets the conditions until a time, or notes why it does
// not.
func (e *evaluation) count(leaf *need, f fact, until time.Time, p *problem) {
	state := &e.leaves[leaf.leaf]
	if p != nil {
		if state.problem == nil || p.tellsMoreThan(state.problem) {
			state.problem = p
		}
		e.log.note(f.from, f.by.id, leaf, p.reason, p.detail)
		return
	}
	counted := state.tally.add(f)
	if counted || f.by.principal != "" { // what an identity has signed may count later
		state.until = earlier(state.until, earlier(until, f.by.until))
	}
	if !counted {
		e.log.note(f.from, f.by.id, leaf, ReasonRepeated, "another signature of this key, or of the same principal, has counted")
		return
	}
	if f.statement != nil {
		state.statements = append(state.statements, Statement{
			PredicateType: f.statement.predicateType, Predicate: f.statement.predicate, KeyID: f.by.id, Evidence: f.from.manifest,
		})
	}
	e.log.note(f.from, f.by.id, leaf, ReasonCounted, "")
}

// tally counts who has signed.
type tally struct {
	// counted are the keys, in the order of their evidence, and then the
	// identities.
	counted []Principal
	votes   votes
}

// add counts who has signed, and reports whether that adds to what there is.
func (t *tally) add(f fact) bool {
	signer := Principal{ID: f.by.id, Name: f.by.name, Evidence: f.from.manifest, Annotations: f.annotations, SeenAt: f.seenAt}
	if f.by.principal == "" {
		if slices.ContainsFunc(t.counted, func(o Principal) bool { return o.ID == signer.ID }) {
			return false
		}
		t.counted = append(t.counted, signer)
		return true
	}
	if !t.votes.add(vote{signer, f.by.principal}) {
		return false
	}
	keys := slices.DeleteFunc(slices.Clone(t.counted), func(o Principal) bool {
		return slices.ContainsFunc(t.votes, func(v vote) bool { return v.signer.ID == o.ID })
	})
	before := len(t.counted)
	t.counted = append(keys, t.votes.count()...)
	return len(t.counted) > before
}

// vote is what an identity has signed, and whom it has recognised. One certificate may
// be recognised by several identities of a policy, and one identity may recognise
// several principals: a threshold counts no principal and no identity twice.
type vote struct {
	signer    Principal // its ID is the identity's
	principal string
}

// votes are those for one requirement, no identity twice for one principal.
type votes []vote

// add takes a vote, and reports whether it was new.
func (all *votes) add(v vote) bool {
	if slices.ContainsFunc(*all, func(o vote) bool { return o.principal == v.principal && o.signer.ID == v.signer.ID }) {
		return false
	}
	*all = append(*all, v)
	return true
}

// count chooses as many votes as there can be without a principal or an identity
// twice: a maximum matching of the two, by augmenting paths.
func (all votes) count() []Principal {
	taken := make(map[string]vote) // by identity
	var place func(principal string, tried map[string]bool) bool
	place = func(principal string, tried map[string]bool) bool {
		for _, v := range all {
			id := v.signer.ID
			if v.principal != principal || tried[id] {
				continue
			}
			tried[id] = true
			if other, is := taken[id]; !is || place(other.principal, tried) {
				taken[id] = v
				return true
			}
		}
		return false
	}
	asked := make(map[string]bool)
	for _, v := range all {
		if !asked[v.principal] {
			asked[v.principal] = true
			place(v.principal, make(map[string]bool))
		}
	}
	var chosen []Principal
	for _, v := range all {
		if t, is := taken[v.signer.ID]; is && t.principal == v.principal {
			chosen = append(chosen, v.signer)
		}
	}
	return chosen
}

// joined is append that leaves what it is given as it is, and copies only where
// there is something on both sides.
func joined[T any](have, more []T) []T {
	if len(have) == 0 {
		return slices.Clip(more)
	}
	return append(have, more...)
}

// earlier is the earlier of two times, where zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
