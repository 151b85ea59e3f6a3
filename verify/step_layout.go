package verify

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/registry"
)

// stepLayouts checks whether the links that are attached complete the in-toto layouts of
// a rule, and gives the answer to its evaluation.
type stepLayouts struct {
	*checking
	answer func(leaf *need, until time.Time, p *problem)
	links  map[*need]*stepLinks
}

// stepLinks are the links that were found for a layout.
type stepLinks struct {
	all  [][]byte
	have map[[sha256.Size]byte]bool
	// judged counts the links that were judged. waiting is the evidence with the others.
	judged  int
	waiting []origin
	// complete: the links complete the layout. answered: the evaluation has an answer.
	complete, answered bool
}

func (l *stepLayouts) linksOf(leaf *need) *stepLinks {
	if l.links == nil {
		l.links = make(map[*need]*stepLinks)
	}
	found := l.links[leaf]
	if found == nil {
		found = &stepLinks{}
		l.links[leaf] = found
	}
	return found
}

// take takes in-toto links out of a piece of evidence, if a requirement is about a
// layout. The signer of the attestation only attached them. The functionaries' own
// signatures count, and steps.Verify checks those.
func (l *stepLayouts) take(p *piece) (taken bool) {
	if p.item.Place == registry.PlaceSignatureTag || p.waited {
		return false // misplaced, or taken before
	}
	for _, leaf := range l.rule.leaves {
		if !leaf.stepLayout || l.linksOf(leaf).complete {
			continue
		}
		content, err := p.opened.Content()
		if err != nil || content.Statement == nil || content.Statement.PredicateType != steps.TypeLinkSet {
			return taken
		}
		taken = true
		l.log.claimed[leaf.leaf] = true
		subject, err := content.Statement.Match(l.subject.by)
		if err != nil || subject == nil {
			l.log.note(p.from, "", leaf, ReasonWrongSubject, "none of its subjects is the digest")
			continue
		}
		set, err := steps.ReadLinkPredicate(content.Statement.Predicate)
		if err != nil {
			l.log.note(p.from, "", leaf, ReasonPredicate, err.Error())
			continue
		}
		if !l.add(leaf, p, set.Links) {
			return true
		}
	}
	return taken
}

// add takes the links of a piece of evidence that a functionary has signed, each once.
// Links of others must not take room and time. The layout is judged with the first
// links, and again each time their number has doubled, which costs little more than
// judging it once. add returns false when the limit of checks is reached.
func (l *stepLayouts) add(leaf *need, p *piece, links [][]byte) bool {
	found := l.linksOf(leaf)
	left := &p.work.links
	signed, checks, err := steps.SignedLinks(l.ctx, leaf.attestation.LayoutEnvelope, links, left.left)
	left.left -= checks
	refusal := (*steps.Error)(nil)
	switch {
	case errors.As(err, &refusal) && refusal.Reason == steps.ReasonTooMany:
		l.stopped(p, errTooManyChecks())
		return false
	case refusal != nil:
		l.deny(leaf, p, err.Error())
		return true
	case err != nil:
		l.log.miss(p.from, err)
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
		l.deny(leaf, p, "it has no new link that a functionary has signed")
		return true
	}
	found.waiting = append(found.waiting, p.from)
	if len(found.all) >= 2*found.judged {
		l.judge(leaf, found)
	}
	return true
}

// deny notes why the links of a piece of evidence do not count. Without another answer,
// that is the answer.
func (l *stepLayouts) deny(leaf *need, p *piece, detail string) {
	if found := l.linksOf(leaf); !found.answered {
		found.answered = true
		l.answer(leaf, time.Time{}, &problem{reason: ReasonLayout, detail: detail})
	}
	l.log.note(p.from, "", leaf, ReasonLayout, detail)
}

// close judges the links that were not judged yet, once all evidence was read.
func (l *stepLayouts) close() {
	for _, leaf := range l.rule.leaves {
		if found := l.links[leaf]; found != nil && len(found.waiting) > 0 {
			l.judge(leaf, found)
		}
	}
}

// judge judges a layout with all links so far.
func (l *stepLayouts) judge(leaf *need, found *stepLinks) {
	waiting := found.waiting
	found.waiting, found.judged, found.answered = nil, len(found.all), true
	until, err := l.verify(leaf, found.all)
	reason, detail := ReasonCounted, "its links complete the layout"
	if err == nil {
		found.complete = true
		l.answer(leaf, until, nil)
	} else {
		reason, detail = ReasonLayout, err.Error()
		l.answer(leaf, time.Time{}, &problem{reason: reason, detail: detail})
	}
	for _, from := range waiting {
		l.log.note(from, "", leaf, reason, detail)
	}
}

// verify reports until when links complete a layout.
func (l *stepLayouts) verify(leaf *need, links [][]byte) (until time.Time, err error) {
	hash, err := v1.NewHash(l.subject.digest)
	if err != nil {
		return time.Time{}, err
	}
	owners := l.owners(leaf)
	if len(owners) < leaf.role.threshold {
		return time.Time{}, errors.New("too few keys of the role " + leaf.role.name + " are valid now")
	}
	result, err := steps.Verify(l.ctx, leaf.attestation.LayoutEnvelope, links, hash, steps.VerifyOptions{
		OwnerKeys: owners, OwnerThreshold: leaf.role.threshold, Now: func() time.Time { return l.now },
	})
	if err != nil {
		return time.Time{}, err
	}
	until = result.Expires
	for _, k := range l.policy.keys {
		if slices.Contains(result.Owners, k.ID()) {
			until = earlier(until, k.notAfter)
		}
	}
	return until, nil
}

// owners are the keys of the role that are valid now.
func (l *stepLayouts) owners(leaf *need) (keys []crypto.PublicKey) {
	for _, k := range l.policy.keys {
		if leaf.role.keys[k.ID()] && k.at(l.now) == nil {
			keys = append(keys, k.key.Public())
		}
	}
	return keys
}
