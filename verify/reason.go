package verify

// Reason is a stable, machine-readable word for why an image was denied, or why
// one piece of evidence did not count.
type Reason string

// Reasons of an [Error]. What to do stands behind each.
const (
	// ReasonNoSignature: nothing that is attached claims to be a signature.
	// Sign the image, or check that its evidence was copied along with it.
	ReasonNoSignature Reason = "no-signature"
	// ReasonNoTrustedSignature: signatures were seen, none counted. The list of
	// evidence says why; often it was signed with another key.
	ReasonNoTrustedSignature Reason = "no-trusted-signature"
	// ReasonThreshold: fewer distinct trusted keys have signed than the policy
	// asks for. Have the others sign.
	ReasonThreshold Reason = "threshold-not-met"
	// ReasonTooMuchEvidence: a limit was reached before enough signatures were
	// seen. Remove what does not belong there, or raise the limit, see Error.Limit.
	ReasonTooMuchEvidence Reason = "too-much-evidence"
	// ReasonNoRule: no rule of the policy is about the repository. Add one, or
	// use an image of another repository.
	ReasonNoRule Reason = "no-rule"
	// ReasonPolicyExpired: the policy has an end, which has passed. Renew it.
	ReasonPolicyExpired Reason = "policy-expired"
	// ReasonDeniedByRule: the rule for the repository denies, for the reason that
	// it gives.
	ReasonDeniedByRule Reason = "denied-by-rule"
	// ReasonDeniedDigest: the policy denies this digest, for the reason that it
	// gives. Use another version of the image.
	ReasonDeniedDigest Reason = "denied-digest"
	// ReasonNoAttestation: nothing that is attached claims to be an attestation
	// of the type that is required. Attest the image, or check that its evidence
	// was copied along with it.
	ReasonNoAttestation Reason = "no-attestation"
	// ReasonNoTrustedAttestation: attestations of the type were seen, none was
	// signed by the role that is required. Have the role's keys attest.
	ReasonNoTrustedAttestation Reason = "no-trusted-attestation"
	// ReasonNotListed: the verified index does not list this manifest.
	ReasonNotListed Reason = "not-listed"
	// ReasonNotIndex: the verified manifest is no index, or no well-formed one.
	ReasonNotIndex Reason = "not-an-index"
	// ReasonNoPlatform: the verified index has no manifest for this platform.
	ReasonNoPlatform Reason = "no-such-platform"
	// ReasonAmbiguousPlatform: it has several different ones; name a digest.
	ReasonAmbiguousPlatform Reason = "ambiguous-platform"
)

// Reasons of a piece of [Evidence].
const (
	// ReasonCounted: it is a signature of a trusted key over this digest.
	ReasonCounted Reason = "counted"
	// ReasonRepeated: another signature of the same key has counted already.
	ReasonRepeated Reason = "repeated-key"
	// ReasonUntrustedKey: no trusted key has made it.
	ReasonUntrustedKey Reason = "untrusted-key"
	// ReasonBadSignature: it names a trusted key whose signature it is not.
	ReasonBadSignature Reason = "bad-signature"
	// ReasonWrongRole: a key of the policy has made it, in another role than the
	// requirement asks for; or somebody who stands in two that are to be separate.
	ReasonWrongRole Reason = "wrong-role"
	// ReasonRevokedKey, ReasonExpiredKey, ReasonKeyNotYetValid: the policy says
	// that the key does not count now.
	ReasonRevokedKey     Reason = "revoked-key"
	ReasonExpiredKey     Reason = "expired-key"
	ReasonKeyNotYetValid Reason = "key-not-yet-valid"
	// ReasonCertificate: it is signed with a certificate; the policy has keys.
	ReasonCertificate Reason = "signed-with-certificate"
	// ReasonWrongSubject: it is about another digest.
	ReasonWrongSubject Reason = "wrong-subject"
	// ReasonWrongRepository: it names another repository, or none, and the
	// policy binds signatures to theirs.
	ReasonWrongRepository Reason = "wrong-repository"
	// ReasonWrongType: it is no image signature: an attestation, or a format
	// that is not read.
	ReasonWrongType Reason = "wrong-type"
	// ReasonAnnotations: it lacks an annotation that the policy asks for.
	ReasonAnnotations Reason = "missing-annotation"
	// ReasonMalformed: it is not what its media type says.
	ReasonMalformed Reason = "malformed"
	// ReasonMissing: it is listed but not there.
	ReasonMissing Reason = "missing"
	// ReasonDigestMismatch: the store returned other bytes than its digest says.
	ReasonDigestMismatch Reason = "digest-mismatch"
	// ReasonTooLarge: it exceeds a limit, or the size that it was listed with. Of an
	// Error: what may be the evidence that is missing exceeds Limits.MaxPayloadBytes,
	// and was not read. Raise that, see Error.Limit.
	ReasonTooLarge Reason = "too-large"
	// ReasonUnreadable: it could not be read now.
	ReasonUnreadable Reason = "unreadable"
)
