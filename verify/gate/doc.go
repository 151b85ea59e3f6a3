// Package gate lets only verified images through: a server in front of registries, or a
// transport inside a client.
//
// [NewHandler] makes an http.Handler that speaks the pull API of registries. Clients need
// no change but the address. [NewTransport] makes an http.RoundTripper for an OCI client
// in a Go program. Both make the same decisions.
//
//	source, err := verify.NewFileSource("policy.yaml", verify.FileSourceOptions{})
//	handler, err := gate.NewHandler(gate.Config{
//		Verifier:  source,
//		Upstreams: []gate.Upstream{{Registry: "registry.example"}},
//	})
//	err = http.ListenAndServe("127.0.0.1:5000", handler)
//
// # What passes
//
//   - A manifest or index that the policy allows. The bytes that are sent are the bytes
//     that were judged.
//   - A manifest that an allowed index lists.
//   - A blob, while an allowed manifest of the same repository lists it.
//   - Evidence about an allowed image (see below): referrers, and the tags
//     sha256-….sig, .att and .sbom.
//   - The list of referrers of an allowed image, by the referrers API and as the fallback
//     tag, whichever of the two the upstream has.
//   - The list of tags of a repository that a rule may allow.
//
// A tag is resolved first, and names the same digest for Config.TagTTL. HEAD is judged as
// GET is. A manifest that a tag names must be allowed as an image, even if it could pass
// as evidence.
//
// # What passes without being judged
//
// Only evidence about an allowed image. Evidence is defined by what it is:
//
//   - It is a manifest with only the members of the OCI specification, and 1 to 1,000
//     layers.
//   - No descriptor has other addresses (urls) or a platform.
//   - Its config is empty, or names no platform and nothing to run.
//   - Its layers have media types of evidence: bundles, envelopes, simple signing payloads,
//     statements, JSON documents, SPDX text, Notation's JOSE and COSE. Config.EvidenceTypes
//     adds types of JSON documents and text.
//   - The whole content of each blob is of the kind of its media type, also where the
//     manifest itself holds it (data, annotations).
//   - Each blob has at most Config.MaxEvidenceBytes.
//
// A list of referrers has exactly the entries that pass when they are fetched, with their
// blobs. The gate reads each manifest that the upstream lists, up to 1,000 new ones for a
// request, and writes the entry from it: media type, digest, size, artifact type and
// annotations. A longer list is 503 until all were read, and has no annotations.
//
// A digest passes as a manifest or as a blob, never as both because of one listing. A
// manifest does not pass if its descriptors hold content (data) of another digest, or
// manifests that the policy denies.
//
// # What is not verified
//
//   - That a tag names the right image. Only its upstream knows.
//   - That the content of an image is what its attestations say.
//   - Images that clients fetch from elsewhere. Allow them no other way out.
//
// # Order
//
// The policy is asked before any upstream. A repository without a rule, a rule that denies
// and a denied digest get the same response on every endpoint: 403 with code DENIED,
// whether or not the image exists. Within a repository that a rule may allow, 403 and 404
// differ. A Transport passes lists of tags on and judges none.
//
// # Responses
//
// Errors have the form of the distribution specification:
//
//   - 403 DENIED is a decision. The message names the image, what is missing and the rule.
//   - 404: the upstream does not have it.
//   - 429, 502 and 503, with Retry-After: nothing could be decided, and nothing passes.
//     They are never cached.
//
// A client is told the kind of an upstream's error, its HTTP status and its code.
// Event.Causes has the whole error, which may name internal addresses. The response to HEAD
// has no body: the status line has the message, and so have the log and the audit log.
//
// # Audit log
//
// A line is one JSON object: a verify.Report with time, event and request.
// verify.ResultSchema describes it.
//
//   - time, and event: allowed, denied, would-deny, refused or mismatch;
//   - image, status, digest, policy, rule, judgedAt, reason, detail, unmet, exemptions, causes;
//   - request: method, path, client, agent, status, latencyNanoseconds, cached, message.
//
// Keys, requirements and evidence are left out: the digest can be verified again. A decision
// that rests on an exemption in its last week is logged at level Warn.
//
// # Audit only
//
// With Config.InsecureAuditOnly, what is denied passes, and is reported as would-deny with the
// whole denial and in a Warning header.
//
//   - Only denials pass: those of the policy, blobs that no allowed manifest lists, and
//     attached content that is not evidence.
//   - What cannot be judged does not pass: nothing is known that could be reported, and
//     asking again may help. Malformed manifests do not pass, either.
//   - All content has its digest.
//   - What passes so is not stored, and not remembered as allowed. A gate that enforces may
//     use the same store and the same SharedCache.
//   - Lists of referrers hold what passes in a gate that enforces.
//
// # Refused policies
//
// A verify.ReportingSource keeps the last good policy if a newer one is refused. Its Err and
// its log say why. With Config.DenyOnRefusedPolicy everything is denied then, until the newest
// policy is in use.
//
// # Caching
//
// Decisions are kept in memory. The Verifier's options say for how long. If its Cache is a
// verify.SharedCache, gates with the same policy and key share what they allow, and what
// follows: which evidence passes, and which manifests list what. Nothing is used for longer
// than the decision that it rests on. Denials are not shared. If the Cache keeps denials in
// this process, a denial may last twice Options.DeniedTTL.
//
// # Blobs
//
// A blob is hashed while it is sent. The last byte is withheld until the whole blob has its
// digest; otherwise the connection is closed. Concurrent clients of one blob share one
// download, through a file.
//
// # Credentials
//
//   - Operator: the gate reads with its own credentials. All its clients can read what the
//     gate can.
//   - PassThrough: each client's credentials are sent to the one upstream. Content that the
//     gate holds is given to a client only after the upstream said, at most Config.AccessTTL
//     ago, that the client may read the repository and that the repository has the content.
//     That holds by tag and by digest, and while the upstream is down.
//
// # Limits
//
// With default limits the live heap stays below 96 MiB, whatever 1,000 clients do. The
// process stays below 256 MiB if GOMEMLIMIT is set (examples/proxy sets a limit).
//
//   - One budget bounds what all requests read and parse at once. Messages up to 16 KiB
//     need none of it. A client (an address, or a /64 of IPv6) has at most a quarter, unless
//     a single piece is larger.
//   - 32 judgements at once before each upstream. Further ones wait.
//   - Config.JudgeTimeout for a decision, however slowly the upstream sends. A response that
//     holds a part of the budget must come at 1 MiB a second.
//   - Config.MaxListBytes for a list of referrers. A longer list is an error.
//   - 32 KiB of memory for each response. Larger manifests and lists are sent from a
//     temporary file. Config.WriteTimeout ends transfers that a client does not take.
//   - Config.MaxSpoolBytes for the files of blobs. A blob is kept for a minute after its last
//     client. A download that its clients left is stopped, and resumed for the next client.
//
// # Sources
//
//   - OCI Distribution Specification v1.1: pull API, errors, referrers, warnings
//   - containerd's hosts.toml: the ns parameter
//   - RFC 9110 (ranges, conditions, Retry-After), RFC 7617 (Basic)
package gate
