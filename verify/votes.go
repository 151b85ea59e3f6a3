package verify

import "slices"

// tally counts who has signed.
type tally struct {
	// counted are the keys, in the order of their evidence, and then the
	// identities.
	counted []Signer
	votes   votes
}

// count counts who has signed, and reports whether that adds to what there is.
func (t *tally) count(f fact) bool {
	signer := Signer{ID: f.key.ID(), Name: f.key.Name, Evidence: manifestOf(f.item), Annotations: f.annotations, SeenAt: f.seenAt}
	if f.key.identity == nil {
		if slices.ContainsFunc(t.counted, func(o Signer) bool { return o.ID == signer.ID }) {
			return false
		}
		t.counted = append(t.counted, signer)
		return true
	}
	if !t.votes.add(vote{signer, f.key.who}) {
		return false
	}
	keys := slices.DeleteFunc(slices.Clone(t.counted), func(o Signer) bool {
		return slices.ContainsFunc(t.votes, func(v vote) bool { return v.signer.ID == o.ID })
	})
	before := len(t.counted)
	t.counted = append(keys, t.votes.count()...)
	return len(t.counted) > before
}

// vote is what an identity has signed, and who that was. One person's certificate
// may be recognised by several identities of a policy, and one identity may
// recognise several people: a threshold counts no person and no identity twice.
type vote struct {
	signer Signer // its ID is the identity's
	who    string
}

// votes are those for one requirement, no identity twice for one person.
type votes []vote

// add takes a vote, and reports whether it was new.
func (all *votes) add(v vote) bool {
	if slices.ContainsFunc(*all, func(o vote) bool { return o.who == v.who && o.signer.ID == v.signer.ID }) {
		return false
	}
	*all = append(*all, v)
	return true
}

// count chooses as many votes as there can be without a person or an identity
// twice: a maximum matching of the two, by augmenting paths.
func (all votes) count() []Signer {
	taken := make(map[string]vote) // by identity
	var place func(who string, tried map[string]bool) bool
	place = func(who string, tried map[string]bool) bool {
		for _, v := range all {
			id := v.signer.ID
			if v.who != who || tried[id] {
				continue
			}
			tried[id] = true
			if other, is := taken[id]; !is || place(other.who, tried) {
				taken[id] = v
				return true
			}
		}
		return false
	}
	asked := make(map[string]bool)
	for _, v := range all {
		if !asked[v.who] {
			asked[v.who] = true
			place(v.who, make(map[string]bool))
		}
	}
	var chosen []Signer
	for _, v := range all {
		if t, is := taken[v.signer.ID]; is && t.who == v.who {
			chosen = append(chosen, v.signer)
		}
	}
	return chosen
}
