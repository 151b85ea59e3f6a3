package verify

import "slices"

// tally counts who has signed.
type tally struct {
	// counted are the keys, in the order of their evidence, and then the
	// identities.
	counted []Signer
	votes   votes
}

// add counts who has signed, and reports whether that adds to what there is.
func (t *tally) add(f fact) bool {
	signer := Signer{ID: f.by.id, Name: f.by.name, Evidence: f.from.manifest, Annotations: f.annotations, SeenAt: f.seenAt}
	if f.by.principal == "" {
		if slices.ContainsFunc(t.counted, func(o Signer) bool { return o.ID == signer.ID }) {
			return false
		}
		t.counted = append(t.counted, signer)
		return true
	}
	if !t.votes.add(vote{signer, f.by.principal}) {
		return false
	}
	keys := slices.DeleteFunc(slices.Clone(t.counted), func(o Signer) bool {
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
	signer    Signer // its ID is the identity's
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
func (all votes) count() []Signer {
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
	var chosen []Signer
	for _, v := range all {
		if t, is := taken[v.signer.ID]; is && t.principal == v.principal {
			chosen = append(chosen, v.signer)
		}
	}
	return chosen
}
