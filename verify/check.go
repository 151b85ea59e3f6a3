package verify

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// checking finds out which keys and identities of a policy have signed evidence, and
// what about.
type checking struct {
	ctx     context.Context
	policy  *compiled
	rule    *rule
	now     time.Time
	subject subject
	clocks  []*trustedClock // asked about signatures of revoked keys; none for files
	log     *ledger
}

// subject is what evidence must be about.
type subject struct {
	digest string // "sha256:…"
	// by gives its digest by another algorithm, hex; false: it has none by that.
	by func(algorithm string) (string, bool, error)
}

// open reads a piece of evidence, within a budget, and reports whether that is one whose
// signatures can be checked.
func (c *checking) open(p *piece) bool {
	if p.claim != nil {
		return true // it was put off
	}
	if p.item.Format == registry.FormatOther {
		c.log.note(p.from, "", nil, ReasonWrongType, "not a format that is read: "+p.item.Manifest.ArtifactType+" "+string(p.item.Layer.MediaType))
		return false
	}
	claim, err := openWithin(c.ctx, p.item)
	p.certificate = errors.Is(err, evidence.ErrNotByKey)
	switch {
	case errors.Is(err, evidence.ErrTooMuch):
		c.log.overflow = err
		c.log.note(p.from, "", nil, ReasonTooMuchEvidence, err.Error())
		return false
	case err != nil && !p.certificate:
		c.log.note(p.from, "", nil, openReason(err), err.Error())
		return false
	}
	p.search = search{policy: c.policy, asked: c.rule.asked, claim: claim}
	return true
}

func openWithin(ctx context.Context, item registry.Item) (*evidence.Claim, error) {
	leave, err := budget.Parse(ctx, item.Payload)
	if err != nil {
		return nil, err // the context has ended, and so has the decision
	}
	defer leave()
	return evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
}

func openReason(err error) Reason {
	if errors.Is(err, evidence.ErrWrongType) {
		return ReasonWrongType
	}
	return ReasonMalformed
}

// check yields what keys and identities of the policy have signed in a piece of evidence
// about the subject. A piece whose check may take what cheaper ones need is put off.
func (c *checking) check(p *piece) func(yield func(fact) bool) {
	return func(yield func(fact) bool) {
		purse, err := c.purse(p)
		if err != nil {
			c.stopped(p, err)
		}
		if purse == nil {
			return // it waits, or was dropped
		}
		var why *problem
		switch {
		case p.certificate:
			p.found, why, err = c.vouchers(p)
		default:
			err = p.tryOthers(c.ctx, purse)
		}
		if err != nil {
			c.stopped(p, err)
		}
		switch {
		case len(p.found) > 0:
			c.facts(p, yield)
		case why != nil:
			c.log.note(p.from, "", nil, why.reason, why.detail)
		case err == nil:
			c.unsigned(p)
		}
	}
}

// unsigned records that no key of the policy has signed a piece of evidence.
func (c *checking) unsigned(p *piece) {
	why := p.stranger
	switch {
	case why != nil:
	case c.policy.byHint[p.claim.Hint] != nil:
		why = &problem{ReasonBadSignature, "no trusted key has made its signature"}
	default:
		why = &problem{ReasonUntrustedKey, "no trusted key has made its signature"}
	}
	c.log.note(p.from, "", nil, why.reason, why.detail)
	c.offer(p)
}

// facts yields what those who were found have signed.
func (c *checking) facts(p *piece, yield func(fact) bool) {
	f, why := c.read(p)
	f.from = p.from
	for _, key := range p.found {
		seen, invalid, err := c.usable(p, key)
		switch {
		case err != nil:
			c.stopped(p, err)
			return
		case invalid != nil:
			c.log.note(p.from, key.ID(), nil, invalid.reason, invalid.detail)
			c.offer(p)
		case why != nil:
			c.log.note(p.from, key.ID(), nil, why.reason, why.detail)
		default:
			f.by, f.seenAt = signatory{key.ID(), key.Name, key.who, key.notAfter}, seen
			yield(f)
		}
	}
}

// read parses what was signed, and checks that it is about the subject.
func (c *checking) read(p *piece) (f fact, why *problem) {
	if p.bytewise {
		return fact{}, nil
	}
	content, err := c.content(p.claim)
	if err != nil {
		return fact{}, &problem{ReasonMalformed, err.Error()}
	}
	if s := content.Simple; s != nil {
		f = fact{annotations: s.Annotations, repository: s.DockerReference}
		if s.ManifestDigest != c.subject.digest {
			return f, problemf(ReasonWrongSubject, "it is about %s", s.ManifestDigest)
		}
	} else if f, why = c.stated(content.Statement); why != nil {
		return f, why
	}
	if misplaced(p.item.Place, f) {
		return f, problemf(ReasonWrongType, "it is under the tag of the other kind")
	}
	return f, nil
}

