package policy

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Authority says who has signed by other means than keys, such as certificates and the
// authorities behind them. Packages beside package verify provide them. A program links those
// that it wants, and names them in ParseOptions.Authorities and verify.Options. An Authority
// is safe for concurrent use.
type Authority interface {
	// Matcher checks the settings of an Identity, and returns what recognises it. It
	// returns an error for settings that would match everybody, and for unknown names.
	Matcher(settings map[string]any) (Matcher, error)
}

// ChangingAuthority is an Authority whose trust changes while the process runs, as
// where a trust root is renewed.
type ChangingAuthority interface {
	Authority
	// Generation tells what is trusted now from what was trusted before, in every
	// process alike: a digest of the trust root, say. Decisions that were kept for
	// another one are not used. It is asked for each decision, and is quick.
	Generation() string
}

// Matcher recognises the signatures of an Identity. It is safe for concurrent use.
type Matcher interface {
	// ID tells it from all others, and is the same for the same settings in every
	// process: distinct IDs are what thresholds count.
	ID() string
	// Signed returns who has made a signature over exactly e.Message, where the identity
	// stands for that principal. Otherwise the error says why the signature does not
	// count. Signed must not use a network: attackers can attach evidence, and must not
	// cause requests by it.
	Signed(ctx context.Context, e SignedEvidence) (Recognized, error)
}

// Recognized is a principal whom a Matcher has recognised.
type Recognized struct {
	// Principal tells the principal from all others that the same Authority can
	// recognise, such as issuer and subject of a certificate. It is the same for every
	// Matcher and every certificate of the principal: a threshold counts it once, and
	// where it signs in two roles that are to be separate (Rule.SeparateDuties), it counts
	// in neither. Empty is an error.
	Principal string
	// Until is when this ends to hold by itself; zero is never.
	Until time.Time
	// SignedAt is when the signature existed at the latest, by what the Authority trusts for
	// times. Zero: that is not known.
	SignedAt time.Time
	// Claims are what the Authority vouches for beside the principal, by names of its own,
	// such as the source repository of a build. They are shown, and nothing rests on them.
	Claims map[string]string
}

// SignedEvidence is a piece of evidence that offers a certificate, or, for a TimeMatcher,
// one that a key has signed.
type SignedEvidence struct {
	// MediaType and Annotations are those of the layer, Content is the layer: a
	// Sigstore bundle, a DSSE envelope or a simple signing payload. An attacker
	// may have written all of it.
	MediaType   string
	Annotations map[string]string
	Content     []byte
	// Message is what the signature must cover, and Signatures are the ones that
	// were found. Once Signed has returned nil, what stands in Message is
	// believed, and nothing else of the evidence.
	Message    []byte
	Signatures [][]byte
	// Now is the time of the judgement.
	Now time.Time
	// Once does work about this piece of evidence once, whatever the number of identities:
	// the first call with a key does it, and later ones return the same. effort is what the
	// work costs beside asking the Matcher, in checks of a P-256 signature. It is charged,
	// and the work is not done where too much was. What the work returns is shared and
	// must not be changed. Nil: nothing is kept; do the work.
	Once func(key any, effort int, work func() (any, error)) (any, error)
}

// TimeAuthority is an Authority that also says when signatures existed, by timestamp
// authorities or transparency logs.
type TimeAuthority interface {
	Authority
	// TimeMatcher checks the settings of an entry of Policy.Timestamps, and returns what
	// recognises its timestamps. It returns an error for settings that would believe
	// everybody, and for unknown names.
	TimeMatcher(settings map[string]any) (TimeMatcher, error)
}

// TimeMatcher recognises statements of time by one authority. It is safe for concurrent use.
type TimeMatcher interface {
	// ID tells it from all others, and is the same for the same settings in every
	// process.
	ID() string
	// Seen returns a time at which all of e.Signatures existed, as the authority says.
	// Otherwise the error says why there is none. What others can write, the signer
	// included, must not count. Seen must not use a network. A trusted key has made
	// e.Signatures.
	Seen(ctx context.Context, e SignedEvidence) (time.Time, error)
}

// findIdentities asks the authorities for the identities that the policy names.
func (c *checking) findIdentities() error {
	p, seen := &c.Policy, make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(p.Identities)) {
		i, path := p.Identities[name], "identities."+name
		authority := c.linked[i.Authority]
		switch _, key := p.Keys[name]; {
		case authority == nil:
			return notLinked(path, i.Authority)
		case key:
			return faultf(path, "has the name of a key")
		}
		identity, err := authority.Matcher(i.Settings)
		if err != nil {
			return &fault{path + ".settings", err}
		}
		if first, twice := seen[identity.ID()]; twice {
			return faultf(path, "is the same identity as %s", first)
		}
		seen[identity.ID()] = name
		c.Matchers[name] = identity
	}
	return nil
}

// findTimes asks the authorities for the matchers of the policy's timestamps, and notes
// which authorities change.
func (c *checking) findTimes() error {
	p, seen := &c.Policy, make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(p.Timestamps)) {
		t, path := p.Timestamps[name], "timestamps."+name
		authority := c.linked[t.Authority]
		if authority == nil {
			return notLinked(path, t.Authority)
		}
		times, ok := authority.(TimeAuthority)
		if !ok {
			return faultf(path+".authority", "names %.100q, which knows nobody who vouches for times", t.Authority)
		}
		m, err := times.TimeMatcher(t.Settings)
		if err != nil {
			return &fault{path + ".settings", err}
		}
		if first, twice := seen[m.ID()]; twice {
			return faultf(path, "is the same as %s", first)
		}
		seen[m.ID()] = name
		c.Times[name] = m
	}
	c.findChanging()
	return nil
}

func notLinked(path, authority string) error {
	return faultf(path+".authority", "names %.100q, whose package is not linked into this program", authority)
}

// findChanging notes which of the authorities that the policy names change.
func (c *checking) findChanging() {
	named := make(map[string]bool)
	for _, i := range c.Policy.Identities {
		named[i.Authority] = true
	}
	for _, t := range c.Policy.Timestamps {
		named[t.Authority] = true
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if a, ok := c.linked[name].(ChangingAuthority); ok {
			c.Changing = append(c.Changing, a)
		}
	}
}
