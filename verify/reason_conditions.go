package verify

// Reasons why what a trusted key has signed, or the image itself, does not meet
// the conditions of a requirement.
const (
	// ReasonPredicate: the attestation is not what its type says, or a condition
	// cannot read what it needs of it. Have it made again.
	ReasonPredicate Reason = "malformed-predicate"
	// ReasonStale: it is older than the requirement allows, or does not say how
	// old it is. Have it made again.
	ReasonStale Reason = "stale"
	// ReasonFuture: it states a time in the future, beyond the clock skew that
	// the policy allows. Set the clocks.
	ReasonFuture Reason = "from-the-future"
	// ReasonBuilder: it was built by a builder that the requirement does not
	// name, or by one that is not trusted to reach the level. Build it with
	// another one.
	ReasonBuilder Reason = "wrong-builder"
	// ReasonSource: it was built from another repository, ref or commit, or does
	// not say from which. Build it from the right one.
	ReasonSource Reason = "wrong-source"
	// ReasonBuildType: it was built in another way than the requirement allows.
	ReasonBuildType Reason = "wrong-build-type"
	// ReasonParameters: an external parameter of the build is not what it must
	// be, or must not be there.
	ReasonParameters Reason = "wrong-parameters"
	// ReasonVulnerable: the scan has found what the requirement does not accept.
	// Mend it, or accept it in the policy, for a time.
	ReasonVulnerable Reason = "vulnerable"
	// ReasonUnreadScan: the scanner's report is in a form that is not read, so
	// that nobody knows what it found. Attest it as type vulns.
	ReasonUnreadScan Reason = "unread-scan"
	// ReasonDeniedPackage, ReasonDeniedLicense: the bill of materials has a
	// package that the requirement denies.
	ReasonDeniedPackage Reason = "denied-package"
	ReasonDeniedLicense Reason = "denied-license"
	// ReasonTests: the tests did not end as the requirement asks.
	ReasonTests Reason = "tests-failed"
	// ReasonVerifier: the verification summary is by another verifier.
	ReasonVerifier Reason = "wrong-verifier"
	// ReasonResource: the verification summary is about another resource.
	ReasonResource Reason = "wrong-resource"
	// ReasonVerificationFailed: the verification summary says FAILED, or does not
	// reach a level.
	ReasonVerificationFailed Reason = "verification-failed"
	// ReasonVerifiedPolicy: the verification summary is by another policy.
	ReasonVerifiedPolicy Reason = "wrong-verified-policy"

	// ReasonLayout: the links that are attached do not show that the image was
	// made as the in-toto layout says. The detail says which step.
	ReasonLayout Reason = "layout-not-met"

	// ReasonConfig: the image's config is missing or malformed. Push it again.
	ReasonConfig Reason = "malformed-config"
	// ReasonRoot: the image runs as root, or does not say as whom.
	ReasonRoot Reason = "runs-as-root"
	// ReasonSecret: the image's config holds what looks like a secret. Build it
	// without, and revoke the secret.
	ReasonSecret Reason = "holds-a-secret"
	// ReasonPort: the image exposes a port below 1024.
	ReasonPort Reason = "privileged-port"
	// ReasonCreated: the image was created too long ago, or does not say when.
	ReasonCreated Reason = "created-too-long-ago"
	// ReasonBaseImage: the image is built on a base that is not allowed, or does
	// not say on which.
	ReasonBaseImage Reason = "wrong-base-image"
	// ReasonPlatform: the image is for a platform that is not allowed.
	ReasonPlatform Reason = "wrong-platform"
	// ReasonLabels: a label or annotation of the image is not what it must be.
	ReasonLabels Reason = "wrong-labels"
	// ReasonVersion: the image's version is too low, or none.
	ReasonVersion Reason = "version-too-low"
)
