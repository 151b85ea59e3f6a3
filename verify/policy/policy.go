package policy

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// ErrInvalid is the error of every policy that is refused. Where the policy was
// read from a file, the text begins with line and column.
var ErrInvalid = errors.New("unusable policy")

// Policy says what an image needs before it may be used. It is written as Go values, or
// read by Parse and Load. Check refuses the zero Policy. In a file each field has the
// name in its tag, lower case first.
type Policy struct {
	// Version is that of the policy's form. It must be 1. Zero: refused.
	Version int `json:"version"`
	// Serial counts a policy's versions up: a source takes no lower one after a
	// higher one. Zero: versions are not told apart.
	Serial int64 `json:"serial,omitempty"`
	// Expires is when the policy stops to allow anything. Zero: never.
	Expires time.Time `json:"expires,omitzero"`
	// Keys are those that the policy speaks of, by names of its own. The same key
	// under two names is refused. Empty: refused where there are no Identities, unless
	// every rule denies.
	Keys map[string]Key `json:"keys,omitempty"`
	// Roles are groups of keys. Several of a role must act together where the role
	// says so. Empty: refused, unless every rule denies.
	Roles map[string]Role `json:"roles,omitempty"`
	// Identities are signers whom authorities recognise, by names of its own that
	// no key has. A policy that names an authority whose package is not linked
	// (Options.Authorities) is refused. Empty: none.
	Identities map[string]Identity `json:"identities,omitempty"`
	// Timestamps are authorities trusted to say when a signature existed, by names that
	// the policy chooses; see Key.StandsBefore. Empty: none.
	Timestamps map[string]Timestamps `json:"timestamps,omitempty"`
	// Builders maps the builder IDs of provenance to the SLSA build level that
	// they are trusted to reach, 1 to 4. Empty: level says nothing.
	Builders map[string]int `json:"builders,omitempty"`
	// DenyDigests are never allowed, whatever else a rule says. An index is denied
	// where all images that it lists are, and those in its indexes. Where only some
	// are it is allowed, and Result.DeniedChildren names them: ask Verifier.Child or
	// Platform about the one that is to run. With denyDigests an index is read for
	// each decision; where it cannot be, there is none. Files are denied by their
	// SHA-256, too. Empty: none.
	DenyDigests []DeniedDigest `json:"denyDigests,omitempty"`
	// ClockSkew is how far clocks may be apart: a time that far in the future
	// counts as now. Zero: five minutes.
	ClockSkew Duration `json:"clockSkew,omitempty"`
	// Limits bound the evidence that is read for one image. Nil: the defaults of
	// registry.Limits.
	Limits *Limits `json:"limits,omitempty"`
	// Files says whose signatures files need, for Verifier.Blob. SameRepository is
	// refused. Nil: every file is denied.
	Files *SignatureRequirement `json:"files,omitempty"`
	// Rules say what images need. The one with the most specific pattern
	// decides; an image that no rule is about is denied. At least one. A policy
	// whose rules all deny is a freeze: it needs neither keys nor roles, and must have
	// no Files.
	Rules []Rule `json:"rules"`
}

// Key is a public key with the time in which it counts. Exactly one of
// PEM, File and Public is given.
type Key struct {
	// PEM is the text of the key.
	PEM string `json:"pem,omitempty"`
	// File names a file that holds it, from the directory of the policy.
	File string `json:"file,omitempty"`
	// NotBefore and NotAfter are from when, and until just before when, the key
	// counts. Zero: no bound. As no signature tells when it was made, the time of
	// the judgement is what must lie between them.
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	// Revoked is when the key was revoked. Zero: it is not. A key that is
	// revoked does not count, also not before this time: an attacker who has it can
	// write any time.
	Revoked time.Time `json:"revoked,omitzero"`
	// StandsBefore keeps a signature of an image valid if one of Policy.Timestamps has
	// seen it before Revoked. Set Revoked to when an attacker can first have had the
	// key. Signatures of files are never kept valid. False: none is.
	StandsBefore bool `json:"standsBefore,omitempty"`

	// Public is the key itself, for policies in Go. Zero: see PEM and File.
	Public PublicKey `json:"-"`
}

