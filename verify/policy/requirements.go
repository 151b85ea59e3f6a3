package policy

import "time"

// AttestationRequirement is met by statements about the image that meet all
// conditions, signed by as many distinct keys of a role as its threshold says.
// Where the threshold is above one, each key may have signed a statement of its
// own. Which conditions a type has stands with each of them; a condition of
// another type is refused when the policy is loaded. A type that has none needs
// AcceptAnyContent. Test results and VSAs that say FAILED meet nothing, unless Result
// names it; bills of materials and OpenVEX documents are met by any document of their
// format where no condition is given, since they list and do not judge.
type AttestationRequirement struct {
	// Type is the predicate's type: a short name of package attest or a URI.
	// "slsaprovenance" is SLSA provenance v1 and v0.2, "intoto" an in-toto layout.
	// Required.
	Type string `json:"type"`
	// By is the role. Required.
	By string `json:"by"`
	// AcceptAnyContent lets every statement of Type count, whatever it says, where Type
	// has no conditions: a statement of such a type that says {"approved": false} meets
	// the requirement as well as one that says true. For a type that has conditions
	// (provenance, scans, bills of materials, OpenVEX, test results, VSAs, intoto) it is
	// refused. False: a requirement of a type without conditions is refused.
	AcceptAnyContent bool `json:"acceptAnyContent,omitempty"`
	// MaxAge is how old the statement may be, by the time that it states itself
	// and its signers vouch for: the end of a build or scan, timeVerified of a
	// VSA, timestamp of an OpenVEX document. The report in a scan of type vuln has
	// a time of its own, mostly, and then the earlier one counts. Zero: any age.
	MaxAge Duration `json:"maxAge,omitempty"`

	ProvenanceConditions
	ScanConditions
	DocumentConditions
	VSAConditions
	LinkConditions
}

// ProvenanceConditions are about SLSA provenance. Lists are of alternatives: one must
// be equal, byte for byte.
type ProvenanceConditions struct {
	// Builder are builder IDs. Required for provenance.
	Builder []string `json:"builder,omitempty"`
	// MinLevel is the SLSA build level that the builder must be trusted to
	// reach, by Policy.Builders. Zero: any.
	MinLevel int `json:"minLevel,omitempty"`
	// Source are URIs of the git repository that was built, with the scheme as
	// provenance has it and without a ref: git+https://git.example/team/app. What
	// is compared is what predicate.Provenance.Sources gives (of v0.2,
	// predicate.Provenance02.Sources): the configSource of a build by BuildKit and of
	// v0.2; dependencies that are annotated "buildSource": true, as package
	// provenance does; and only where there is neither, every dependency with a
	// git+ URI. Where that leaves open which repository was built, Source, Ref and
	// Commit must hold for each of them. Empty: any.
	Source []string `json:"source,omitempty"`
	// Ref are refs of the source, what stands behind the @ of its URI, such as
	// refs/heads/main. Empty: any.
	Ref []string `json:"ref,omitempty"`
	// Commit are commits of the source (its digest gitCommit, or else sha1), in
	// hex. Empty: any.
	Commit []string `json:"commit,omitempty"`
	// BuildType are compared as text: builders write URIs and other names. Empty: any.
	BuildType []string `json:"buildType,omitempty"`
	// Parameters are external parameters that must have these values. Empty:
	// none.
	Parameters map[string]any `json:"parameters,omitempty"`
	// AbsentParameters are external parameters that must not be there. Empty:
	// none.
	AbsentParameters []string `json:"absentParameters,omitempty"`
	// KnownParameters are external parameters that may be there beside those of
	// Parameters; with OnlyKnownParameters all others are refused.
	KnownParameters     []string `json:"knownParameters,omitempty"`
	OnlyKnownParameters bool     `json:"onlyKnownParameters,omitempty"`
	// BuiltAfter denies what was built before: a guard against old images that
	// were validly attested. Zero: no bound.
	BuiltAfter time.Time `json:"builtAfter,omitzero"`
}

// ScanConditions are about vulnerability scans (vuln, vulns). Findings that the
// scanner was told to leave out (.trivyignore, .grype.yaml, VEX, suppressions in
// SARIF) count like all others where the report lists them: what is to be excused
// stands in Accept, or is said by VEXBy. A report that names another image, or
// something that is not an image, is not accepted.
type ScanConditions struct {
	// MaxSeverity is the worst severity that is accepted: none, negligible, low,
	// medium, high or critical. A severity that is not known, such as a CVSS score
	// of 0, counts as critical. Empty: it must be given for scans.
	MaxSeverity string `json:"maxSeverity,omitempty"`
	// Accept are vulnerabilities that are accepted in spite of that. Empty: none.
	Accept []AcceptedVulnerability `json:"accept,omitempty"`
	// VEXBy is a role whose OpenVEX statements are believed: what its latest
	// statement calls not_affected or fixed in this image does not count. A later
	// doubt about another name of the vulnerability, as any of the role's
	// statements gives them, is a doubt; an excuse is for the names that it gives.
	// Where one of the role's documents cannot be read, nothing is excused.
	// Empty: no role's are.
	VEXBy string `json:"vexBy,omitempty"`
	// VEXMaxAge is how old a statement may be to excuse anything. A registry may
	// hide a later statement; this bounds for how long that helps. Zero: any age.
	VEXMaxAge Duration `json:"vexMaxAge,omitempty"`
}

