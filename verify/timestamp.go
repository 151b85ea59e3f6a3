package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// TimeAuthority is an Authority that also knows parties who vouch for when a
// signature was there: timestamp authorities, or transparency logs.
type TimeAuthority interface {
	Authority
	// Clock checks what a policy says of such a party, and returns it. Settings
	// that would believe anybody, and names that it does not know, are errors.
	Clock(settings map[string]any) (Clock, error)
}

// Clock is a party that vouches for when signatures were there. It is safe for
// concurrent use.
type Clock interface {
	// ID tells it from all others, and is the same for the same settings in every
	// process.
	ID() string
	// Seen returns a time at which all of e.Signatures were there, by the party's
	// own word, and an error that says why there is none otherwise. What anybody
	// else can write, the signer included, is nobody's word. It asks nobody over a
	// network. e.Signatures were seen to be a trusted key's.
	Seen(ctx context.Context, e SignedEvidence) (time.Time, error)
}

// trustedClock is a Clock of the policy.
type trustedClock struct {
	name  string
	clock Clock
}

// addClocks resolves the parties whose word about time the policy believes.
func (c *compiled) addClocks(p *Policy, linked map[string]Authority) error {
	seen := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(p.Timestamps)) {
		t, path := p.Timestamps[name], "timestamps."+name
		authority := linked[t.Authority]
		if authority == nil {
			return faultf(path+".authority", "names %.100q, whose package is not linked into this program", t.Authority)
		}
		times, ok := authority.(TimeAuthority)
		if !ok {
			return faultf(path+".authority", "names %.100q, which knows nobody who vouches for times", t.Authority)
		}
		clock, err := times.Clock(t.Settings)
		if err != nil {
			return &fault{path + ".settings", err}
		}
		if first, twice := seen[clock.ID()]; twice {
			return faultf(path, "is the same as %s", first)
		}
		seen[clock.ID()] = name
		c.clocks = append(c.clocks, &trustedClock{name, clock})
	}
	return nil
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
func (p *piece) signedEvidence(signatures [][]byte, now time.Time) SignedEvidence {
	return SignedEvidence{
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
