package policy

import (
	"context"
	"crypto"
	"maps"
	"slices"
	"time"
)

// Authority recognises signers by other means than keys, such as certificates. A program
// links the packages of the authorities that it wants, and names them in
// ParseOptions.Authorities and verify.Options.Authorities. An Authority is safe for
// concurrent use.
type Authority interface {
	// Matcher checks the settings of an Identity and returns what recognises its signers.
	// It returns an error for settings that match every signer, and for unknown names.
	Matcher(settings map[string]any) (Matcher, error)
}

// ChangingAuthority is an Authority whose trust changes while the process runs, for example
// when a trust root is renewed.
type ChangingAuthority interface {
	Authority
	// Generation identifies what is trusted now, such as the digest of the trust root. It
	// is equal in every process that trusts the same. Decisions kept for another Generation
	// are not used. It is called for each decision, and must be quick.
	//
	// An authority may have a method Err() error besides, which says why its newest trust is
	// not in use: verify.ReportingSource asks it.
	Generation() string
}

// DescribedAuthority is an Authority whose settings have a JSON Schema; see SchemaWith.
type DescribedAuthority interface {
	Authority
	// SettingsSchema is the JSON Schema (2020-12) of Identity.Settings, and that of
	// Timestamps.Settings. Nil: it describes none.
	SettingsSchema() (identities, timestamps map[string]any)
}

// FileAuthority is an Authority whose settings may name files beside the policy, such as a
// trust root.
type FileAuthority interface {
	Authority
	// FileSettings are the names of the settings whose values name files. Parse and Load
	// read such a file as they read the file of a key, and put a File in place of its name.
	// A file has at most 4 MiB. In a policy that was not read from a text, a name may stand
	// there still: that is an error.
	FileSettings() []string
}

// Matcher recognises the signatures of an Identity. It is safe for concurrent use.
type Matcher interface {
	// ID identifies the Matcher. It is equal for equal settings, with equal files, in every
	// process. Thresholds count distinct IDs.
	ID() string
	// Signed returns the principal who made a signature over exactly e.Message, if the
	// identity describes that principal. Otherwise the error says why the signature does
	// not count. Signed must not use a network: attackers can attach evidence, and must not
	// cause requests.
	Signed(ctx context.Context, e SignedEvidence) (Recognized, error)
}

// Recognized is a principal that a Matcher recognised.
type Recognized struct {
	// Principal identifies the principal among all that the Authority can recognise, such
	// as issuer and subject of a certificate. It is equal for every Matcher and every
	// certificate of the principal: a threshold counts a principal once, and
	// Rule.SeparateDuties compares principals. Empty is an error.
	Principal string
	// Until is when the recognition ends. Zero: no end.
	Until time.Time
	// SignedAt is when the signature existed at the latest, by what the Authority trusts for
	// times. Zero: that is not known.
	SignedAt time.Time
	// SignedAfter is when the signature existed at the earliest, such as the beginning of a
	// certificate that is valid for minutes. A timestamp is not such a time: an old signature
	// can get a new one. Zero: that is not known.
	SignedAfter time.Time
	// Claims are what the Authority vouches for beside the principal, such as the source
	// repository of a build. Conditions read those of the Claim constants. Others have names
	// of the Authority's own, and are shown.
	Claims map[string]string
}

// Claims that conditions read; see ProvenanceConditions.BoundToCertificate.
const (
	// ClaimBuilder is the URI of the instructions that have built, such as a workflow's.
	// Without it, ClaimURI counts.
	ClaimBuilder = "buildSigner"
	ClaimURI     = "uri"
	// ClaimSource, ClaimRef and ClaimCommit are the URL of the repository that was built, its
	// ref and its commit.
	ClaimSource = "sourceRepository"
	ClaimRef    = "sourceRef"
	ClaimCommit = "sourceDigest"
	// ClaimLogIndex is where a transparency log has the signature, in decimal digits. It is
	// shown.
	ClaimLogIndex = "logIndex"
)