// AcceptedVulnerability is a vulnerability that the policy accepts for a time.
type AcceptedVulnerability struct {
	// ID is that of the scanner, such as CVE-2026-1234. Required.
	ID string `json:"id"`
	// Until is when the decision ends. Required.
	Until time.Time `json:"until"`
	// Reason is why. Required.
	Reason string `json:"reason"`
}

// DocumentConditions are about bills of materials (spdx, cyclonedx) and test
// results.
type DocumentConditions struct {
	// DenyPackages are names or package URLs, without version, of packages that
	// must not be in a bill of materials. Package URLs are compared by their
	// specification: without qualifiers and subpath, escapes decoded, and without
	// regard to case for types that have none (npm, pypi, golang and others).
	// Names are compared byte for byte. A bill whose packages cannot be read is denied
	// (ReasonPredicate): a name, package URL or list of them is not of the JSON type
	// that the format gives it, or others could read a package URL in another way.
	// Empty: none.
	DenyPackages []string `json:"denyPackages,omitempty"`
	// DenyLicenses are SPDX identifiers that no package, file or service may have:
	// concluded, declared, or found as evidence; in any place of an expression,
	// whatever it grants beside them, and in any case. Deprecated names of GNU
	// licences count as what they stand for: in a bill GPL-3.0 is GPL-3.0-only, and
	// GPL-3.0+ is GPL-3.0-or-later; here GPL-3.0 denies both. The names that Debian and
	// Fedora give GNU licences count too: GPL-3+, GPLv3. A bill whose licences cannot be
	// read is denied, as with DenyPackages; so is one that has a licence where its format
	// has none. Empty: none.
	DenyLicenses []string `json:"denyLicenses,omitempty"`
	// Result are accepted results of tests: PASSED, WARNED, FAILED. Empty:
	// PASSED.
	Result []string `json:"result,omitempty"`
}

// VSAConditions are about SLSA verification summaries, which must say PASSED.
type VSAConditions struct {
	// Verifier are verifier IDs. Required for a VSA.
	Verifier []string `json:"verifier,omitempty"`
	// Resource are resource URIs that the summary must be about. Empty: one
	// that names the image's repository, as REPOSITORY, oci://REPOSITORY,
	// pkg:oci/NAME, or one of them with the digest.
	Resource []string `json:"resource,omitempty"`
	// VerifiedLevels must all be reached: SLSA_BUILD_LEVEL_2 is reached by
	// SLSA_BUILD_LEVEL_3. Empty: none.
	VerifiedLevels []string `json:"verifiedLevels,omitempty"`
	// PolicyURI and PolicyDigest ("sha256:…") are those of the policy that the
	// image was verified against. Empty: any.
	PolicyURI    string `json:"policyUri,omitempty"`
	PolicyDigest string `json:"policyDigest,omitempty"`
}

// LinkConditions are about in-toto links that travel with the image (type
// intoto).
type LinkConditions struct {
	// Layout names a file that holds the signed layout, from the directory of
	// the policy; its owners are the requirement's role. The links are those of
	// attestations of the image (package attest/steps, LinkPredicate). The signer of
	// the attestation does not matter: the functionaries that the layout names must
	// have signed the links. The image must be a product of the layout's last step. Required for
	// intoto.
	Layout string `json:"layout,omitempty"`
	// LayoutEnvelope is the layout itself, for policies in Go. Nil: see Layout.
	LayoutEnvelope []byte `json:"-"`
}

// ConfigRequirement asks something of the image itself; of an index, of every
// image that it lists.
type ConfigRequirement struct {
	// NonRoot allows images that say that they run as a number from 1 to 2^31-1, in
	// decimal, or as a name that is not root or one like it; for Windows, as
	// ContainerUser only. A group may follow. All others are denied, and those that do
	// not say as whom they run. What an image's own /etc/passwd makes of a name is not
	// looked at. False: any user.
	NonRoot bool `json:"nonRoot,omitempty"`
	// NoSecrets denies images with what looks like a secret in their
	// environment, labels, command line or history. False: not looked for.
	NoSecrets bool `json:"noSecrets,omitempty"`
	// NoPrivilegedPorts denies images that expose ports below 1024. False: any
	// ports.
	NoPrivilegedPorts bool `json:"noPrivilegedPorts,omitempty"`
	// CreatedWithin denies images whose config says that they were created
	// longer ago, or does not say. Zero: any time.
	CreatedWithin Duration `json:"createdWithin,omitempty"`
	// BaseImages are digests ("sha256:…") or patterns of repositories of base
	// images, by the manifest's annotations org.opencontainers.image.base.digest and
	// .name. Labels do not count: those of a base image are inherited. Empty: any.
	BaseImages []string `json:"baseImages,omitempty"`
	// Platforms are those that are allowed, as in linux/amd64, by the image's config;
	// an index must not list it for another one. Empty: any.
	Platforms []string `json:"platforms,omitempty"`
	// Labels and Annotations must have these values. Empty: none.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// MinVersion is the least org.opencontainers.image.version, by semantic
	// versioning: a guard against old images. Where both the manifest's annotations
	// and the labels have one, both must reach it. Empty: any.
	MinVersion string `json:"minVersion,omitempty"`
}
