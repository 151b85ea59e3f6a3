package policy

import "time"

// AttestationRequirement is met by statements about the image that meet all conditions,
// signed by as many distinct members of a role as its threshold says. Each member may sign
// a statement of its own. A condition that the type does not have is refused when the
// policy is loaded.
//
//   - A type without conditions of its own needs Where, CEL or AcceptAnyContent.
//   - Test results and VSAs that say FAILED meet nothing, unless Result names it.
//   - Bills of materials and OpenVEX documents list and do not judge. Without a condition,
//     any document of the format meets the requirement.
type AttestationRequirement struct {
	// Type is the predicate type: a short name (slsaprovenance, vuln, vulns, spdx,
	// cyclonedx, openvex, testresult, vsa, intoto) or an absolute URI. slsaprovenance is
	// SLSA provenance v1 and v0.2. Required.
	Type string `json:"type"`
	// By is the name of the role. Required.
	By string `json:"by"`
	// Where are conditions on members of the predicate. All must hold. Every type
	// but intoto may have them. Empty: none.
	Where []MemberCondition `json:"where,omitempty"`
	// CEL are expressions of the Common Expression Language, such as predicate.coverage >= 80.
	// All must be true. They read predicate, claims, signer, signedAt,
	// signedAfter, image and now; see ExpressionVariables. One that cannot be evaluated
	// denies. Every type but intoto may have them. A decision about one that reads now is
	// used for at most a minute. The program must link package verify/policy/cel. Empty:
	// none.
	CEL []string `json:"cel,omitempty"`
	// AcceptAnyContent counts every statement of a type without conditions, whatever it
	// says: one that says {"approved": false} as well as one that says true. Refused with
	// Where and CEL, and for types with conditions. False: a type without conditions is refused.
	AcceptAnyContent bool `json:"acceptAnyContent,omitempty"`
	// MaxAge is the greatest age of the statement, by the time in it: the end of a build or
	// scan, timeVerified of a VSA, timestamp of an OpenVEX document. For type vuln, the
	// earlier time of scan and report counts. Only for provenance, scans, VSAs and OpenVEX,
	// unless MaxAgeFrom is set.
	// Zero: any age.
	MaxAge Duration `json:"maxAge,omitempty"`
	// MaxAgeFrom is what MaxAge counts from, for any type but intoto. "signature" is the
	// time of the signature, as in SignatureRequirement.MaxAge, whatever the statement says.
	// Refused without MaxAge. Empty: the time in the statement.
	MaxAgeFrom AgeFrom `json:"maxAgeFrom,omitempty"`

	ProvenanceConditions
	ScanConditions
	DocumentConditions
	VSAConditions
	LinkConditions
}

