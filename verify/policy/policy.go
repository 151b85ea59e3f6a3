package policy

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// ErrInvalid is wrapped by the error of every policy that is refused. For a policy from a
// file, the error names line and column.
var ErrInvalid = errors.New("unusable policy")

// Policy says what images, and files, need before they may be used.
//
// Parse and Load read one; Go code can fill one in. Check refuses the zero Policy. In a file,
// a field has the name in its tag.
type Policy struct {
	// Version is the version of the policy's form, 1. Required.
	Version int `json:"version"`
	// Serial counts the versions of a policy. A FileSource refuses a serial lower than the
	// last one it used. Zero: versions are not compared.
	Serial int64 `json:"serial,omitempty"`
	// Expires is when the policy ends to allow anything. Zero: never.
	Expires time.Time `json:"expires,omitzero"`
	// Keys are the trusted public keys, by name. The same key under two names is refused.
	// Empty: refused, unless the policy has Identities or every rule denies.
	Keys map[string]Key `json:"keys,omitempty"`
	// Roles are groups of keys and identities, by name. A role says how many of them must
	// sign. Empty: refused, unless every rule denies.
	Roles map[string]Role `json:"roles,omitempty"`
	// Identities describe signers with certificates, by name. A name of a key is refused,
	// and so is an authority that the program does not link. Empty: none.
	Identities map[string]Identity `json:"identities,omitempty"`
	// Timestamps are authorities trusted to say when a signature existed, by name; see
	// Key.StandsBefore and Key.Logged. Empty: none.
	Timestamps map[string]Timestamps `json:"timestamps,omitempty"`
	// Builders are the SLSA build levels, 1 to 4, that builder IDs are trusted to reach.
	// Empty: no builder is trusted to reach a level.
	Builders map[string]int `json:"builders,omitempty"`
	// DenyDigests are digests that are denied whatever a rule says. A file is denied by its
	// SHA-256. An index is denied if all its images are. If only some are, the index is
	// allowed, and Result.DeniedChildren names them. An index is read for each decision; if
	// it cannot be read, no decision is reached. Empty: none.
	DenyDigests []DeniedDigest `json:"denyDigests,omitempty"`
	// ClockSkew is how far clocks may differ, at most 24h. A time this far in the future
	// counts as now. Zero: 5m.
	ClockSkew Duration `json:"clockSkew,omitempty"`
	// Limits bound the evidence that is read for one image. Absent: the defaults of
	// registry.Limits.
	Limits *Limits `json:"limits,omitempty"`
	// Files are requirements of files, which must all be met (Verifier.Blob): signatures
	// and attestations. Config, type intoto, SameRepository, and a VSA without Resource are
	// refused: a file has no config and no repository. Absent: every file is denied.
	Files []Requirement `json:"files,omitempty"`
	// Requirements are requirements by name, which rules share with Requirement.Use.
	// Empty: none.
	Requirements map[string]Requirement `json:"requirements,omitempty"`
	// Teams are files by which teams say more about their images, by the names of the teams.
	// All files are read as one: if one is refused, the policy is. Empty: none.
	Teams map[string]Team `json:"teams,omitempty"`
	// Exemptions excuse single requirements for single digests until a time. Empty: none.
	Exemptions []Exemption `json:"exemptions,omitempty"`
	// Rules say what images need. The rule with the most specific pattern decides. An image
	// without a rule is denied. If all rules deny, the policy is a freeze: it needs neither
	// keys nor roles, and must not have Files. Required, at least one.
	Rules []Rule `json:"rules"`

	// teamRules and teamExemptions are where the last of Rules and Exemptions stand, once the
	// policy is joined with its teams.
	teamRules, teamExemptions []inTeam
}

