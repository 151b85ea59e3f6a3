package verify

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
)

// trust is what the authorities that the policy names trust now.
func (c *compiled) trust() string {
	if len(c.checked.Changing) == 0 {
		return ""
	}
	var all []string
	for _, a := range c.checked.Changing {
		all = append(all, strconv.Quote(a.Generation()))
	}
	return strings.Join(all, " ")
}

// identityEffort is what asking an identity counts as, in checks: the signature,
// and those of a chain of certificates.
const identityEffort = 4

// hashedPerCheck is how many bytes of its message count as another check: each
// identity hashes it.
const hashedPerCheck = 128 << 10

// vouchers finds the policy's identities that have signed a piece of evidence
// that offers a certificate; failing that, it says why. Somebody whom a revoked
// identity stands for counts as no other one either.
func (c *checking) vouchers(p *piece) ([]*trustedKey, *problem, error) {
	var found []*trustedKey
	why := []error{evidence.ErrNotByKey}
	shown := p.signedEvidence(p.opened.Signatures, c.now)
	shared := &sharedWork{ctx: c.ctx, left: &p.work.certificates, done: make(map[any]finished)}
	shown.Once = shared.once
	for i, err := range c.candidates(p) {
		if err != nil {
			return nil, nil, err
		}
		known, err := i.identity.Signed(c.ctx, shown)
		if shared.stopped != nil {
			return nil, nil, shared.stopped
		}
		if err == nil && known.Principal == "" {
			err = errors.New("the authority of " + i.Name + " does not say who it is")
		}
		if err != nil {
			why = append(why, err)
			continue
		}
		vouched := *i
		vouched.notAfter, vouched.who, vouched.signedAt = known.Until, i.authority+" "+known.Principal, known.SignedAt
		if vouched.revoked {
			return []*trustedKey{&vouched}, nil, nil
		}
		found = append(found, &vouched)
	}
	if len(found) == 0 {
		return nil, &problem{ReasonCertificate, errors.Join(why...).Error()}, nil
	}
	return found, nil, nil
}

// candidates yields the identities that are to be asked about a piece of evidence,
// within the bound of checks: first those that decide, by standing in a role of the
// rule or by being revoked, and then the others, only to say whose signature it is.
func (c *checking) candidates(p *piece) iter.Seq2[*trustedKey, error] {
	left := &p.work.certificates
	toll := identityEffort + len(p.opened.Signed.Bytes)/hashedPerCheck
	return func(yield func(*trustedKey, error) bool) {
		for _, decides := range []bool{true, false} {
			for _, i := range c.policy.identities {
				if (i.revoked || c.rule.asked[i.ID()]) != decides {
					continue
				}
				if !decides && !left.mayAskOthers(toll) {
					return
				}
				err := c.ctx.Err()
				if err == nil && !left.take(toll) {
					err = errTooManyChecks()
				}
				if !yield(i, err) || err != nil {
					return
				}
			}
		}
	}
}

// sharedWork is what identities have had done about a piece of evidence.
type sharedWork struct {
	ctx  context.Context
	left *checks
	done map[any]finished
	// stopped: no more checks may be made, or the context has ended.
	stopped error
}

type finished struct {
	made any
	err  error
}

// once is policy.SignedEvidence.Once.
func (s *sharedWork) once(key any, effort int, work func() (any, error)) (any, error) {
	if s.stopped != nil {
		return nil, s.stopped
	}
	if f, done := s.done[key]; done {
		return f.made, f.err
	}
	if !s.left.take(max(effort, 0)) {
		s.stopped = errTooManyChecks()
		return nil, s.stopped
	}
	leave, err := budget.Work(s.ctx)
	if err != nil {
		s.stopped = err
		return nil, err
	}
	defer leave()
	made, err := work()
	s.done[key] = finished{made, err}
	return made, err
}