// ProvenanceConditions are conditions of SLSA provenance. A list has alternatives: the
// provenance must have one of them, byte for byte.
//
// Builder, Source and Ref may hold patterns of whole segments between slashes:
//
//   - * is one whole segment, ** any number of them, at the end at least one.
//   - Scheme, host and the first segment of a URI stand without wildcards, and so do refs/
//     and the segment after it. What follows may belong to anyone.
//   - A wildcard stands for no empty segment of a source or ref, no way up, no escaped
//     slash, query, fragment or @.
//
// A text that no builder writes is refused, with what was probably meant.
type ProvenanceConditions struct {
	// Builder are builder IDs, or patterns of them. An @ divides the ID of a workflow from its
	// ref: https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*. Required for
	// provenance.
	Builder []string `json:"builder,omitempty"`
	// MinLevel is the SLSA build level that the builder must be trusted to reach, by
	// Policy.Builders. Zero: any level.
	MinLevel int `json:"minLevel,omitempty"`
	// Source are URIs of the git repository that was built, with the scheme of the
	// provenance and without a ref, such as git+https://git.example/team/app. Patterns are
	// such as git+https://git.example/team/*. Compared are the sources that
	// predicate.Provenance.Sources finds:
	//   - the configSource of BuildKit and of provenance v0.2;
	//   - otherwise dependencies with the annotation buildSource: true;
	//   - otherwise every dependency with a git+ URI.
	// If several repositories may have been built, Source, Ref and Commit must hold for
	// each. Empty: any source.
	Source []string `json:"source,omitempty"`
	// Ref are full refs of the source, the part of its URI after the @, such as
	// refs/heads/main, or patterns, such as refs/tags/*. BuildKit records the fragment of its
	// context as it was given, so give it a full ref. Empty: any ref.
	Ref []string `json:"ref,omitempty"`
	// Commit are commits of the source in hex: its digest gitCommit, or else sha1, or else
	// sha256 of 40 digits, as GitLab's runner writes it. Empty: any commit.
	Commit []string `json:"commit,omitempty"`
	// BuildType are build types, compared as text: builders write URIs and other names.
	// Empty: any build type.
	BuildType []string `json:"buildType,omitempty"`
	// Parameters are external parameters that must have these values. Empty: none.
	Parameters map[string]any `json:"parameters,omitempty"`
	// AbsentParameters are external parameters that must be absent, in any case of their
	// names. Empty: none.
	AbsentParameters []string `json:"absentParameters,omitempty"`
	// KnownParameters are external parameters that OnlyKnownParameters allows besides those
	// of Parameters. Refused without OnlyKnownParameters. Empty: none.
	KnownParameters []string `json:"knownParameters,omitempty"`
	// OnlyKnownParameters denies external parameters that neither Parameters nor
	// KnownParameters names. False: others are allowed.
	OnlyKnownParameters bool `json:"onlyKnownParameters,omitempty"`
	// BuiltAfter denies builds before this time: a guard against old images that were
	// validly attested. Zero: no bound.
	BuiltAfter time.Time `json:"builtAfter,omitzero"`
	// BoundToCertificate demands Builder, Source, Ref and Commit, as far as they are set, of
	// the signer's certificate as well: what the identity provider of the build has vouched
	// for, not only what the build wrote. What both say must be the same. Compared are the
	// claims buildSigner (or uri), sourceRepository, sourceRef and sourceDigest; a git+ before
	// a source does not count. A signature by a key does not count. Refused for roles with
	// fewer identities than the threshold. False: the provenance is believed.
	BoundToCertificate bool `json:"boundToCertificate,omitempty"`
}

// AgeFrom is what an age counts from.
type AgeFrom string

// AgeFromSignature counts from when the signature existed.
const AgeFromSignature AgeFrom = "signature"

// ScanConditions are conditions of vulnerability scans (vuln, vulns).
//
//   - Findings that the scanner suppressed count if the report lists them (.trivyignore,
//     .grype.yaml, VEX, suppressions in SARIF). Accept and VEXBy are the exceptions.
//   - A report that names another image, or something that is not an image, does not count.
type ScanConditions struct {
	// MaxSeverity is the worst accepted severity: none, negligible, low, medium, high or
	// critical. An unknown severity, such as a CVSS score of 0, counts as critical.
	// Required for scans.
	MaxSeverity string `json:"maxSeverity,omitempty"`
	// Accept are vulnerabilities that are accepted whatever their severity. Empty: none.
	Accept []AcceptedVulnerability `json:"accept,omitempty"`
	// VEXBy is a role whose OpenVEX statements are trusted. A vulnerability does not count
	// if the role's latest statement calls it not_affected or fixed in this image. A later
	// doubt under any other name of the vulnerability counts. If one of the role's
	// documents cannot be read, none is used. Empty: no role.
	VEXBy string `json:"vexBy,omitempty"`
	// VEXMaxAge is the greatest age of an OpenVEX statement that excuses. A registry may
	// hide a later statement; this bounds for how long that helps. Refused without VEXBy.
	// Zero: any age.
	VEXMaxAge Duration `json:"vexMaxAge,omitempty"`
}

// AcceptedVulnerability is a vulnerability that the policy accepts for a time.
type AcceptedVulnerability struct {
	// ID is the scanner's, such as CVE-2026-1234. Required.
	ID string `json:"id"`
	// Until is when the exception ends. Required.
	Until time.Time `json:"until"`
	// Reason is why it is accepted. Required.
	Reason string `json:"reason"`
}

