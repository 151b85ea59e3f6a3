package verify

import (
	"math/bits"
	"slices"
)

// What a rule means is said a second time here, as plainly as can be, by sets of those
// who have signed. An evaluation must say the same of every rule and every evidence up to
// a size, in every order. What differs only by the names of keys, principals and roles is
// run once.

const (
	smallKeys   = 3
	smallPieces = 3
)

// set is one of keys, or of identities.
type set uint8

func (s set) has(i int) bool { return s>>i&1 == 1 }
func (s set) size() int      { return bits.OnesCount8(uint8(s)) }

// smallRole is a role, and smallLeaf a requirement of what the first of two roles has
// signed. A scan may be excused by what the role excusedBy has signed.
type smallRole struct {
	members   set
	threshold int
}

type smallLeaf struct {
	kind      smallKind
	role      int
	excusedBy int // -1: none
}

// smallKind is what a piece of evidence is, or what a requirement is about.
type smallKind int

const (
	isSignature smallKind = iota
	isScan
	isExcuse // an OpenVEX document that excuses what a scan has found
	isDoubt  // a later one that takes that back
)

// smallShape is how a rule holds its requirements.
type smallShape int

const (
	shapeAll      smallShape = iota // both
	shapeAny                        // one of them
	shapeAllInAny                   // one of: both
	shapeAnyInAll                   // the first, and one of: the second
)

// smallRule is a rule of up to two roles and requirements.
type smallRule struct {
	roles    [2]smallRole
	leaves   []smallLeaf
	shape    smallShape
	separate bool
}

// shownPiece is a piece of evidence: signed by keys, or by what identities recognise as
// one principal.
type shownPiece struct {
	kind      smallKind
	signers   set
	principal int // of two; with identities
	state     pieceState
}

type pieceState int

const (
	isValid   pieceState = iota
	isInvalid            // it does not meet the conditions
	isUnread
)

// verdict is what a decision comes to.
type verdict int

const (
	isDenied verdict = iota
	isAllowed
	isUndecided // as not all evidence was read
)

// smallModel is the model.
type smallModel struct {
	rule       smallRule
	identities bool
	// foreign are the identities of a second authority, which has its own names for
	// principals.
	foreign set
}

func (m smallModel) judge(pieces []shownPiece) verdict {
	unread := slices.ContainsFunc(pieces, func(p shownPiece) bool { return p.state == isUnread })
	met := func(l smallLeaf) bool { return m.met(l, pieces, unread) }
	some, all := slices.ContainsFunc(m.rule.leaves, met), !slices.ContainsFunc(m.rule.leaves, func(l smallLeaf) bool { return !met(l) })
	switch {
	case all, some && m.rule.shape == shapeAny:
		return isAllowed
	case unread:
		return isUndecided
	}
	return isDenied
}

// met: enough of the role have signed something valid of the kind.
func (m smallModel) met(l smallLeaf, pieces []shownPiece, unread bool) bool {
	counts := func(p shownPiece) bool { return p.kind == l.kind && p.state == isValid }
	if l.excusedBy >= 0 && !unread && m.excused(l.excusedBy, pieces) {
		counts = func(p shownPiece) bool { return p.kind == l.kind && p.state != isUnread }
	}
	return m.signed(m.rule.roles[l.role], pieces, unread, counts)
}

// excused: enough of the role have signed the document that excuses, and not enough the
// one that doubts.
func (m smallModel) excused(by int, pieces []shownPiece) bool {
	signed := func(kind smallKind) bool {
		return m.signed(m.rule.roles[by], pieces, false, func(p shownPiece) bool { return p.kind == kind })
	}
	return signed(isExcuse) && !signed(isDoubt)
}

// signed: as many of a role as its threshold says have signed what counts.
func (m smallModel) signed(r smallRole, pieces []shownPiece, unread bool, counts func(shownPiece) bool) bool {
	if m.identities {
		return m.recognised(r, pieces, unread, counts) >= r.threshold
	}
	var signers set
	for _, p := range pieces {
		if p.state != isUnread && counts(p) {
			signers |= p.signers
		}
	}
	return (signers & r.members).size() >= r.threshold
}

// pair is an identity, and whom it has recognised, by one authority's name.
type pair struct{ identity, name int }

// recognised is the largest number of identities of a role that have each recognised
// another principal.
func (m smallModel) recognised(r smallRole, pieces []shownPiece, unread bool, counts func(shownPiece) bool) int {
	var pairs []pair
	for _, p := range pieces {
		if p.state == isUnread || !counts(p) {
			continue
		}
		for i := range smallKeys {
			if x := m.pairOf(i, p); p.signers.has(i) && r.members.has(i) && m.maySign(x.name, pieces, unread) && !slices.Contains(pairs, x) {
				pairs = append(pairs, x)
			}
		}
	}
	return most(pairs, 0, 0)
}

// most is how many of the pairs can be chosen with no identity and no name twice.
func most(pairs []pair, identities, names set) int {
	best := 0
	for i, x := range pairs {
		if !identities.has(x.identity) && !names.has(x.name) {
			best = max(best, 1+most(pairs[i+1:], identities|1<<x.identity, names|1<<x.name))
		}
	}
	return best
}

func (m smallModel) pairOf(identity int, p shownPiece) pair {
	x := pair{identity, p.principal}
	if m.foreign.has(identity) {
		x.name += 2
	}
	return x
}

// maySign: duties are not separate, or all was read and no person by this name, or by one
// that is the same principal's, has signed in both roles.
func (m smallModel) maySign(name int, pieces []shownPiece, unread bool) bool {
	if !m.rule.separate {
		return true
	}
	names := set(1 << name)
	if p := name % 2; m.known(p, pieces) { // by both of its names
		names = 1<<p | 1<<(p+2)
	}
	var in [2]bool
	for _, p := range pieces {
		for i := range smallKeys {
			if p.state != isUnread && p.signers.has(i) && names.has(m.pairOf(i, p).name) {
				in[0] = in[0] || m.rule.roles[0].members.has(i)
				in[1] = in[1] || m.rule.roles[1].members.has(i)
			}
		}
	}
	return !unread && !(in[0] && in[1])
}

// known: one piece of a principal was recognised by identities of both authorities.
func (m smallModel) known(principal int, pieces []shownPiece) bool {
	return slices.ContainsFunc(pieces, func(p shownPiece) bool {
		return p.state != isUnread && p.principal == principal && p.signers&m.foreign != 0 && p.signers&^m.foreign != 0
	})
}
