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

// usable says why a key's signature does not count now; nil: it does. seen is the
// time at which a clock of the policy has seen it, where that was needed. An error
// says that no more checks may be made, or that the context has ended.
//
// What a revoked key has signed counts where the policy says so of the key
// (StandsBefore), and a clock of the policy has seen that signature before the key
// was revoked.
func (c *checking) usable(p *piece, k *trustedKey) (seen time.Time, why *problem, err error) {
	if !k.revoked || !k.standsBefore || len(c.clocks) == 0 {
		return time.Time{}, k.at(c.now), nil
	}
	toll := k.key.Toll(p.claim.Signed, p.claim.Signatures) + identityEffort*len(c.clocks)
	if !p.work.keys.take(toll) {
		return time.Time{}, nil, errTooManyChecks()
	}
	signatures, err := p.claim.SignaturesBy(c.ctx, k.key)
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
		why = problemf(ReasonRevokedKey, "the key %s was revoked on %s, and no party of the policy's timestamps has seen the signature before", k.Name, k.revokedAt.UTC().Format(time.RFC3339))
		return time.Time{}, why, nil
	}
	return seen, k.within(c.now), nil
}

// signedEvidence is what plug-ins are shown of a piece of evidence.
func (p *piece) signedEvidence(signatures [][]byte, now time.Time) policy.SignedEvidence {
	return policy.SignedEvidence{
		MediaType: string(p.item.Layer.MediaType), Annotations: p.item.Layer.Annotations, Content: p.item.Payload,
		Message: p.claim.Signed.Bytes, Signatures: signatures, Now: now,
	}
}

// revokedWords tells of a revoked key, in an explanation.
func (k *trustedKey) revokedWords() string {
	if k.standsBefore {
		return fmt.Sprintf(" (revoked; what was seen before %s stands)", k.revokedAt.UTC().Format(time.RFC3339))
	}
	return " (revoked)"
}
