// Package policy is the language that says which images are allowed: keys, roles, rules,
// requirements and conditions. It reads no registry. Package verify judges by it.
//
//	p, err := policy.Load("policy.yaml", policy.ParseOptions{})
//
// A policy file is strict YAML or JSON:
//
//	version: 1
//	keys:
//	  release: {file: release.pub}
//	roles:
//	  release: {keys: [release]}
//	rules:
//	  - images: [registry.example/team/**]
//	    require:
//	      - signature: {by: release}
//
// [Parse] and [Load] read a policy; an error names line and column of the mistake. A Go
// program can fill in a [Policy] instead, or use [Signatures] for a few keys that sign
// everything. [Policy.Check] refuses policies that cannot be intended. A [FileSource]
// reads its file again when the file changes. [Schema] is a JSON Schema for editors.
//
// # Patterns
//
// A rule applies to the repositories that its patterns match. A pattern is a registry's
// host and path segments:
//
//   - * is one whole segment.
//   - ** is any number of segments; at the end of a pattern, at least one.
//   - registry.example/team/** does not match registry.example/team-evil/app.
//   - Names are normalised first: nginx is index.docker.io/library/nginx.
//
// The most specific pattern decides. Two rules are refused if some repository matches
// both and neither is more specific. A repository without a rule is denied. A policy
// whose rules all deny is a freeze, and needs no key.
//
// # Teams
//
// A [Team] is a file beside the policy, with keys, roles and rules for the images that the
// policy gives to the team. It adds to what the policy says of these images, and takes
// nothing away. All files are read as one policy: all are used, or the last good ones.
//
// # Exemptions
//
// An [Exemption] excuses one named requirement (Policy.Requirements) for the digests that it
// lists, for at most 90 days. It lifts no denial and no revocation, and lets no unsigned image
// pass.
//
//	requirements:
//	  scanned: {attestation: {type: vuln, by: scanner, maxSeverity: high}}
//	exemptions:
//	  - images: [registry.example/team/app]
//	    digests: ["sha256:…"]
//	    requirement: scanned
//	    reason: the scanner cannot read this image; see TICKET-7
//	    by: jane@acme.example
//	    until: 2027-01-31T00:00:00Z
//
// # Plug-ins
//
// An [Authority] recognises signers by other means than keys. A [TimeAuthority] says when
// a signature existed. A program links the authorities that it wants, and names them in
// ParseOptions and verify.Options. A policy that names any other authority is refused.
//
// What an authority can do beside that is told by further interfaces:
//
//   - [ChangingAuthority]: its trust changes while the process runs.
//   - [FileAuthority]: its settings name files beside the policy, such as a trust root.
//   - [DescribedAuthority]: its settings have a JSON Schema; see [SchemaWith].
//   - [ExpressionAuthority]: it judges by expressions, and recognises no signer.
//   - [LogMatcher]: it also knows what transparency logs have recorded; see Key.Logged.
//   - [DigestReader]: it judges files whose digests alone are known.
//
// # Errors
//
// Every refused policy is [ErrInvalid], and every unusable key is [ErrKey].
package policy
