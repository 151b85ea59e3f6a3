package verify

import (
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
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
func (j *judgement) usable(item registry.Item, claim *evidence.Claim, k *trustedKey) (seen time.Time, p *problem, err error) {
	if !k.revoked || !k.standsBefore {
		return time.Time{}, k.at(j.now), nil
	}
	toll := k.key.Toll(claim.Signed, claim.Signatures) + identityEffort*len(j.v.policy.clocks)
	if !j.workloadOf(item.Place).keys.take(toll) {
		return time.Time{}, nil, errTooManyChecks()
	}
	signatures, err := claim.SignaturesBy(j.ctx, k.key)
	if err != nil {
		return time.Time{}, nil, err
	}
	for _, c := range j.v.policy.clocks {
		at, err := c.clock.Seen(j.ctx, signedEvidence(item, claim, signatures, j.now))
		if err == nil && !at.IsZero() && at.Before(k.revokedAt) && (seen.IsZero() || at.Before(seen)) {
			seen = at
		}
	}
	if seen.IsZero() {
		p := problemf(ReasonRevokedKey, "the key %s was revoked on %s, and nobody whom the policy believes has seen the signature before", k.Name, k.revokedAt.UTC().Format(time.RFC3339))
		return time.Time{}, p, nil
	}
	return seen, k.within(j.now), nil
}

// signedEvidence is what plug-ins are shown of a piece of evidence.
func signedEvidence(item registry.Item, claim *evidence.Claim, signatures [][]byte, now time.Time) policy.SignedEvidence {
	return policy.SignedEvidence{
		MediaType: string(item.Layer.MediaType), Annotations: item.Layer.Annotations, Content: item.Payload,
		Message: claim.Signed.Bytes, Signatures: signatures, Now: now,
	}
}

// revokedWords tells of a revoked key, in an explanation.
func (k *trustedKey) revokedWords() string {
	if k.standsBefore {
		return fmt.Sprintf(" (revoked; what was seen before %s stands)", k.revokedAt.UTC().Format(time.RFC3339))
	}
	return " (revoked)"
}