// stated is what a statement says of the subject.
func (c *checking) stated(s *intoto.Statement) (fact, *problem) {
	subject, err := s.Match(c.subject.by)
	switch {
	case err != nil:
		c.log.unread = append(c.log.unread, err)
		return fact{}, &problem{ReasonUnreadable, err.Error()}
	case subject == nil:
		return fact{}, &problem{ReasonWrongSubject, "none of its subjects is this digest"}
	}
	f := fact{annotations: subject.Annotations}
	if s.PredicateType != intoto.PredicateSignature {
		f.statement = &statement{predicateType: s.PredicateType, predicate: s.Predicate}
	}
	return f, nil
}

// misplaced reports whether a signature is under the tag of attestations, or the
// other way round. Neither counts: which tags are read depends on what a rule
// requires, and what counts must not.
func misplaced(place registry.Place, f fact) bool {
	return place == registry.PlaceAttestationTag && f.statement == nil || place == registry.PlaceSignatureTag && f.statement != nil
}

// content parses what is signed, within a budget.
func (c *checking) content(claim *evidence.Claim) (evidence.Content, error) {
	leave, err := budget.Parse(c.ctx, claim.Signed.Bytes)
	if err != nil {
		return evidence.Content{}, err // as in openWithin
	}
	defer leave()
	return claim.Content()
}

// offer notes of the evidence that was recorded last that it claims to be an
// attestation.
func (c *checking) offer(p *piece) {
	content, err := c.content(p.claim)
	if err != nil || content.Statement == nil || content.Statement.PredicateType == intoto.PredicateSignature {
		return
	}
	c.log.claims(c.rule, content.Statement.PredicateType)
}

// stopped records that a piece was not checked to its end: the context has ended,
// or no more checks may be made. The latter is told once for each place.
func (c *checking) stopped(p *piece, err error) {
	if !errors.Is(err, registry.ErrTooMany) {
		c.log.miss(p.from, err)
		return
	}
	c.log.overflow = err
	if !p.work.told {
		p.work.told = true
		c.log.note(p.from, "", nil, ReasonTooMuchEvidence, err.Error())
	}
}

// purse tries the key that a piece of evidence names, and says from what the checks with
// the others are taken. Nil: the piece waits, since these may take what cheaper pieces
// need.
func (c *checking) purse(p *piece) (*checks, error) {
	w := p.work
	if p.waited {
		if p.idle && w.place == registry.PlaceReferrers {
			return &w.idle, nil
		}
		return &w.keys, nil
	}
	p.idle = w.isCrowded() && !p.certificate && !c.mayCount(p)
	if !p.certificate && !p.idle {
		if err := w.tryHinted(c.ctx, p); err != nil {
			return nil, err
		}
	}
	switch {
	case w.isSmall(p):
		return &w.small, nil
	case !w.mustWait(p):
		return &w.keys, nil
	case !w.wait(c.ctx, p):
		return nil, errTooManyChecks()
	}
	return nil, nil
}

// mayCount reports whether a piece would count for some requirement if the right key
// had signed it: it is about this image and says what one asks for. Nothing else rests
// on it. What is not small is not parsed for it.
func (c *checking) mayCount(p *piece) bool {
	if p.item.Layer.Size > smallPiece || len(p.item.Payload) > smallPiece {
		return true
	}
	content, err := c.content(p.claim)
	switch {
	case c.ctx.Err() != nil:
		return true
	case err != nil:
		return false
	case content.Simple != nil:
		return content.Simple.ManifestDigest == c.subject.digest && c.rule.asksFor(fact{})
	}
	var f fact
	if s := content.Statement; s.PredicateType != intoto.PredicateSignature {
		f.statement = &statement{predicateType: s.PredicateType}
	}
	return c.rule.asksFor(f) && slices.ContainsFunc(content.Statement.Subjects, c.mayBeAbout)
}

// asksFor reports whether a requirement is about facts of this kind.
func (r *rule) asksFor(f fact) bool {
	return slices.ContainsFunc(r.leaves, func(n *need) bool {
		return n.asksFor(f) || n.vexBy != nil && f.statement != nil && isVEX(f.statement.predicateType)
	})
}

// mayBeAbout reports whether a statement's subject may be this image: a digest by
// another algorithm is not compared here.
func (c *checking) mayBeAbout(s intoto.Subject) bool {
	claimed, there := s.Digest["sha256"]
	return !there || "sha256:"+claimed == c.subject.digest
}

// manifestDigests are the digests of a manifest. All but sha256 need the manifest
// itself, which is fetched for the rare statement that names them.
type manifestDigests struct {
	ctx  context.Context
	r    registry.Reader
	ref  name.Digest
	sums map[string]string // but sha256, once one was asked for
}

func (d *manifestDigests) by(algorithm string) (string, bool, error) {
	switch algorithm {
	case "sha256":
		h, err := registry.HashOf(d.ref)
		return h.Hex, true, err
	case "sha384", "sha512":
		if d.sums == nil {
			m, err := registry.ReadManifest(d.ctx, d.r, d.ref)
			if err != nil {
				return "", true, err
			}
			s384, s512 := sha512.Sum384(m.Bytes), sha512.Sum512(m.Bytes)
			d.sums = map[string]string{"sha384": hex.EncodeToString(s384[:]), "sha512": hex.EncodeToString(s512[:])}
		}
		return d.sums[algorithm], true, nil
	}
	return "", false, nil
}
