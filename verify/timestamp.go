package verify

import (
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// trustedClock is a TimeMatcher of the policy.
type trustedClock struct {
	name  string
	clock policy.TimeMatcher
}

// usable says why a key's signature does not count now; nil: it counts. seen is the time at
// which a timestamp of the policy shows the signature, if that was needed. An error says
// that no check is left, or that the context ended.
//
// A revoked key's signature counts under two conditions. The policy has StandsBefore for the
// key, and one of its timestamps shows that signature before the key was revoked.
func (c *checking) usable(p *piece, k *trustedKey) (seen time.Time, why *problem, err error) {
	if !k.revoked || !k.standsBefore || len(c.clocks) == 0 {
		return time.Time{}, k.at(c.now), nil
	}
	toll := k.key.Toll(p.opened.Signed, p.opened.Signatures) + identityEffort*len(c.clocks)
	if !p.work.keys.take(toll) {
		return time.Time{}, nil, errTooManyChecks()
	}
	signatures, err := p.opened.SignaturesBy(c.ctx, k.key)
	if err != nil {
		return time.Time{}, nil, err
	}
	for _, clock := range c.clocks {
		at, err := clock.clock.Seen(c.ctx, p.signedEvidence(signatures, c.now))
		if err == nil && !at.IsZero() && at.Before(k.revokedAt) && (seen.IsZero() || at.Before(seen)) {
			seen = at
		}
	}
	if seen.IsZero() {
		why = problemf(ReasonRevokedKey, "the key %s was revoked on %s, and no timestamp of the policy shows the signature before that", k.Name, k.revokedAt.UTC().Format(time.RFC3339))
		return time.Time{}, why, nil
	}
	return seen, k.within(c.now), nil
}

// signedEvidence is what plug-ins see of a piece of evidence.
func (p *piece) signedEvidence(signatures [][]byte, now time.Time) policy.SignedEvidence {
	return policy.SignedEvidence{
		MediaType: string(p.item.Layer.MediaType), Annotations: p.item.Layer.Annotations, Content: p.item.Payload,
		Message: p.opened.Signed.Bytes, Signatures: signatures, Now: now,
	}
}

// revokedWords describes a revoked key in an explanation.
func (k *trustedKey) revokedWords() string {
	if k.standsBefore {
		return fmt.Sprintf(" (revoked; what was seen before %s stands)", k.revokedAt.UTC().Format(time.RFC3339))
	}
	return " (revoked)"
}
