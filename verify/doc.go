// Package verify decides whether an image digest, or a file, carries the
// signatures that a policy asks for, and says why.
//
// A [Verifier] is made once of a [Policy] and used from many goroutines:
//
//	v, err := verify.New(verify.Policy{Keys: keys, Threshold: 1}, verify.Options{})
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
// Evidence only ever adds permission. Whoever can write to a repository can
// attach garbage, which is ignored and recorded, or remove evidence, which
// denies; neither turns a denial into a Result.
//
// # What is verified
//
// That the digest in Result.Digest was signed, as an image signature and not as
// an attestation, by at least Threshold distinct trusted keys. For a tag: that
// the registry resolved it to this digest just now; which digest a tag should
// have is known to nobody but the registry, so deploy by the digest returned.
//
// Not verified: the image's content, which the digest pins and whoever pulls
// it checks; when the signature was made; certificates and transparency logs.
package verify