// DocumentConditions are conditions of bills of materials (spdx, cyclonedx) and of test
// results.
type DocumentConditions struct {
	// DenyPackages are names or package URLs, without version, that a bill of materials
	// must not list. Names are compared byte for byte. Package URLs are compared by their
	// specification: without qualifiers and subpath, escapes decoded, without case for
	// types such as npm, pypi and golang. Denied too: a bill whose packages cannot be
	// read, that lists nothing, or that refers to another bill. Empty: none.
	DenyPackages []string `json:"denyPackages,omitempty"`
	// DenyLicenses are SPDX identifiers that no package, file or service may have,
	// concluded, declared or found, in any case and any place of an expression. Old names
	// of GNU licences count as what they stand for: in a bill, GPL-3.0 is GPL-3.0-only and
	// GPL-3.0+ is GPL-3.0-or-later; in the policy, GPL-3.0 is both. Names of Debian and
	// Fedora count too: GPL-3+, GPLv3. Denied too: a bill whose licences cannot be read,
	// that lists nothing, or that refers to another bill. Empty: none.
	DenyLicenses []string `json:"denyLicenses,omitempty"`
	// Result are accepted results of tests: PASSED, WARNED, FAILED. Empty: PASSED.
	Result []string `json:"result,omitempty"`
}

// VSAConditions are conditions of SLSA verification summaries, which must say PASSED.
type VSAConditions struct {
	// Verifier are verifier IDs. Required for a VSA.
	Verifier []string `json:"verifier,omitempty"`
	// Resource are resource URIs that the summary must be about. Empty: one that names the
	// image's repository, as REPOSITORY, oci://REPOSITORY or pkg:oci/NAME, with or without
	// the digest.
	Resource []string `json:"resource,omitempty"`
	// VerifiedLevels must all be reached. SLSA_BUILD_LEVEL_3 reaches SLSA_BUILD_LEVEL_2.
	// Empty: none.
	VerifiedLevels []string `json:"verifiedLevels,omitempty"`
	// PolicyURI is the URI of the policy that the image was verified against. Empty: any
	// policy.
	PolicyURI string `json:"policyUri,omitempty"`
	// PolicyDigest is the digest of that policy, sha256: and 64 hex digits. Empty: any
	// policy.
	PolicyDigest string `json:"policyDigest,omitempty"`
}

// LinkConditions are conditions of in-toto links that are attached to the image (intoto).
type LinkConditions struct {
	// Layout is the file of a signed in-toto layout, in the directory of the policy or
	// below. The requirement's role owns the layout. The links are those attached to the
	// image; the functionaries of the layout must have signed them, and the image must be a
	// product of the last step. Required for intoto.
	Layout string `json:"layout,omitempty"`
	// LayoutEnvelope is the layout itself, for policies in Go. Nil: Layout is set.
	LayoutEnvelope []byte `json:"-"`
}

// ConfigRequirement requires properties of the image itself; of an index, of each image
// that it lists. At least one condition is set.
type ConfigRequirement struct {
	// NonRoot denies images that do not name a user other than root. Allowed: a decimal
	// number from 1 to 2^31-1, a name that does not look like root, and on Windows
	// ContainerUser. A group may follow. The image's /etc/passwd is not read. False: any
	// user.
	NonRoot bool `json:"nonRoot,omitempty"`
	// NoSecrets denies images with text like a secret in environment, labels, command line
	// or history. False: not checked.
	NoSecrets bool `json:"noSecrets,omitempty"`
	// NoPrivilegedPorts denies images that expose ports below 1024. False: any ports.
	NoPrivilegedPorts bool `json:"noPrivilegedPorts,omitempty"`
	// CreatedWithin denies images whose config names an earlier creation, or none. Zero:
	// any time.
	CreatedWithin Duration `json:"createdWithin,omitempty"`
	// BaseImages are digests or patterns of repositories of the base image. They are
	// compared with the manifest's annotations org.opencontainers.image.base.digest and
	// .name. Labels do not count, because images inherit them. Empty: any base image.
	BaseImages []string `json:"baseImages,omitempty"`
	// Platforms are allowed platforms, such as linux/amd64, by the image's config. An index
	// must not list the image for another one. Empty: any platform.
	Platforms []string `json:"platforms,omitempty"`
	// Labels are labels that the config must have, with these values. Empty: none.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are annotations that the manifest must have, with these values. Empty:
	// none.
	Annotations map[string]string `json:"annotations,omitempty"`
	// MinVersion is the least org.opencontainers.image.version, by semantic versioning: a
	// guard against old images. It is read from the manifest's annotations and the labels;
	// if both have one, both must reach it. Empty: any version.
	MinVersion string `json:"minVersion,omitempty"`
	// CEL are expressions of the Common Expression Language, such as
	// config.architecture == "arm64". All must be true. They read config, annotations, image and now; see
	// ExpressionVariables. What holds for those of AttestationRequirement holds for these. Empty: none.
	CEL []string `json:"cel,omitempty"`
}
