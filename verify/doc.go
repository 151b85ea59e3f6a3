// Package verify decides whether an image digest, or a file, carries the
// signatures that a policy asks for, and says why.
//
// A [Verifier] is made once of a [policy.Policy] and used from many goroutines:
//
//	p, err := policy.Load("policy.yaml", policy.ParseOptions{})
//	v, err := verify.New(p, verify.Options{})
//	res, err := v.Image(ctx, client, ref)
//	// run res.Digest, never ref
//
// # Decisions
//
// A verify method returns a [Result] or an error, never both. [*Error] means
// that a judgement was reached and is negative; it lists every piece of evidence
// that was looked at and why it did not count. Any other error means that no
// judgement was reached: [*UndecidedError] where evidence could not be read, the
// context's error, a wrong reference. Only a Result allows anything.
//
// A [Report] is a decision as JSON: what a Result, an *Error or an *UndecidedError
// marshals to, what commands print, and what the audit log of package gate consists of.
// [ResultSchema] is its JSON Schema.
//
// Evidence only ever adds permission. Whoever can write to a repository can
// attach garbage, which is ignored and recorded, or remove evidence, which
// denies; neither turns a denial into a Result.
//
// # What is verified
//
// That the digest in Result.Digest meets what the rule for its repository
// requires: Result.Requirements says by whose word. For a tag: that
// the registry resolved it to this digest just now; which digest a tag should
// have is known to nobody but the registry, so deploy by the digest returned.
//
// Not verified: the image's content, which the digest pins and whoever pulls
// it checks; when a signature was made; certificates and transparency logs, unless
// an [policy.Authority] is linked that does; and what a statement says beyond the conditions of the requirement: its signer
// vouches for that.
//
// An allowed index vouches for what it lists, except for what the policy denies by
// digest: Result.DeniedChildren. An index whose images are all denied is denied.
// What runs is one image: judge that with [Verifier.Platform] or [Verifier.Child].
//
// # Conditions
//
// A condition that denies something denies also what it cannot read: a member that it
// needs must have the JSON type that its format gives it. A member that is null counts
// as missing in predicates and scans. Members that no condition of a
// requirement reads may be of any form. A predicate type that has no conditions would
// be met by whatever its statements say; a requirement of one is refused unless it
// says acceptAnyContent.
//
// # Time
//
// Nothing tells when a signature was made, so that keys count as the policy says
// for the time of the judgement, and one that is revoked does not. What a
// [policy.TimeAuthority] vouches for can be an exception to the last, where the policy
// asks for it. Times in statements are those that their signers
// state; they count only in statements that the requirement's role has signed.
package verify
