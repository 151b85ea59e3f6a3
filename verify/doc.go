// Package verify decides whether an image digest, or a file, carries the signatures
// and attestations that a policy requires, and says why.
//
// A [Verifier] is made once from a [policy.Policy] and is safe for concurrent use:
//
//	p, err := policy.Load("policy.yaml", policy.ParseOptions{})
//	v, err := verify.New(p, verify.Options{})
//	res, err := v.Image(ctx, client, ref)
//	// run res.Digest, never ref
//
// # Decisions
//
// A verify method returns a [Result] or an error, never both:
//
//   - A Result allows. Result.Digest is the digest to run.
//   - [*Error] is a denial. It has a [Reason], and lists each piece of evidence that was
//     read and why that piece did not count.
//   - [*UndecidedError]: evidence could not be read, and what was read is not enough.
//   - Any other error: the context ended, or the reference could not be resolved.
//
// Only a Result allows anything.
//
// Evidence only adds permission. An attacker who can write to a repository can attach
// garbage, which is recorded and ignored, or remove evidence, which denies. Neither
// turns a denial into a Result. One case is apart: an exemption excuses no requirement that a
// revoked key has signed for, and a registry can hide that signature. What the policy exempts
// are single digests, so nothing else passes by that.
//
// # What is verified
//
//   - The digest in Result.Digest meets each requirement of the rule for its repository.
//     Result.Requirements names the keys that counted.
//   - For a tag: the registry resolved the tag to this digest at the time of the call.
//
// # What is not verified
//
//   - Which digest a tag should have. Deploy by Result.Digest.
//   - The content of layers. The digest pins it, and the client that pulls checks it.
//   - When a signature was made, unless the policy has timestamps (see Time).
//   - Certificates and transparency logs, unless Options.Authorities has a
//     [policy.Authority] for them.
//   - What a statement says beyond the conditions of the requirement. Its signer vouches
//     for the rest.
//
// # Indexes
//
// An allowed index vouches for the manifests that it lists, except those that the policy
// denies by digest (Result.DeniedChildren). An index is denied if all its images are.
// A client runs one image of an index. [Verifier.Platform], [Verifier.Child] and
// [Verifier.Runnable] judge that image.
//
// # Exemptions
//
// A policy may excuse single requirements for single digests until a time
// (policy.Exemption). Result.Exemptions names what was excused, by which exemption, and what
// is not met. Unmet.Exemption names one that does not excuse, for example because it has
// ended. An index passes by the exemptions that list its digest. Child and Platform then want
// the manifest's own digest to be listed in exemptions from the same requirements.
//
// # Conditions
//
//   - A condition that denies something also denies what it cannot read. A member that it
//     needs must have the JSON type of its format.
//   - A member that is null counts as missing in predicates and scans.
//   - A member that no condition of a requirement reads may have any form.
//   - A requirement of a predicate type without conditions is refused, unless it says
//     acceptAnyContent.
//
// # Time
//
// A signature carries no trusted time. Keys are judged at verification time: a key counts
// between notBefore and notAfter, and a revoked key does not count. One exception exists:
// a [policy.TimeAuthority] saw the signature before the key was revoked, and the policy
// has standsBefore for the key. Times in a statement are claims of its signer. They count
// only if the requirement's role signed the statement.
//
// # Limits
//
//   - Options.Limits bounds the number and size of referrers, manifests and payloads.
//   - 20,000 signature checks in each place. A check is one signature with one key.
//     Slower keys and larger messages count as several.
//   - 200 manifests of an index, 4 levels of nested indexes.
//   - 8 MiB for one image config, 32 MiB for all configs of an index.
//
// # JSON
//
// A [Report] is a decision as JSON. Result, *Error and *UndecidedError marshal to it,
// commands print it, and the audit log of package gate consists of it. [ResultSchema] is
// its JSON Schema.
package verify
