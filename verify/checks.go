package verify

import (
	"context"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxChecks bounds the signature checks of one place, in checks of a P-256 key,
// which take about 80 µs: what an attacker can attach must not keep a processor
// busy for long. Bytes that are hashed count too; see sigkey.PublicKey.Toll. A signature
// that names its key is checked once; one that does not, with each key of the policy
// until one fits.
const maxChecks = 20_000

// checks is how many may still be made.
type checks struct {
	left int
	// others is how many of them may be made with keys that no requirement asks for,
	// only to say whose signature it is.
	others int
}

func newChecks() checks { return checks{left: maxChecks, others: maxChecks / 4} }

// take takes checks from what is left, and reports whether there were as many.
func (c *checks) take(toll int) bool {
	if toll > c.left {
		return false
	}
	c.left -= toll
	return true
}

// mayAskOthers takes checks from what is left for keys that no requirement asks for,
// and reports whether there were as many.
func (c *checks) mayAskOthers(toll int) bool {
	if c.others < toll {
		c.others = 0
		return false
	}
	c.others -= toll
	return true
}

// search looks for the policy's keys that have made a claim's signatures.
type search struct {
	policy *compiled
	asked  map[string]bool // the keys that requirements ask for, by ID
	claim  *evidence.Claim
	// tried is the key that the hint names, once it was tried.
	tried *trustedKey
	found []*trustedKey
}

// try checks the claim's signatures with one key. An error says that the context has
// ended.
func (s *search) try(ctx context.Context, k *trustedKey) error {
	leave, err := budget.Work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	made, err := s.claim.VerifiedWithin(ctx, k.key)
	if made {
		s.found = append(s.found, k)
	}
	return err
}

// tryHinted tries the key that the hint names, if there is one, with checks from c.
func (s *search) tryHinted(ctx context.Context, c *checks) error {
	hinted := s.policy.byHint[s.claim.Hint]
	if hinted == nil {
		return nil
	}
	if !c.take(hinted.key.Toll(s.claim.Signed, s.claim.Signatures)) {
		return errTooManyChecks()
	}
	s.tried = hinted
	return s.try(ctx, hinted)
}

// done reports whether no other key can have made a signature: each has one maker.
func (s *search) done() bool { return len(s.found) >= len(s.claim.Signatures) }

// tryOthers tries the other keys: those that are asked for, by ID, and then the
// rest, which cannot count and must not use up what the others need. An error says
// that the context has ended, or that no more checks may be made.
func (s *search) tryOthers(ctx context.Context, c *checks) error {
	for _, wanted := range []bool{true, false} {
		for _, k := range s.policy.keys {
			if s.done() {
				return nil
			}
			if k == s.tried || s.asked[k.ID()] != wanted {
				continue
			}
			toll := k.key.Toll(s.claim.Signed, s.claim.Signatures)
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

// signers finds the policy's keys that have made one of the claim's signatures. The
// hint decides only which key is tried first.
func (c *checks) signers(ctx context.Context, p *compiled, asked map[string]bool, claim *evidence.Claim) ([]*trustedKey, error) {
	s := search{policy: p, asked: asked, claim: claim}
	if err := s.tryHinted(ctx, c); err != nil {
		return nil, err
	}
	if err := s.tryOthers(ctx, c); err != nil {
		return nil, err
	}
	return s.found, nil
}

func errTooManyChecks() error {
	return &registry.Error{Op: "check signatures", Kind: registry.ErrTooMany, Detail: "too many signatures, or too large ones, for the number of keys"}
}