// Identity describes signers whom an Authority recognises.
type Identity struct {
	// Authority is its name in Options.Authorities. Required.
	Authority string `json:"authority"`
	// Settings say who it is, in the authority's own terms.
	Settings map[string]any `json:"settings,omitempty"`
	// Revoked is when it was revoked: then it never counts. Zero: it is not.
	Revoked time.Time `json:"revoked,omitzero"`
}

// Timestamps is an authority trusted to say when a signature existed.
type Timestamps struct {
	// Authority is its name in Options.Authorities, a TimeAuthority. Required.
	Authority string `json:"authority"`
	// Settings say who it is, in the authority's own terms.
	Settings map[string]any `json:"settings,omitempty"`
}

// Role is a group of keys and identities.
type Role struct {
	// Keys are names of Policy.Keys, Identities of Policy.Identities. At least
	// one in all.
	Keys       []string `json:"keys,omitempty"`
	Identities []string `json:"identities,omitempty"`
	// Threshold is how many distinct ones of them must have signed the same
	// thing. Zero: 1 where the role has one; otherwise it must be given.
	Threshold int `json:"threshold,omitempty"`

	noDefault bool // Threshold is what it is
}

// Limits bound the evidence that is read for one image, see registry.Limits. What a
// program sets in verify.Options goes before.
type Limits struct {
	// MaxItems is how many pieces of evidence of one place are read. Zero: 10,000.
	MaxItems int `json:"maxItems,omitempty"`
	// MaxReferrers is how many entries of the list of referrers are looked at. Zero:
	// 10,000.
	MaxReferrers int `json:"maxReferrers,omitempty"`
	// MaxPayloadBytes bounds one piece of evidence. At most 1 GiB. Zero: 32 MiB.
	MaxPayloadBytes int64 `json:"maxPayloadBytes,omitempty"`
	// MaxTotalBytes bounds all pieces of one place together. Zero: 128 MiB, or four times
	// MaxPayloadBytes if that is more.
	MaxTotalBytes int64 `json:"maxTotalBytes,omitempty"`
}

// maxPayloadBytes is up to what size documents can be read.
const maxPayloadBytes = 1 << 30

// check refuses limits that cannot be meant.
func (l *Limits) check() error {
	if l == nil {
		return nil
	}
	for _, x := range []struct {
		name  string
		value int64
	}{
		{"maxItems", int64(l.MaxItems)}, {"maxReferrers", int64(l.MaxReferrers)}, {"maxPayloadBytes", l.MaxPayloadBytes}, {"maxTotalBytes", l.MaxTotalBytes},
	} {
		if x.value < 0 {
			return faultf("limits."+x.name, "is %d, want 1 or more", x.value)
		}
	}
	if l.MaxPayloadBytes > maxPayloadBytes {
		return faultf("limits.maxPayloadBytes", "is %d, want at most %d", l.MaxPayloadBytes, maxPayloadBytes)
	}
	return nil
}

// DeniedDigest is an image that must not be used.
type DeniedDigest struct {
	// Digest is that of a manifest or index, "sha256:…".
	Digest string `json:"digest"`
	// Reason is told to each caller that asks.
	Reason string `json:"reason"`
}

// Mode is how a rule is applied.
type Mode string

// Modes. The zero Mode is ModeEnforce.
const (
	// ModeEnforce denies what does not meet the rule.
	ModeEnforce Mode = "enforce"
	// ModeWarn judges and allows. Result.Warning then holds what would have been the
	// denial.
	ModeWarn Mode = "warn"
)

