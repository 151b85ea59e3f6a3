package verify

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// checking finds which keys and identities of a policy signed a piece of evidence, and what
// they signed.
type checking struct {
	ctx     context.Context
	policy  *compiled
	rule    *rule
	now     time.Time
	subject subject
	// keepsRevoked: what a revoked key has signed may stand. That is not so for files.
	keepsRevoked bool
	log          *ledger
}

// subject is what evidence must be about.
type subject struct {
	digest string // "sha256:…"
	// by returns its digest by another algorithm, in hex; false: none exists.
	by func(algorithm string) (string, bool, error)
}

// open parses a piece of evidence, within a budget, and reports whether its signatures can
// be checked.
func (c *checking) open(p *piece) bool {
	if p.opened != nil {
		return true // it was put off
	}
	if p.item.Format == registry.FormatOther {
		c.log.note(p.from, "", nil, ReasonWrongType, "its format is not read: artifact type "+p.item.Manifest.ArtifactType+", layer "+string(p.item.Layer.MediaType))
		return false
	}
	opened, err := openWithin(c.ctx, p.item)
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
	p.search = search{policy: c.policy, asked: c.rule.asked, opened: opened}
	return true
}

func openWithin(ctx context.Context, item registry.Item) (*evidence.Opened, error) {
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

// check yields what keys and identities of the policy signed about the subject. A piece
// whose check may use up what cheaper ones need is put off.
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

// unsigned records that no key of the policy signed a piece of evidence.
func (c *checking) unsigned(p *piece) {
	why := p.stranger
	switch {
	case why != nil:
	case c.policy.byHint[p.opened.Hint] != nil:
		why = &problem{reason: ReasonBadSignature, detail: "it names a trusted key that did not make its signature"}
	default:
		why = &problem{reason: ReasonUntrustedKey, detail: "no trusted key made its signature"}
	}
	detail := why.detail
	if misfit := p.misfit(); misfit != "" {
		detail += ": " + misfit
	}
	c.log.note(p.from, "", nil, why.reason, detail)
	c.offer(p)
}

// facts yields what each of the found keys signed.
func (c *checking) facts(p *piece, yield func(fact) bool) {
	f, why := c.read(p)
	f.from = p.from
	for _, key := range p.found {
		known, invalid, err := c.usable(p, key)
		switch {
		case err != nil:
			c.stopped(p, err)
			return
		case invalid != nil:
			c.log.note(p.from, key.ID(), nil, invalid.reason, invalid.detail)
			if invalid.reason == ReasonRevokedKey && why == nil {
				c.log.revoke(f, key)
			}
			c.offer(p)
		case why != nil:
			c.log.note(p.from, key.ID(), nil, why.reason, why.detail)
		default:
			f.by, f.known = signatory{key.ID(), key.Name, key.principal(), key.notAfter}, known
			yield(f)
		}
	}
}

// read parses the signed bytes, and checks that they are about the subject.
func (c *checking) read(p *piece) (f fact, why *problem) {
	if p.bytewise {
		return fact{}, nil
	}
	content, err := c.content(p.opened)
	if err != nil {
		return fact{}, &problem{reason: ReasonMalformed, detail: err.Error()}
	}
	if s := content.Simple; s != nil {
		f = fact{annotations: s.Annotations, repository: s.DockerReference}
		if s.ManifestDigest != c.subject.digest {
			return f, problemf(ReasonWrongSubject, "its subject is %s, not %s", s.ManifestDigest, c.subject.digest)
		}
	} else if f, why = c.stated(content.Statement); why != nil {
		return f, why
	}
	if misplaced(p.item.Place, f) {
		return f, &problem{reason: ReasonWrongType, detail: "it is an attestation under the tag of signatures, or a signature under the tag of attestations"}
	}
	return f, nil
}

// stated is what a statement says about the subject.
func (c *checking) stated(s *intoto.Statement) (fact, *problem) {
	subject, err := s.Match(c.subject.by)
	switch {
	case err != nil:
		c.log.unread = append(c.log.unread, err)
		return fact{}, &problem{reason: ReasonUnreadable, detail: err.Error()}
	case subject == nil:
		return fact{}, &problem{reason: ReasonWrongSubject, detail: "none of its subjects is the digest"}
	}
	f := fact{annotations: subject.Annotations}
	if s.PredicateType != intoto.PredicateSignature {
		f.statement = &statement{predicateType: s.PredicateType, predicate: s.Predicate}
	}
	return f, nil
}

// misplaced reports whether a signature is under the tag of attestations, or the reverse.
// Neither counts: which tags are read depends on the rule, and what counts must not.
func misplaced(place registry.Place, f fact) bool {
	return place == registry.PlaceAttestationTag && f.statement == nil || place == registry.PlaceSignatureTag && f.statement != nil
}

// content parses the signed bytes, within a budget.
func (c *checking) content(opened *evidence.Opened) (evidence.Content, error) {
	leave, err := budget.Parse(c.ctx, opened.Signed.Bytes)
	if err != nil {
		return evidence.Content{}, err // as in openWithin
	}
	defer leave()
	return opened.Content()
}

// offer notes that the evidence recorded last claims to be an attestation.
func (c *checking) offer(p *piece) {
	content, err := c.content(p.opened)
	if err != nil || content.Statement == nil || content.Statement.PredicateType == intoto.PredicateSignature {
		return
	}
	c.log.claims(c.rule, content.Statement.PredicateType)
}

// stopped records that a piece was not checked to its end: the context ended, or no check
// is left. The latter is recorded once for each place.
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

// search looks for the policy's keys that made the signatures of a piece of evidence.
type search struct {
	policy *compiled
	asked  map[string]bool // the keys that requirements ask for, by ID
	opened *evidence.Opened
	// tried is the key that the hint names, once it was tried.
	tried *trustedKey
	found []*trustedKey
}

// try checks the signatures with one key. An error is the context's.
func (s *search) try(ctx context.Context, k *trustedKey) error {
	leave, err := budget.Work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	made, err := s.opened.VerifiedWithin(ctx, k.key)
	if made {
		s.found = append(s.found, k)
	}
	return err
}

// tryHinted tries the key that the hint names, if any, with checks from c.
func (s *search) tryHinted(ctx context.Context, c *checks) error {
	hinted := s.policy.byHint[s.opened.Hint]
	if hinted == nil {
		return nil
	}
	if !c.take(hinted.key.Toll(s.opened.Signed, s.opened.Signatures)) {
		return errTooManyChecks()
	}
	s.tried = hinted
	return s.try(ctx, hinted)
}

// done reports whether no other key can have made a signature: each has one maker.
func (s *search) done() bool { return len(s.found) >= len(s.opened.Signatures) }

// tryOthers tries the other keys by ID: required ones first, then the rest, which cannot
// count and must not use up what the others need. An error says that the context ended, or
// that no check is left.
func (s *search) tryOthers(ctx context.Context, c *checks) error {
	for _, wanted := range []bool{true, false} {
		for _, k := range s.policy.keys {
			if s.done() {
				return nil
			}
			if k == s.tried || s.asked[k.id] != wanted {
				continue
			}
			toll := k.key.Toll(s.opened.Signed, s.opened.Signatures)
			if !wanted && !c.mayAskOthers(toll) {
				return nil
			}
			if !c.take(toll) {
				return errTooManyChecks()
			}
			if err := s.try(ctx, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// manifestDigests are the digests of a manifest. All but sha256 need the manifest, which is
// fetched for the rare statement that names them.
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
