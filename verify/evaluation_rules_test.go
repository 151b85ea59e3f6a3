package verify

import (
	"slices"
)

// renaming gives keys and principals other names.
type renaming struct {
	keys [smallKeys]int
	swap bool // of the two principals
}

var permutations = [][smallKeys]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

func (n renaming) set(s set) (renamed set) {
	for i, to := range n.keys {
		if s.has(i) {
			renamed |= 1 << to
		}
	}
	return renamed
}

func (n renaming) piece(p shownPiece) shownPiece {
	p.signers = n.set(p.signers)
	if n.swap && p.state != isUnread {
		p.principal = 1 - p.principal
	}
	return p
}

func (p shownPiece) number() int {
	return ((int(p.kind)*8+int(p.signers))*2+p.principal)*3 + int(p.state)
}

// isFirst reports whether pieces are the first of those that are the same by other
// names.
func (r *smallRun) isFirst(pieces []shownPiece) bool {
	for _, n := range r.symmetry {
		for _, p := range pieces {
			if a, b := n.piece(p).number(), p.number(); a < b {
				return false
			} else if a > b {
				break
			}
		}
	}
	return true
}

// rename gives the keys, and the roles where they are swapped, other names.
func (r smallRule) rename(n renaming, swapped bool) smallRule {
	r.leaves = slices.Clone(r.leaves)
	for i := range r.roles {
		r.roles[i].members = n.set(r.roles[i].members)
	}
	if swapped {
		r.roles[0], r.roles[1] = r.roles[1], r.roles[0]
		for i := range r.leaves {
			r.leaves[i].role = 1 - r.leaves[i].role
			if r.leaves[i].excusedBy >= 0 {
				r.leaves[i].excusedBy = 1 - r.leaves[i].excusedBy
			}
		}
	}
	return r
}

func (r smallRule) number() (n int) {
	for _, role := range r.roles {
		n = n*32 + int(role.members)*4 + role.threshold
	}
	for _, l := range r.leaves {
		n = ((n*4+int(l.kind))*2+l.role)*3 + l.excusedBy + 1
	}
	return n
}

// symmetries are the renamings under which the rule stays as it is; first: it is the
// first of those that are the same by other names.
func (w *smallWorld) symmetries(s smallRule) (all []renaming, first bool) {
	number := s.number()
	for _, keys := range permutations {
		n := renaming{keys: keys}
		if n.set(w.foreign) != w.foreign {
			continue
		}
		for _, swapped := range []bool{false, true} {
			if swapped && s.roles[1].members == 0 {
				continue // there is one role
			}
			switch other := s.rename(n, swapped).number(); {
			case other < number:
				return nil, false
			case other == number:
				all = append(all, n)
				if w.identities {
					all = append(all, renaming{keys, true})
				}
			}
		}
	}
	return all, true
}

// rules are all that have these requirements, but for those that a policy cannot have,
// and those that are the same by other names.
func (w *smallWorld) rules(shapes []smallShape, leaves ...[]smallLeaf) (all []smallRule) {
	var roles []smallRole
	for members := set(1); members < 1<<smallKeys; members++ {
		for threshold := range members.size() {
			roles = append(roles, smallRole{members, threshold + 1})
		}
	}
	for _, some := range leaves {
		names := func(role int) bool {
			return slices.ContainsFunc(some, func(l smallLeaf) bool { return l.role == role || l.excusedBy == role })
		}
		second := roles
		if !names(1) {
			second = []smallRole{{}} // there is no other role
		}
		if !names(0) {
			continue // the same with the roles swapped
		}
		for _, shape := range shapes {
			if len(some) == 1 && shape != shapes[0] {
				continue
			}
			for _, a := range roles {
				for _, b := range second {
					for _, separate := range []bool{false, true} {
						if separate && (a.members&b.members != 0 || b.members == 0) {
							continue // it is refused, or says nothing
						}
						all = append(all, smallRule{[2]smallRole{a, b}, some, shape, separate})
					}
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(s smallRule) bool {
		_, first := w.symmetries(s)
		return !first
	})
}

// pieces are all pieces of some kinds, in the order of their numbers.
func (w *smallWorld) pieces(kinds ...smallKind) []shownPiece {
	all := []shownPiece{{state: isUnread}}
	for _, kind := range kinds {
		for signers := set(1); signers < 1<<smallKeys; signers++ {
			for principal := range 2 {
				for state := isValid; state <= isInvalid; state++ {
					if principal == 1 && !w.identities || state == isInvalid && kind > isScan {
						continue
					}
					all = append(all, shownPiece{kind, signers, principal, state})
				}
			}
		}
	}
	return all
}