// SignedEvidence is a piece of evidence with a certificate or, for a TimeMatcher, one that
// a key signed.
type SignedEvidence struct {
	// MediaType and Annotations are those of the layer. Content is the layer: a Sigstore
	// bundle, a DSSE envelope or a simple signing payload. An attacker may have written all
	// of it.
	MediaType   string
	Annotations map[string]string
	Content     []byte
	// Message is what the signature must cover, Signatures are those that were found. After
	// Signed returns nil, Message is trusted, and nothing else of the evidence. A DigestReader
	// may find nil where there is Sum.
	Message    []byte
	Signatures [][]byte
	// Sum returns the digest of what the signature must cover, by SHA-256, SHA-384 or
	// SHA-512. False: it is not known. Nil: hash Message.
	Sum func(crypto.Hash) ([]byte, bool)
	// Key is the trusted key that made Signatures, for a TimeMatcher. Nil: a certificate
	// names the signer.
	Key crypto.PublicKey
	// Now is the time of the judgement.
	Now time.Time
	// Once does work about this piece of evidence once, whatever the number of identities:
	// the first call with a key does it, and later ones return the same. effort is what the
	// work costs beside asking the Matcher, in checks of a P-256 signature. It is charged,
	// and the work is not done where too much was. What the work returns is shared and
	// must not be changed. Nil: nothing is kept; do the work.
	Once func(key any, effort int, work func() (any, error)) (any, error)
}

// DigestReader is a Matcher or TimeMatcher that reads SignedEvidence.Sum. Others are not
// asked about a file whose digests alone are known: they would take its missing Message for
// an empty one.
type DigestReader interface {
	// ReadsDigests returns true.
	ReadsDigests() bool
}

// TimeAuthority is an Authority that also says when signatures existed, by timestamp
// authorities or transparency logs.
type TimeAuthority interface {
	Authority
	// TimeMatcher checks the settings of an entry of Policy.Timestamps and returns what
	// recognises its timestamps. It returns an error for settings that trust every clock,
	// and for unknown names.
	TimeMatcher(settings map[string]any) (TimeMatcher, error)
}

// TimeMatcher recognises the timestamps of one authority. It is safe for concurrent use.
type TimeMatcher interface {
	// ID identifies the TimeMatcher. It is equal for equal settings in every process.
	ID() string
	// Seen returns a time at which all of e.Signatures existed, by the authority's word.
	// Otherwise the error says why no such time is known. A claim that the signer or an
	// attacker can write must not count. Seen must not use a network. A trusted key made
	// e.Signatures.
	Seen(ctx context.Context, e SignedEvidence) (time.Time, error)
}

// LogMatcher is a TimeMatcher that also knows what transparency logs have recorded.
type LogMatcher interface {
	TimeMatcher
	// Logged returns what a trusted log says about e.Signatures, by names as in
	// Recognized.Claims, once all of them are recorded there. An entry that says no trusted
	// time is enough. Otherwise the error says why none counts. What holds for Seen holds
	// for Logged.
	Logged(ctx context.Context, e SignedEvidence) (claims map[string]string, err error)
}

// findIdentities asks the authorities for the identities that the policy names.
func (c *checking) findIdentities() error {
	p, seen, yielded := &c.Policy, make(map[string]string), make(map[string]string)
	for _, name := range ownFirst(p, p.Identities) {
		i, path := p.Identities[name], p.pathOf("identities", name)
		authority := c.linked[i.Authority]
		switch _, key := p.Keys[name]; {
		case authority == nil:
			return notLinked(path, i.Authority)
		case key:
			return faultf(path, "has the name of a key")
		case i.StandsBefore && i.Revoked.IsZero() && i.NotAfter.IsZero():
			return faultf(path+".standsBefore", "needs revoked or notAfter: the identity does not end")
		}
		identity, err := authority.Matcher(i.Settings)
		if err != nil {
			return &fault{path + ".settings", err}
		}
		if first, twice := seen[identity.ID()]; twice {
			if p.yields(name, first, !p.Identities[first].Revoked.IsZero()) {
				yielded[name] = first
				delete(p.Identities, name)
				continue
			}
			return faultf(path, "is the same identity as %s", first)
		}
		seen[identity.ID()] = name
		c.Matchers[name] = identity
	}
	p.replace(yielded, func(r *Role) []string { return r.Identities })
	return nil
}

// findTimes asks the authorities for the policy's timestamps, and notes which authorities
// change.
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
			return faultf(path+".authority", "names %.100q, which does not say when signatures existed", t.Authority)
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

// findChanging notes which of the named authorities change.
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
