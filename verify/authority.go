package verify

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
)

// Authority is a way to trust who signs by other means than keys, such as
// certificates and the authorities behind them. Packages beside this one provide
// them; a program links those that it wants and names them in
// Options.Authorities. It is safe for concurrent use.
type Authority interface {
	// Identity checks what a policy says of an identity, and returns it. Settings
	// that would match anybody, and names that it does not know, are errors.
	Identity(settings map[string]any) (Identity, error)
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

// trust is what the authorities that the policy names trust now.
func (c *compiled) trust() string {
	if len(c.changing) == 0 {
		return ""
	}
	var all []string
	for _, a := range c.changing {
		all = append(all, strconv.Quote(a.Generation()))
	}
	return strings.Join(all, " ")
}

// addChanging notes which of the authorities that the policy names change.
func (c *compiled) addChanging(p *Policy, linked map[string]Authority) {
	named := make(map[string]bool)
	for _, i := range p.Identities {
		named[i.Authority] = true
	}
	for _, t := range p.Timestamps {
		named[t.Authority] = true
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if a, ok := linked[name].(ChangingAuthority); ok {
			c.changing = append(c.changing, a)
		}
	}
}

// Identity is somebody whom an Authority can recognise. It is safe for concurrent
// use.
type Identity interface {
	// ID tells it from all others, and is the same for the same settings in every
	// process: distinct IDs are what thresholds count.
	ID() string
	// Signed says who has made a signature over exactly e.Message, if it is
	// somebody whom the identity stands for, and an error that says why it does
	// not count otherwise. It asks nobody over a network: what an attacker
	// attaches must not make requests.
	Signed(ctx context.Context, e SignedEvidence) (Recognized, error)
}

// Recognized is a person or machine whom an Identity has recognised.
type Recognized struct {
	// Who tells them from all others whom the same Authority can recognise, such
	// as issuer and subject of a certificate, and is the same whichever Identity
	// recognises them, and by whichever certificate: where several do, they still
	// count once in a threshold, and where they do so in two roles that are to be
	// separate (Rule.SeparateDuties), they count in neither. Empty is an error.
	Who string
	// Until is when this ends to hold by itself; zero is never.
	Until time.Time
}

// SignedEvidence is a piece of evidence that offers a certificate, or, for a Clock,
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
}

// addIdentities resolves the identities that the policy names.
func (c *compiled) addIdentities(p *Policy, linked map[string]Authority) error {
	seen := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(p.Identities)) {
		i, path := p.Identities[name], "identities."+name
		authority := linked[i.Authority]
		switch _, key := p.Keys[name]; {
		case authority == nil:
			return faultf(path+".authority", "names %.100q, whose package is not linked into this program", i.Authority)
		case key:
			return faultf(path, "has the name of a key")
		}
		identity, err := authority.Identity(i.Settings)
		if err != nil {
			return &fault{path + ".settings", err}
		}
		if first, twice := seen[identity.ID()]; twice {
			return faultf(path, "is the same identity as %s", first)
		}
		seen[identity.ID()] = name
		c.identities = append(c.identities, &trustedKey{Key: Key{Name: name}, identity: identity, authority: i.Authority, revoked: !i.Revoked.IsZero()})
	}
	return nil
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
	for i, err := range c.candidates(p) {
		if err != nil {
			return nil, nil, err
		}
		known, err := i.identity.Signed(c.ctx, p.signedEvidence(p.claim.Signatures, c.now))
		if err == nil && known.Who == "" {
			err = errors.New("the authority of " + i.Name + " does not say who it is")
		}
		if err != nil {
			why = append(why, err)
			continue
		}
		vouched := *i
		vouched.notAfter, vouched.who = known.Until, i.authority+" "+known.Who
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
	toll := identityEffort + len(p.claim.Signed.Bytes)/hashedPerCheck
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
