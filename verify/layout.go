package verify

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

// takeLinks takes in-toto links out of a piece of evidence, where a requirement is
// about a layout. Whoever signed the attestation only attached them: the functionaries' own signatures
// count, and those steps.Verify checks.
func (j *judgement) takeLinks(item registry.Item, claim *evidence.Claim) (taken bool) {
	if item.Place == registry.PlaceSignatureTag {
		return false // it is misplaced
	}
	for _, leaf := range j.rule.leaves {
		if !leaf.layout || j.leaves[leaf.leaf].met {
			continue
		}
		content, err := claim.Content()
		if err != nil || content.Statement == nil || content.Statement.PredicateType != steps.TypeLinkSet {
			return taken
		}
		taken = true
		state := &j.leaves[leaf.leaf]
		state.offered = true
		subject, err := content.Statement.Match(j.digestBy)
		if err != nil || subject == nil {
			j.record(item, "", leaf, ReasonWrongSubject, "none of its subjects is this digest")
			continue
		}
		set, err := steps.ReadLinkPredicate(content.Statement.Predicate)
		if err != nil {
			j.record(item, "", leaf, ReasonPredicate, err.Error())
			continue
		}
		if !j.addLinks(leaf, item, set.Links) {
			return true
		}
	}
	return taken
}

// layoutLinks are the links that were found for a layout.
type layoutLinks struct {
	all  [][]byte
	have map[[sha256.Size]byte]bool
	// judged is how many of them were judged, and waiting the evidence that has
	// brought the others.
	judged  int
	waiting []registry.Item
}

// addLinks takes those links of a piece of evidence that a functionary has signed,
// each once: others must not take up room and time. The layout is judged with the
// first ones, and then whenever there are twice as many as the last time, which
// costs little more than judging it once. It returns false where no more may be
// looked at.
func (j *judgement) addLinks(leaf *need, item registry.Item, links [][]byte) bool {
	state := &j.leaves[leaf.leaf]
	found := &state.links
	deny := func(p *problem) bool {
		if state.problem == nil {
			state.problem = p
		}
		j.record(item, "", leaf, p.reason, p.detail)
		return true
	}
	left := &j.workloadOf(item.Place).links
	signed, checks, err := steps.SignedLinks(j.ctx, leaf.attestation.LayoutEnvelope, links, left.left)
	left.left -= checks
	refusal := (*steps.Error)(nil)
	switch {
	case errors.As(err, &refusal) && refusal.Reason == steps.ReasonTooMany:
		j.stopped(item, errTooManyChecks())
		return false
	case refusal != nil:
		return deny(&problem{ReasonLayout, err.Error()})
	case err != nil:
		j.unread(item, err)
		return false
	}
	before := len(found.all)
	for _, link := range signed {
		sum := sha256.Sum256(link)
		if found.have == nil {
			found.have = make(map[[sha256.Size]byte]bool)
		}
		if !found.have[sum] {
			found.have[sum] = true
			found.all = append(found.all, link)
		}
	}
	if len(found.all) == before {
		return deny(&problem{ReasonLayout, "it has no link that a functionary has signed, but for such as were found before"})
	}
	item.Payload = nil // it may be large, and is not needed to tell of it
	found.waiting = append(found.waiting, item)
	if len(found.all) >= 2*found.judged {
		j.judgeLayout(leaf)
	}
	return true
}

// judgeLayouts judges what is left to be judged once all evidence was looked at.
func (j *judgement) judgeLayouts() {
	for _, leaf := range j.rule.leaves {
		if leaf.layout && len(j.leaves[leaf.leaf].links.waiting) > 0 {
			j.judgeLayout(leaf)
		}
	}
}

// judgeLayout judges a layout with all links that were found so far.
func (j *judgement) judgeLayout(leaf *need) {
	state := &j.leaves[leaf.leaf]
	waiting := state.links.waiting
	state.links.waiting, state.links.judged = nil, len(state.links.all)
	tell := func(reason Reason, detail string) {
		for _, item := range waiting {
			j.record(item, "", leaf, reason, detail)
		}
	}
	hash, err := registry.HashOf(j.digest)
	if err != nil {
		return // it was checked before
	}
	owners := j.owners(leaf)
	if len(owners) < leaf.role.threshold {
		state.problem = problemf(ReasonLayout, "too few keys of the role %s count now", leaf.role.name)
		tell(state.problem.reason, state.problem.detail)
		return
	}
	result, err := steps.Verify(j.ctx, leaf.attestation.LayoutEnvelope, state.links.all, hash, steps.VerifyOptions{
		OwnerKeys: owners, OwnerThreshold: leaf.role.threshold, Now: func() time.Time { return j.now },
	})
	if err != nil {
		state.problem = &problem{ReasonLayout, err.Error()}
		tell(ReasonLayout, err.Error())
		return
	}
	state.met, state.problem = true, nil
	state.until = result.Expires
	for _, k := range j.v.policy.keys {
		if slices.Contains(result.Owners, k.ID()) {
			state.until = earlier(state.until, k.notAfter)
		}
	}
	tell(ReasonCounted, "its links complete the layout")
}

// owners are the keys of the role that count now.
func (j *judgement) owners(leaf *need) (keys []crypto.PublicKey) {
	for _, k := range j.v.policy.keys {
		if leaf.role.keys[k.ID()] && k.at(j.now) == nil {
			keys = append(keys, k.key.Public())
		}
	}
	return keys
}