// Key is a public key and the time in which it counts. Exactly one of PEM and File is set.
//
// Go code may set Public instead.
type Key struct {
	// PEM is the text of the key, as PKIX or PKCS#1. Empty: File is set.
	PEM string `json:"pem,omitempty"`
	// File is the file of the key, in the directory of the policy or below. Empty: PEM is
	// set.
	File string `json:"file,omitempty"`
	// NotBefore is when the key begins to count. A key is judged at verification time,
	// because a signature carries no trusted time. Zero: no bound.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// NotAfter is when the key ends to count, at verification time. Zero: no bound.
	NotAfter time.Time `json:"notAfter,omitzero"`
	// Revoked is when the key was revoked. A revoked key does not count, not even before
	// this time: an attacker who has the key can write any time. Zero: not revoked.
	Revoked time.Time `json:"revoked,omitzero"`
	// StandsBefore keeps signatures of images valid that one of Timestamps shows to have
	// existed before Revoked. Set Revoked to when an attacker can first have had the key.
	// Signatures of files are never kept valid. False: no signature is kept valid.
	StandsBefore bool `json:"standsBefore,omitempty"`
	// Logged counts only signatures that one of Timestamps knows: by a trusted time, or by
	// a verified entry of a transparency log. A thief of the key cannot sign unseen, and
	// its owner cannot backdate. False: a signature needs neither.
	Logged bool `json:"logged,omitempty"`

	// Public is the key itself, for policies in Go. Zero: PEM or File is set.
	Public PublicKey `json:"-"`
}

// Identity describes signers that an authority recognises by their certificates.
type Identity struct {
	// Authority is the name of an authority that the program links
	// (ParseOptions.Authorities). Required.
	Authority string `json:"authority"`
	// Settings describe the signers in the authority's terms. A setting that names a file
	// is read as Key.File is; see FileAuthority. Empty: none.
	Settings map[string]any `json:"settings,omitempty"`
	// NotAfter is when the identity ends to count, at verification time, for all that it
	// has signed; see StandsBefore. Zero: no bound.
	NotAfter time.Time `json:"notAfter,omitzero"`
	// Revoked is when the identity was revoked. A revoked identity does not count, not even
	// for what it has signed before; see StandsBefore. Zero: not revoked.
	Revoked time.Time `json:"revoked,omitzero"`
	// StandsBefore keeps signatures valid that existed before NotAfter and Revoked, by the
	// time that the authority knows. Set Revoked to when an attacker can first have acted as
	// the identity. Refused without NotAfter and Revoked. False: none is kept valid.
	StandsBefore bool `json:"standsBefore,omitempty"`
}

// File is a file that a setting names, once it was read: the value that a FileAuthority
// finds in place of the name.
type File struct {
	// Name is the name that stands in the policy. Empty: a program has given the text.
	Name string
	// Text is what the file holds.
	Text []byte
}

// Timestamps is an authority trusted to say when a signature existed.
type Timestamps struct {
	// Authority is the name of a time authority that the program links
	// (ParseOptions.Authorities). Required.
	Authority string `json:"authority"`
	// Settings describe the clocks in the authority's terms, as those of an Identity.
	// Empty: none.
	Settings map[string]any `json:"settings,omitempty"`
}