// Rule says what some images need.
type Rule struct {
	// Images are patterns of repositories: a registry's host and path segments,
	// in which * is one segment and ** any number; see package documentation.
	// At least one.
	Images []string `json:"images"`
	// Deny refuses the images, for Reason. False: Require decides.
	Deny   bool   `json:"deny,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Mode is how Require is applied. Empty: ModeEnforce.
	Mode Mode `json:"mode,omitempty"`
	// SeparateDuties keeps apart the roles that Require names, VEXBy included. A key
	// that stands in two of them is refused when the policy is loaded. A principal that
	// identities of two of them recognise counts in neither, by whatever certificates.
	// Where identities stand in two of the roles, their evidence counts only once all
	// evidence was read, and not where some could not be. An attacker who hides
	// evidence can let a principal count in one of the roles, and never in two. False:
	// one key may act in two roles.
	SeparateDuties bool `json:"separateDuties,omitempty"`
	// EvidenceRepository is the repository that holds the evidence about the images, as
	// REGISTRY/REPOSITORY: cosign's COSIGN_REPOSITORY. All signatures, attestations and
	// referrers are read there, and none beside the image. Evidence is found by the
	// image's digest, so one repository can hold that of many images. A layout on disk
	// is one repository, and holds its own evidence. Empty: the image's repository.
	EvidenceRepository string `json:"evidenceRepository,omitempty"`
	// Require must all be met. At least one, unless Deny.
	Require []Requirement `json:"require,omitempty"`
}

// Requirement is one condition. Exactly one field is set.
type Requirement struct {
	// Signature asks for signatures of the image.
	Signature *SignatureRequirement `json:"signature,omitempty"`
	// Attestation asks for a statement about the image.
	Attestation *AttestationRequirement `json:"attestation,omitempty"`
	// Config asks something of the image itself.
	Config *ConfigRequirement `json:"config,omitempty"`
	// AnyOf is met by one of these, AllOf by all of them. At least one.
	AnyOf []Requirement `json:"anyOf,omitempty"`
	AllOf []Requirement `json:"allOf,omitempty"`
}

// SignatureRequirement is met by image signatures of as many distinct keys of a
// role as its threshold says.
type SignatureRequirement struct {
	// By is the role. Required.
	By string `json:"by"`
	// Annotations must all stand in a signature for it to count. Empty: none.
	Annotations map[string]string `json:"annotations,omitempty"`
	// SameRepository makes a signature count only where it names the repository
	// that is asked about. Bundles name none: only simple signing payloads count
	// then. False: a signature counts wherever it was copied to.
	SameRepository bool `json:"sameRepository,omitempty"`
}

// Duration is a time.Duration that is written as in "168h" or "5m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed <= 0 {
		return fmt.Errorf("%.40q is no duration such as 168h or 5m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Signatures is the policy of one role and one rule for all images: so many of
// these keys must have signed.
type Signatures struct {
	// Keys are trusted. At least one; the same key twice is refused, under
	// whatever name.
	Keys []PublicKey
	// Threshold is how many distinct keys must have signed: 1 to len(Keys). It
	// has no default.
	Threshold int
	// Annotations and SameRepository are as in SignatureRequirement.
	Annotations    map[string]string
	SameRepository bool
	// EvidenceRepository is as in Rule.
	EvidenceRepository string
}

// Policy returns it as a Policy. A file is judged by the same keys.
func (s Signatures) Policy() *Policy {
	const role = "signers"
	p := &Policy{Version: 1, Keys: make(map[string]Key, len(s.Keys)), Roles: map[string]Role{}}
	r := Role{Threshold: s.Threshold, noDefault: true}
	for i, k := range s.Keys {
		name := fmt.Sprintf("key %d", i)
		p.Keys[name] = Key{Public: k}
		r.Keys = append(r.Keys, name)
	}
	p.Roles[role] = r
	p.Files = &SignatureRequirement{By: role, Annotations: maps.Clone(s.Annotations)}
	images := *p.Files
	images.SameRepository = s.SameRepository
	p.Rules = []Rule{{Images: []string{"**"}, EvidenceRepository: s.EvidenceRepository, Require: []Requirement{{Signature: &images}}}}
	return p
}
