package verify

// Reasons why an attestation by a trusted signer, or the image itself, does not meet the
// conditions of a requirement.
const (
	// ReasonPredicate: a condition cannot read a member of the predicate that it needs,
	// or the predicate is not strict JSON, or is of another type. The detail names the
	// member. Have the attestation made again. Members that no condition needs are not
	// looked at.
	ReasonPredicate Reason = "malformed-predicate"
	// ReasonStale: the attestation is older than the requirement allows, or states no
	// time. Have it made again.
	ReasonStale Reason = "stale"
	// ReasonFuture: it states a time in the future, beyond the clock skew that the policy
	// allows. Set the clocks.
	ReasonFuture Reason = "from-the-future"
	// ReasonBuilder: the requirement does not name the builder, or the builder is not
	// trusted to reach the level. Build the image with another one.
	ReasonBuilder Reason = "wrong-builder"
	// ReasonSource: the image was built from another repository, ref or commit, or the
	// provenance does not say from which. Build it from the right one.
	ReasonSource Reason = "wrong-source"
	// ReasonNotBound: the requirement is boundToCertificate, and the signer has no
	// certificate, or one that does not say what is to be compared. Let the build sign with
	// the certificate of its identity.
	ReasonNotBound Reason = "not-bound-to-certificate"
	// ReasonBuildType: the requirement does not name the build type.
	ReasonBuildType Reason = "wrong-build-type"
	// ReasonParameters: an external parameter of the build has another value than the
	// requirement wants, or is one that it does not want.
	ReasonParameters Reason = "wrong-parameters"
	// ReasonMember: a member of the predicate has another value than the requirement wants,
	// is missing, or is there and must not be. The detail names it.
	ReasonMember Reason = "wrong-member"
	// ReasonExpression: an expression of the requirement is false, or cannot be evaluated.
	// The detail says which, and why.
	ReasonExpression Reason = "expression-not-met"
	// ReasonVulnerable: the scan has found vulnerabilities that the requirement does not
	// accept. Mend them, or accept them in the policy for a time.
	ReasonVulnerable Reason = "vulnerable"
	// ReasonUnreadScan: the scanner's report cannot be read, so its findings are not
	// known. Attest the scan as type vulns.
	ReasonUnreadScan Reason = "unread-scan"
	// ReasonDeniedPackage, ReasonDeniedLicense: the bill of materials lists a package or
	// licence that the requirement denies.
	ReasonDeniedPackage Reason = "denied-package"
	ReasonDeniedLicense Reason = "denied-license"
	// ReasonTests: the tests did not end as the requirement asks.
	ReasonTests Reason = "tests-failed"
	// ReasonVerifier: the verification summary is by another verifier.
	ReasonVerifier Reason = "wrong-verifier"
	// ReasonResource: the verification summary is about another resource.
	ReasonResource Reason = "wrong-resource"
	// ReasonVerificationFailed: the verification summary says FAILED, or does not reach a
	// level.
	ReasonVerificationFailed Reason = "verification-failed"
	// ReasonVerifiedPolicy: the verification summary is by another policy.
	ReasonVerifiedPolicy Reason = "wrong-verified-policy"

	// ReasonLayout: the links that are attached do not complete the in-toto layout. The
	// detail names the step.
	ReasonLayout Reason = "layout-not-met"

	// ReasonConfig: the image's config is missing or malformed. Push it again.
	ReasonConfig Reason = "malformed-config"
	// ReasonRoot: the image runs as root, or names no user.
	ReasonRoot Reason = "runs-as-root"
	// ReasonSecret: the image's config holds a text that looks like a secret. Build the
	// image without it, and revoke the secret.
	ReasonSecret Reason = "holds-a-secret"
	// ReasonPort: the image exposes a port below 1024.
	ReasonPort Reason = "privileged-port"
	// ReasonCreated: the image was created too long ago, or states no time.
	ReasonCreated Reason = "created-too-long-ago"
	// ReasonBaseImage: the image names a base image that is not allowed, or none.
	ReasonBaseImage Reason = "wrong-base-image"
	// ReasonPlatform: the image is for a platform that is not allowed.
	ReasonPlatform Reason = "wrong-platform"
	// ReasonLabels: a label or annotation of the image has another value than the
	// requirement wants.
	ReasonLabels Reason = "wrong-labels"
	// ReasonVersion: the image's version is too low, or missing.
	ReasonVersion Reason = "version-too-low"
)
