package verify

import (
	"crypto"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

// takeLinks takes in-toto links out of a piece of evidence, where a requirement is
// about a layout, and judges the layout with all that were found so far. Whoever
// signed the attestation only attached them: the functionaries' own signatures
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
		state.links = append(state.links, set.Links...)
		j.judgeLayout(leaf, item)
	}
	return taken
}

func (j *judgement) judgeLayout(leaf *need, item registry.Item) {
	state := &j.leaves[leaf.leaf]
	hash, err := registry.HashOf(j.digest)
	if err != nil {
		return // it was checked before
	}
	owners := j.owners(leaf)
	if len(owners) < leaf.role.threshold {
		state.problem = problemf(ReasonLayout, "too few keys of the role %s count now", leaf.role.name)
		j.record(item, "", leaf, state.problem.reason, state.problem.detail)
		return
	}
	result, err := steps.Verify(j.ctx, leaf.attestation.LayoutEnvelope, state.links, hash, steps.VerifyOptions{
		OwnerKeys: owners, OwnerThreshold: leaf.role.threshold, Now: func() time.Time { return j.now },
	})
	if err != nil {
		state.problem = &problem{ReasonLayout, err.Error()}
		j.record(item, "", leaf, ReasonLayout, err.Error())
		return
	}
	state.met, state.problem = true, nil
	state.until = result.Expires
	for _, k := range j.v.policy.keys {
		if slices.Contains(result.Owners, k.ID()) {
			state.until = earlier(state.until, k.notAfter)
		}
	}
	j.record(item, "", leaf, ReasonCounted, "its links complete the layout")
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
