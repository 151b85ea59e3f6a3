package verify

// Reason is a stable, machine-readable word: why an image was denied, or why a piece of
// evidence did not count.
type Reason string

// Reasons of an [Error]. Each comment ends with what to do.
const (
	// ReasonNoSignature: nothing that is attached claims to be a signature. Sign the image,
	// or copy its evidence along with it.
	ReasonNoSignature Reason = "no-signature"
	// ReasonNoTrustedSignature: signatures are attached, none counts. Error.Evidence says
	// why; often another key made them.
	ReasonNoTrustedSignature Reason = "no-trusted-signature"
	// ReasonThreshold: fewer distinct trusted keys signed than the policy requires. Let the
	// other keys sign.
	ReasonThreshold Reason = "threshold-not-met"
	// ReasonTooMuchEvidence: a limit was reached before enough evidence counted. Remove
	// evidence that does not belong to the image, or raise the limit, see Error.Limit.
	ReasonTooMuchEvidence Reason = "too-much-evidence"
	// ReasonNoRule: no rule of the policy matches the repository. Add a rule, or use
	// another repository.
	ReasonNoRule Reason = "no-rule"
	// ReasonPolicyExpired: the policy's expires has passed. Renew the policy.
	ReasonPolicyExpired Reason = "policy-expired"
	// ReasonPolicyRefused: the newest policy was refused, and a gate is set to deny everything
	// then. Mend the policy; the gate's log says what is wrong.
	ReasonPolicyRefused Reason = "policy-refused"
	// ReasonDeniedByRule: the rule for the repository denies. Error.Detail has its reason.
	ReasonDeniedByRule Reason = "denied-by-rule"
	// ReasonDeniedDigest: the policy denies this digest. Use another version of the image.
	ReasonDeniedDigest Reason = "denied-digest"
	// ReasonNoAttestation: nothing that is attached claims to be an attestation of the
	// required type. Attest the image, or copy its evidence along with it.
	ReasonNoAttestation Reason = "no-attestation"
	// ReasonNoTrustedAttestation: attestations of the type are attached, none is signed by
	// the required role. Let the role's keys attest.
	ReasonNoTrustedAttestation Reason = "no-trusted-attestation"
	// ReasonNotListed: the verified index does not list this manifest.
	ReasonNotListed Reason = "not-listed"
	// ReasonNotExempt: an exemption lets the index pass, and none lists this manifest. Meet
	// the requirement, or list the manifest's digest in the exemption, too.
	ReasonNotExempt Reason = "not-exempt"
	// ReasonNotIndex: the verified manifest is not a well-formed index.
	ReasonNotIndex Reason = "not-an-index"
	// ReasonNoPlatform: the verified index lists no manifest for this platform.
	ReasonNoPlatform Reason = "no-such-platform"
	// ReasonAmbiguousPlatform: the index lists several different manifests for this
	// platform. Name a digest.
	ReasonAmbiguousPlatform Reason = "ambiguous-platform"
)

// Reasons of a piece of [Evidence].
const (
	// ReasonCounted: a trusted key signed this digest.
	ReasonCounted Reason = "counted"
	// ReasonRepeated: another signature of the same key or principal has counted.
	ReasonRepeated Reason = "repeated-key"
	// ReasonUntrustedKey: no trusted key made its signature.
	ReasonUntrustedKey Reason = "untrusted-key"
	// ReasonBadSignature: it names a trusted key that did not make its signature.
	ReasonBadSignature Reason = "bad-signature"
	// ReasonWrongRole: its signer is not in the requirement's role, or stands in two roles
	// that must be separate.
	ReasonWrongRole Reason = "wrong-role"
	// ReasonRevokedKey, ReasonExpiredKey, ReasonKeyNotYetValid: by the policy, the key does
	// not count at this time.
	ReasonRevokedKey     Reason = "revoked-key"
	ReasonExpiredKey     Reason = "expired-key"
	ReasonKeyNotYetValid Reason = "key-not-yet-valid"
	// ReasonNotLogged: the policy wants signatures of its key to be logged or timestamped, and
	// no authority of Policy.Timestamps knows this one. Sign with a log or a timestamp.
	ReasonNotLogged Reason = "not-logged"
	// ReasonCertificate: it is signed with a certificate that no identity of the policy
	// recognises.
	ReasonCertificate Reason = "signed-with-certificate"
	// ReasonWrongSubject: it is about another digest.
	ReasonWrongSubject Reason = "wrong-subject"
	// ReasonWrongRepository: it names another repository, or none, and the policy requires
	// sameRepository.
	ReasonWrongRepository Reason = "wrong-repository"
	// ReasonWrongType: no requirement asks for its type, or its format is not read.
	ReasonWrongType Reason = "wrong-type"
	// ReasonAnnotations: it lacks an annotation that the policy requires.
	ReasonAnnotations Reason = "missing-annotation"
	// ReasonMalformed: it is not what its media type says.
	ReasonMalformed Reason = "malformed"
	// ReasonMissing: it is listed, and the registry does not have it.
	ReasonMissing Reason = "missing"
	// ReasonDigestMismatch: the registry returned bytes of another digest.
	ReasonDigestMismatch Reason = "digest-mismatch"
	// ReasonTooLarge: it exceeds a limit, or the size that it was listed with. Of an
	// Error: what may be the evidence that is missing exceeds Limits.MaxPayloadBytes,
	// and was not read. Raise that, see Error.Limit.
	ReasonTooLarge Reason = "too-large"
	// ReasonUnreadable: it could not be read at this time.
	ReasonUnreadable Reason = "unreadable"
)
