// Package gate lets only verified images through.
//
// It has two faces with one decision engine behind them. [NewHandler] makes an
// http.Handler that stands before registries and speaks their pull API: every client is
// protected without being changed. [NewTransport] makes an http.RoundTripper that a
// program gives to the OCI client it uses already.
//
//	source, err := verify.NewFileSource("policy.yaml", verify.FileSourceOptions{})
//	handler, err := gate.NewHandler(gate.Config{
//		Verifier:  source,
//		Upstreams: []gate.Upstream{{Registry: "registry.example"}},
//	})
//	err = http.ListenAndServe("127.0.0.1:5000", handler)
//
// # What is asked first
//
// The policy is asked before anything else. A repository that no rule is about, or whose
// rule denies, and a digest that the policy denies, get one answer on every endpoint,
// lists of tags included: 403 with code DENIED, whatever exists. No upstream is asked for
// it, and nothing is parsed. Only within a repository that a rule may allow do 403 and
// 404 differ. The Transport passes lists of tags on with the client's own credentials,
// and judges none.
//
// # What passes
//
// A manifest or index passes when the policy allows it, when an index that passes
// lists it, or when it is evidence whose subject passes: a referrer, or what the
// tags sha256-….sig, .att and .sbom hold. The bytes that are sent are the bytes that
// were judged. A tag is resolved first, and is taken to name the same digest for
// Config.TagTTL; HEAD is judged as GET is. A blob passes while a manifest of the
// same repository passes that lists it. Referrers are listed for a subject that
// passes; the fallback tag of the referrers API holds the same list, whichever of
// the two the upstream has. Lists of tags of repositories that a rule may allow are
// passed on as they are.
//
// # What passes without being judged
//
// Evidence about an image that passes, and nothing else. It is
//   - a manifest with only the members of the OCI specification, one layer at least and
//     a thousand at most, none at other addresses (urls), none for a platform;
//   - whose config is empty, or names no platform and nothing to run;
//   - whose layers have media types of evidence: bundles, envelopes, simple signing
//     payloads, statements, documents in JSON, SPDX text, Notation's JOSE and COSE;
//   - whose content, in blobs, descriptors or annotations, is of the kind that the media
//     type says, by the whole of it, and at most Config.MaxEvidenceBytes long;
//   - listed by the gate's own words: media type, digest, size, artifact type, annotations.
//
// That a manifest lists a digest as a blob says nothing about a manifest of that digest,
// and the other way round. A manifest whose descriptors hold content (data) that is not
// theirs, or manifests that the policy denies, does not pass even if it was judged.
//
// Blobs are hashed on their way, and the last byte is withheld until the whole was
// seen to be what its digest says; otherwise the connection is broken off. All who
// want a blob at the same time share one download, through a file.
//
// # Bounds
//
// With default limits the live heap stays below 96 MiB, and the process below 256 MiB
// where its program sets a memory limit (GOMEMLIMIT; examples/proxy does), whatever
// 1,000 clients do:
//
//   - One budget bounds what all requests together read and parse. Answers of up to 16
//     KiB need none of it. Clients (an address, or a /64) take turns, and one has a
//     quarter at most, unless a single piece is larger.
//   - 32 judgements before each upstream are under way at once, the others wait. Parsing
//     and checking signatures leave one processor to what is decided already.
//   - Large evidence is read when its turn comes, and forgotten once it was looked at.
//   - Config.JudgeTimeout is the time for a request to be decided, however slowly tags, lists
//     and evidence come. What holds a part of the budget must come at 1 MiB a second.
//   - A client holds at most 32 KiB of its answer in memory: larger manifests and lists
//     are sent from a temporary file, once for all who take them. Config.WriteTimeout
//     ends answers that are not taken.
//   - Lists of referrers have Config.MaxListBytes at most. A longer one is an error.
//   - A blob is fetched once for all who ask for parts of it: what was fetched is kept in
//     a file for a minute after its last client (Config.MaxSpoolBytes), and a download that
//     its clients have left is stopped, and taken up again for the next.
//
// # Refusals
//
// Errors have the form of the distribution specification. 403 with code DENIED is
// a decision: the message says which image, what was missing and which rule
// decided. 429, 502 and 503, with Retry-After, mean that nothing could be decided, and
// nothing passes; they are never remembered. Of an upstream's error clients are
// told its kind, the HTTP status and the specification's code; Event.Causes has the rest,
// which may name addresses. HEAD has no body: what its client cannot show stands in the
// log and in the audit log, where each refusal is a line.
//
// # Audit log
//
// A line is one JSON object: a verify.Report, with time, event and the request. Its
// members are those that package verify and the commands write for the same things:
//   - time, and event: allowed, denied, refused or mismatch;
//   - image, status, digest, policy, rule, judgedAt, reason, detail, unmet, causes;
//   - request: method, path, client, agent, status, latencyNanoseconds, cached, message.
//
// Keys, requirements and evidence are left out: the digest can be verified again.
// verify.ResultSchema describes each line.
//
// # Decisions
//
// Decisions are kept in memory. The Verifier's options say for how long. Where its Cache
// is a verify.SharedCache, gates with the same policy and key share there what they
// allow. They share what follows from that, too: what evidence passes, and what may vouch
// for what. Nothing of that is used for longer than the decision that it rests on. What
// one gate denies another one judges itself. Where the Cache keeps denials in this
// process, the gate keeps them beside it, and one may last twice Options.DeniedTTL.
//
// # What is not verified
//
// That a tag names the right image: only its upstream knows. Whether the content
// of an image is what its attestations say. Where clients fetch images from
// elsewhere: let them have no other way out.
//
// # Credentials
//
// With Operator the gate reads with its own credentials, and all who reach it can read
// what it can. With PassThrough each client's credentials are passed on to the one
// upstream. Content that is held already is given to a client only after the upstream
// has said two things, at most Config.AccessTTL ago: that the client may read the
// repository, and that the content is there. That is so by tag and by digest, and also
// while the upstream cannot be reached. A client that may read one repository gets nothing that
// only another one has.
//
// # Sources
//
//   - OCI Distribution Specification v1.1: the pull API, errors, referrers, warnings
//   - containerd's hosts.toml: the ns parameter
//   - RFC 9110 (ranges, conditions, Retry-After), RFC 7617 (Basic)
package gate
