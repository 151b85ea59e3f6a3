package verify

import (
	"context"

	"github.com/hallmark-oci/hallmark/internal/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxChecks bounds the signature checks of one judgement, in checks of a P-256
// key, which take about 80 µs: what anybody can attach must not keep a processor
// busy for long. A signature that names its key is checked once; one that does not,
// with each key of the policy until one fits.
const maxChecks = 20_000

// checks is how many a judgement may still make.
type checks struct {
	left int
	// others is how many of them may be made with keys that nobody asks for, only to
	// say whose signature it is.
	others int
}

func newChecks() checks { return checks{left: maxChecks, others: maxChecks / 4} }

// mayAskOthers takes checks from what is left for keys that nobody asks for, and
// reports whether there were as many.
func (c *checks) mayAskOthers(effort int) bool {
	if c.others < effort {
		c.others = 0
		return false
	}
	c.others -= effort
	return true
}

// signers finds the policy's keys that have made one of the claim's signatures.
// The hint decides only which key is tried first; then come those that are asked
// for, by ID, and then the others. An error says that the context has ended, or
// that no more checks may be made.
func (c *checks) signers(ctx context.Context, p *compiled, asked map[string]bool, claim *evidence.Claim) ([]*trustedKey, error) {
	var found []*trustedKey
	try := func(k *trustedKey) error {
		if c.left -= k.key.Effort() * len(claim.Signatures); c.left < 0 {
			return errTooManyChecks()
		}
		if claim.VerifiedBy(k.key) {
			found = append(found, k)
		}
		return ctx.Err()
	}
	hinted := p.byHint[claim.Hint]
	if hinted != nil {
		if err := try(hinted); err != nil {
			return nil, err
		}
	}
	// Keys of roles that nobody asks for cannot count, and must not use up what the
	// others need.
	for _, wanted := range []bool{true, false} {
		for _, k := range p.keys {
			// One signature has one maker.
			if len(found) >= len(claim.Signatures) {
				return found, nil
			}
			if k == hinted || asked[k.Key.ID()] != wanted {
				continue
			}
			if !wanted && !c.mayAskOthers(k.key.Effort()*len(claim.Signatures)) {
				return found, nil
			}
			if err := try(k); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func errTooManyChecks() error {
	return &registry.Error{Op: "check signatures", Kind: registry.ErrTooMany, Detail: "too many signatures, for the number of keys"}
}