// Role is a group of keys and identities. It needs at least one of either.
type Role struct {
	// Keys are names of the policy's keys. Empty: none.
	Keys []string `json:"keys,omitempty"`
	// Identities are names of the policy's identities. Empty: none.
	Identities []string `json:"identities,omitempty"`
	// Threshold is how many distinct members must sign the same thing. Zero: 1 for a role
	// with one member; refused for others.
	Threshold int `json:"threshold,omitempty"`

	// noDefault: a zero Threshold is refused.
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

// DeniedDigest is a digest that must not be used.
type DeniedDigest struct {
	// Digest is that of a manifest, an index or a file: sha256: and 64 lower-case hex
	// digits. Required.
	Digest string `json:"digest"`
	// Reason is shown in each denial. Required.
	Reason string `json:"reason"`
}

// Mode is how a rule is applied.
type Mode string

// Modes. The zero Mode is ModeEnforce.
const (
	// ModeEnforce denies what does not meet the rule.
	ModeEnforce Mode = "enforce"
	// ModeWarn judges and allows. Result.Warning is the denial that enforce would have
	// returned.
	ModeWarn Mode = "warn"
)

// Rule says what the images of some repositories need.
type Rule struct {
	// Images are patterns of repositories: a registry's host and path segments. * is one
	// segment, ** any number of segments; see the package documentation. Required, at least
	// one.
	Images []string `json:"images"`
	// Deny denies the images, for Reason. False: Require decides.
	Deny bool `json:"deny,omitempty"`
	// Reason is shown in each denial of a rule that denies. Required with Deny, refused
	// without.
	Reason string `json:"reason,omitempty"`
	// Mode is how Require is applied: enforce denies, warn allows and reports. Empty:
	// enforce.
	Mode Mode `json:"mode,omitempty"`
	// SeparateDuties keeps the roles that Require names apart, VEXBy included. A key in two
	// of them is refused when the policy is loaded. A principal that identities recognise
	// in two of them counts in neither, by any certificate. Such evidence counts only after
	// all evidence was read, and not if some could not be read. False: one key may act in
	// two roles.
	SeparateDuties bool `json:"separateDuties,omitempty"`
	// EvidenceRepository is the repository that holds the evidence about the images, as
	// REGISTRY/REPOSITORY: cosign's COSIGN_REPOSITORY. All signatures, attestations and
	// referrers are read there, and none beside the image. Evidence is found by the
	// image's digest, so one repository can hold that of many images. A layout on disk
	// is one repository, and holds its own evidence. Empty: the image's repository.
	EvidenceRepository string `json:"evidenceRepository,omitempty"`
	// Require are requirements that must all be met. Required without Deny, refused with
	// it.
	Require []Requirement `json:"require,omitempty"`
}

// Requirement is one requirement. Exactly one field is set.
type Requirement struct {
	// Signature requires signatures of the image. Absent: another field is set.
	Signature *SignatureRequirement `json:"signature,omitempty"`
	// Attestation requires a statement about the image. Absent: another field is set.
	Attestation *AttestationRequirement `json:"attestation,omitempty"`
	// Config requires properties of the image itself. Absent: another field is set.
	Config *ConfigRequirement `json:"config,omitempty"`
	// AnyOf requires one of these requirements. Absent: another field is set.
	AnyOf []Requirement `json:"anyOf,omitempty"`
	// AllOf requires all of these requirements. Absent: another field is set.
	AllOf []Requirement `json:"allOf,omitempty"`
	// Use is the name of one of Policy.Requirements, which is required. Empty: another
	// field is set.
	Use string `json:"use,omitempty"`
}

// SignatureRequirement is met by image signatures of as many distinct members of a role as
// its threshold says.
type SignatureRequirement struct {
	// By is the name of the role. Required.
	By string `json:"by"`
	// Annotations are annotations that a signature must have signed, with these values.
	// Empty: none.
	Annotations map[string]string `json:"annotations,omitempty"`
	// MaxAge is the greatest age of the signature, by what the authority of its signer's
	// identity knows (Recognized.SignedAfter). A signature by a key has no such time, and
	// does not count. Refused for roles with fewer identities than the threshold. Zero: any
	// age.
	MaxAge Duration `json:"maxAge,omitempty"`
	// SameRepository counts only signatures that name the image's repository. Bundles name
	// none: only simple signing payloads count. False: a signature counts in each
	// repository that it was copied to.
	SameRepository bool `json:"sameRepository,omitempty"`
}

// Duration is a time.Duration that is written as 168h or 5m.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed <= 0 {
		return fmt.Errorf("%.40q is not a duration such as 168h or 5m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Signatures is a policy of one role and one rule for all images: Threshold of the Keys
// must have signed.
type Signatures struct {
	// Keys are trusted. The same key twice is refused, under any name. At least one.
	Keys []PublicKey
	// Threshold is how many distinct keys must have signed: 1 to len(Keys). It has no
	// default.
	Threshold int
	// Annotations and SameRepository are as in SignatureRequirement.
	Annotations    map[string]string
	SameRepository bool
	// EvidenceRepository is as in Rule.
	EvidenceRepository string
}

// Policy returns s as a Policy. Files are judged by the same keys.
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
	p.Files = []Requirement{{Signature: &SignatureRequirement{By: role, Annotations: maps.Clone(s.Annotations)}}}
	images := SignatureRequirement{By: role, Annotations: maps.Clone(s.Annotations), SameRepository: s.SameRepository}
	p.Rules = []Rule{{Images: []string{"**"}, EvidenceRepository: s.EvidenceRepository, Require: []Requirement{{Signature: &images}}}}
	return p
}
