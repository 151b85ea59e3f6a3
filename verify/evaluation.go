package verify

import (
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// evaluation says whether what is known about an image or file meets a rule. It reads
// nothing, checks no signature and has no clock. Its verbs, in order: add, until enough
// counts or no evidence is left; close; answer, for what is judged as a whole; outcome.
// Facts may be added in any order, and more than once.
type evaluation struct {
	rule     *rule
	contents contents
	log      *ledger
	leaves   []leafState
	duties   duties
	all      bool // evidence is added also after enough of it counts
}

// contents judges what was signed. An evaluation only counts.
type contents interface {
	// meets says why a fact does not meet the conditions of a requirement; nil: it does,
	// until a time (zero: no end). An excused vulnerability does not count, and is noted
	// in excused.
	meets(leaf *need, f fact, excused *excuses) (until time.Time, p *problem)
	// excuses lists the vulnerabilities that OpenVEX documents excuse until a time. An
	// error says that a document cannot be read.
	excuses(leaf *need, documents []vexDocument) (excused map[string]Excused, until time.Time, err error)
}

// fact is a statement or signature that a valid key or identity of the policy made about
// the subject.
type fact struct {
	from        origin
	by          signatory
	known       policy.Recognized // what authorities know of the signature and its signer
	annotations map[string]string
	repository  string     // that a simple signing payload names
	statement   *statement // nil: a signature
}

// signatory is the key or identity that signed.
type signatory struct {
	// id is what thresholds count, name the name in the policy.
	id, name string
	// principal is whom an identity recognised; empty: a key signed.
	principal string
	// until is when the signatory ends to count; zero: no end.
	until time.Time
}

// leafState is how far a requirement is met.
type leafState struct {
	tally
	// statements are those of the signatories that count.
	statements []Statement
	// until is when what counts ends; zero: no end.
	until time.Time
	// problem is why the statements of the role, or the answer, do not count.
	problem *problem
	// excused did not count in scans that count, failed in the scan of problem.
	excused, failed []Excused
	// met is the answer about what is judged as a whole.
	met   bool
	scans scans
}

func newEvaluation(r *rule, c contents, log *ledger) *evaluation {
	log.claimed = make([]bool, len(r.leaves))
	return &evaluation{rule: r, contents: c, log: log, leaves: make([]leafState, len(r.leaves))}
}

// add counts a fact for every requirement that asks for it. A fact waits for close if it
// depends on other evidence: on the roles of its signer, or on OpenVEX.
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

// answer says whether the image's config or an in-toto layout meets a requirement; p is why
// not.
func (e *evaluation) answer(leaf *need, until time.Time, p *problem) {
	state := &e.leaves[leaf.leaf]
	state.met, state.until, state.problem = p == nil, until, p
}

// enough reports whether no further evidence is needed. A required config is left out: no
// evidence changes it. A config below anyOf counts, because it may turn out not to be met.
func (e *evaluation) enough() bool {
	return e.rule.root.holds(func(leaf *need) bool { return leaf.config != nil && !leaf.optional || e.leafMet(leaf) })
}

// close judges what waited for all other evidence. gap is why some evidence is missing;
// empty: all was read.
func (e *evaluation) close(gap Reason) {
	e.closeDuties(gap)
	e.closeScans(gap == "" && (e.all || !e.enough()))
}

// outcome is the result of an evaluation.
type outcome struct {
	// unmet are the requirements that would have to be met. Empty: the rule is met, by the
	// members below.
	unmet []Unmet
	// denied: what the rule enforces is not met.
	denied       bool
	requirements []Met
	keys         []Principal
	statements   []Statement
	until        time.Time // zero: it does not end
	// exempted are requirements that need not be met.
	exempted []Exempted
}

func (e *evaluation) outcome() (o outcome) {
	if !e.met(e.rule.root) {
		o.unmet = e.unmet(e.rule.root)
		o.denied = e.rule.enforced != nil && !e.met(e.rule.enforced)
		return o
	}
	var room [4]*need // saves most rules an allocation
	return e.outcomeOf(e.decisive(room[:0], e.rule.root))
}

// outcomeOf is the outcome that rests on these requirements, which are met.
func (e *evaluation) outcomeOf(leaves []*need) (o outcome) {
	for _, leaf := range leaves {
		state := &e.leaves[leaf.leaf]
		met := Met{Requirement: leaf.path, Title: leaf.title, Team: teamOf(leaf.path), Keys: state.counted, Excused: state.excused}
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

// met reports whether a requirement and its children are met.
func (e *evaluation) met(n *need) bool { return n.holds(e.leafMet) }

// decisive appends the leaves that a positive decision rests on: of each anyOf, those of
// the first alternative that is met.
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

// judge judges a fact for every requirement that asks for it.
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

// asksFor reports whether a requirement asks for facts of this kind.
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
	var excused excuses
	until, p := e.contents.meets(leaf, f, &excused)
	if p != nil && p.reason == ReasonVulnerable && leaf.vexBy != nil {
		e.postpone(leaf, f)
		return
	}
	e.count(leaf, f, until, p, &excused)
}

// count counts a fact that meets the conditions until a time, or records why it does not.
func (e *evaluation) count(leaf *need, f fact, until time.Time, p *problem, excused *excuses) {
	state := &e.leaves[leaf.leaf]
	if p != nil {
		if state.problem == nil || p.tellsMoreThan(state.problem) {
			state.problem, state.failed = p, excused.used
		}
		e.log.note(f.from, f.by.id, leaf, p.reason, p.detail)
		return
	}
	counted := state.tally.add(f)
	if counted || f.by.principal != "" { // what an identity has signed may count later
		state.until = earlier(state.until, earlier(until, f.by.until))
	}
	if !counted {
		e.log.note(f.from, f.by.id, leaf, ReasonRepeated, "another signature of the same key or principal has counted")
		return
	}
	if f.statement != nil {
		state.statements = append(state.statements, Statement{
			PredicateType: f.statement.predicateType, Predicate: f.statement.predicate, KeyID: f.by.id, Evidence: f.from.manifest,
		})
	}
	state.excused = joinExcused(state.excused, excused.used)
	e.log.note(f.from, f.by.id, leaf, ReasonCounted, excused.words())
}

// tally counts signatories.
type tally struct {
	// counted are the keys in the order of their evidence, then the identities.
	counted []Principal
	votes   votes
}

// add counts a signatory, and reports whether the count grew.
func (t *tally) add(f fact) bool {
	signer := Principal{ID: f.by.id, Name: f.by.name, Evidence: f.from.manifest, Annotations: f.annotations, Signer: f.known.Principal, SeenAt: f.known.SignedAt, Claims: f.known.Claims}
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

// vote is an identity and the principal that it recognised. Several identities may
// recognise one certificate, and one identity may recognise several principals. A threshold
// counts no principal and no identity twice.
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

// count chooses as many votes as possible without a principal or an identity twice: a
// maximum matching, by augmenting paths.
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

// joined is append that never writes to its arguments, and copies only if both have
// elements.
func joined[T any](have, more []T) []T {
	if len(have) == 0 {
		return slices.Clip(more)
	}
	return append(have, more...)
}

// earlier is the earlier of two times; zero means no end.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
