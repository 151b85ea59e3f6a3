package verify

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// trustedClock is a TimeMatcher of the policy.
type trustedClock struct {
	name  string
	clock policy.TimeMatcher
}

// usable says why a signature of a key or identity does not count now; nil: it counts.
// known is what authorities know of it. An error says that no check is left, or that the
// context ended. Its branches, in order:
//
//   - An identity has recognised the signer: its end decides, see recognised.
//   - The key is revoked, and its signatures do not stand: ReasonRevokedKey.
//   - The key is outside its time: ReasonExpiredKey, ReasonKeyNotYetValid.
//   - It is revoked, and no timestamp of the policy shows the signature before that:
//     ReasonRevokedKey.
//   - It must be logged, and neither a log nor a timestamp of the policy knows the signature:
//     ReasonNotLogged.
//   - Otherwise it counts.
func (c *checking) usable(p *piece, k *trustedKey) (known policy.Recognized, why *problem, err error) {
	stands := k.revoked && k.standsBefore && c.keepsRevoked
	switch {
	case k.identity != nil || k.revoked && !stands:
		return k.known, k.at(c.now), nil
	case !stands && !k.logged:
		return known, k.within(c.now), nil
	}
	if why := k.within(c.now); why != nil {
		return known, why, nil
	}
	s, err := c.sighted(p, k, stands)
	switch {
	case err != nil:
		return known, nil, err
	case stands && (s.known.SignedAt.IsZero() || !s.known.SignedAt.Before(k.revokedAt)):
		why = problemf(ReasonRevokedKey, "the key %s was revoked on %s, and no timestamp of the policy shows the signature before that", k.Name, k.revokedAt.UTC().Format(time.RFC3339))
	case k.logged && s.known.SignedAt.IsZero() && !s.logged:
		why = problemf(ReasonNotLogged, "signatures of the key %s count only with a log entry or timestamp by one of the policy's timestamps: %v", k.Name, errors.Join(s.why...))
	}
	return s.known, why, nil
}

// sighting is what the policy's clocks know of a key's signatures.
type sighting struct {
	// known has the earliest time at which they existed, if one is known, and what a log
	// says.
	known  policy.Recognized
	logged bool
	why    []error
}

// sighted asks the clocks about a key's signatures. Where only a time matters, logs are not
// asked.
func (c *checking) sighted(p *piece, k *trustedKey, timeMatters bool) (s sighting, err error) {
	if !p.work.keys.take(k.key.Toll(p.opened.Signed, p.opened.Signatures)) {
		return s, errTooManyChecks()
	}
	signatures, err := p.opened.SignaturesBy(c.ctx, k.key)
	if err != nil {
		return s, err
	}
	shown := p.signedEvidence(signatures, c.now)
	shown.Key = k.key.Public()
	q := newQuestions(c.ctx, &p.work.keys, p)
	q.toll = identityEffort
	shown.Once = q.once
	for _, clock := range c.policy.clocks {
		if !readable(clock.clock, p) {
			s.tell(clock, errOnlyDigest)
			continue
		}
		if k.logged && !s.logged {
			if ended := s.askLog(q, clock, shown); ended != nil {
				return s, ended
			}
		}
		if !timeMatters && s.logged {
			continue
		}
		if ended := s.askTime(q, clock, shown); ended != nil {
			return s, ended
		}
	}
	return s, nil
}

func (s *sighting) askLog(q *questions, clock *trustedClock, e policy.SignedEvidence) error {
	m, ok := clock.clock.(policy.LogMatcher)
	if !ok {
		return nil
	}
	answer, ended := q.ask(true, func() (err error) {
		s.known.Claims, err = m.Logged(q.ctx, e)
		return err
	})
	if s.logged = ended == nil && answer == nil; !s.logged {
		s.known.Claims = nil
		s.tell(clock, answer)
	}
	return ended
}

func (s *sighting) askTime(q *questions, clock *trustedClock, e policy.SignedEvidence) error {
	answer, ended := q.ask(true, func() error {
		at, err := clock.clock.Seen(q.ctx, e)
		if err == nil {
			s.known.SignedAt = earlier(s.known.SignedAt, at)
		}
		return err
	})
	s.tell(clock, answer)
	return ended
}

// tell keeps why a clock knows nothing.
func (s *sighting) tell(clock *trustedClock, why error) {
	if why != nil && len(s.why) < maxReasons {
		s.why = append(s.why, fmt.Errorf("%s: %w", clock.name, why))
	}
}

// signedEvidence is what plug-ins see of a piece of evidence.
func (p *piece) signedEvidence(signatures [][]byte, now time.Time) policy.SignedEvidence {
	m := p.opened.Signed
	return policy.SignedEvidence{
		MediaType: string(p.item.Layer.MediaType), Annotations: p.item.Layer.Annotations, Content: p.item.Payload,
		Message: m.Bytes, Signatures: signatures, Now: now,
		Sum: func(h crypto.Hash) ([]byte, bool) {
			sum := m.Sum(h)
			return sum, sum != nil
		},
	}
}

// revokedWords describes a revoked key in an explanation.
func (k *trustedKey) revokedWords() string {
	if k.standsBefore {
		return fmt.Sprintf(" (revoked; what was seen before %s stands)", k.revokedAt.UTC().Format(time.RFC3339))
	}
	return " (revoked)"
}
