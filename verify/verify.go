package verify

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/httpcount"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Options configure a Verifier. The zero value is usable.
type Options struct {
	// Limits bound the evidence that is read. For each field, zero means that of the
	// policy (policy.Limits), or else the default.
	Limits registry.Limits
	// EvidenceRepository holds the evidence about images whose rule names no other
	// (policy.Rule.EvidenceRepository). Zero: the image's repository.
	EvidenceRepository name.Repository
	// Authorities recognise the identities of policies, by the names that policies use.
	// Nil: a policy with identities is refused.
	Authorities map[string]policy.Authority
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Cache keeps decisions. Nil: every call judges again. Concurrent calls about one
	// digest share one judgement with or without a Cache.
	Cache Cache
	// AllowedTTL and DeniedTTL bound how long a decision is used after it was made, by this
	// process or by another one that shares the Cache. A decision is never used after
	// Result.ValidUntil. Zero: five minutes, and 30 seconds.
	AllowedTTL, DeniedTTL time.Duration
	// Observe is told of each judgement, before its caller gets it. It must be quick and
	// safe for concurrent use. A panic in it is ignored. Nil: nothing is told.
	Observe func(ctx context.Context, j Judgement)
}

// Verifier judges digests by one policy. It is safe for concurrent use.
type Verifier struct {
	policy  *compiled
	o       Options
	sharing singleflight.Group[question, *Result]
}

// New makes a Verifier. Later changes to p have no effect. New checks the policy as
// policy.Policy.Check does, and refuses it with policy.ErrInvalid.
func New(p *policy.Policy, o Options) (*Verifier, error) {
	checked, err := p.Check(o.Authorities)
	if err != nil {
		return nil, err
	}
	return newVerifier(checked, o)
}

func newVerifier(p *policy.Checked, o Options) (*Verifier, error) {
	c, err := compile(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", policy.ErrInvalid, err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = limitsOf(o.Limits, p.Policy.Limits)
	if o.AllowedTTL <= 0 {
		o.AllowedTTL = 5 * time.Minute
	}
	if o.DeniedTTL <= 0 {
		o.DeniedTTL = 30 * time.Second
	}
	return &Verifier{policy: c, o: o}, nil
}

// limitsOf are the limits that hold: those of the program before those of the policy.
func limitsOf(own registry.Limits, asked *policy.Limits) registry.Limits {
	if asked == nil {
		return own
	}
	own.MaxItems, own.MaxReferrers = cmp.Or(own.MaxItems, asked.MaxItems), cmp.Or(own.MaxReferrers, asked.MaxReferrers)
	own.MaxPayloadBytes = cmp.Or(own.MaxPayloadBytes, asked.MaxPayloadBytes)
	own.MaxTotalBytes = cmp.Or(own.MaxTotalBytes, asked.MaxTotalBytes)
	return own
}

// Verifier implements Source: the policy never changes.
func (v *Verifier) Verifier(context.Context) (*Verifier, error) { return v, nil }

// Denies reports whether the policy denies a digest (Policy.DenyDigests), and why. False
// does not allow: ask Image.
func (v *Verifier) Denies(digest string) (reason string, denied bool) {
	reason, denied = v.policy.denied[digest]
	return reason, denied
}

// DeniesDigests reports whether the policy denies any digest. They are SHA-256: content that
// is named by another digest has to be hashed before Denies can tell.
func (v *Verifier) DeniesDigests() bool { return len(v.policy.denied) > 0 }

// Forbids returns the denial of a whole repository that holds whatever evidence exists.
// Nothing is read. The decision:
//
//   - The policy has expired: ReasonPolicyExpired.
//   - No rule matches the repository: ReasonNoRule.
//   - The rule denies: ReasonDeniedByRule.
//   - Otherwise nil, which does not allow: ask Image.
func (v *Verifier) Forbids(repo name.Repository) *Error {
	_, by, denied := v.policy.ruleFor(repo, "", v.o.Now())
	if denied == nil {
		return nil
	}
	return &Error{
		Reason: denied.reason, Reference: repo.Name(), PolicyDigest: v.policy.digest, Rule: by.pattern, Team: by.team,
		Detail: registry.SafeText(denied.detail, maxDetail),
	}
}

// PolicyDigest identifies the policy, "sha256:…". Equal policies have equal digests.
func (v *Verifier) PolicyDigest() string { return v.policy.digest }

// Generation identifies what decisions rest on besides evidence: PolicyDigest, and what the
// policy's authorities trust now. A caller that keeps decisions outside Options.Cache must
// drop them when Generation changes.
func (v *Verifier) Generation() string {
	if trust := v.o.trust(v.policy); trust != "" {
		return v.policy.digest + " " + trust
	}
	return v.policy.digest
}

// trust is what decisions rest on beside the policy and evidence.
func (o Options) trust(p *compiled) string {
	trust := p.trust()
	if o.EvidenceRepository != (name.Repository{}) {
		trust += " evidence in " + o.EvidenceRepository.Name()
	}
	return trust
}

// evidenceAt is the image in the repository that holds the evidence about it. What the
// registry says never changes where that is.
func (o Options) evidenceAt(r *rule, image name.Digest) name.Digest {
	if r.evidenceIn != (name.Repository{}) {
		return registry.EvidenceIn(r.evidenceIn, image)
	}
	return registry.EvidenceIn(o.EvidenceRepository, image)
}

// Image judges the digest that ref names. A tag is resolved once. Result.Digest is the
// digest that was judged.
//
// Concurrent calls about one digest share one judgement. Each call returns when its own
// context ends. With Options.Cache, Image may return an earlier decision.
//
// The decision, in this order:
//
//   - ref cannot be resolved: the store's error.
//   - The policy has expired: *Error, ReasonPolicyExpired.
//   - The digest is in DenyDigests: *Error, ReasonDeniedDigest.
//   - No rule matches the repository: *Error, ReasonNoRule.
//   - The rule denies: *Error, ReasonDeniedByRule.
//   - Enough evidence counts for each requirement (see Evidence): Result.
//   - Exemptions excuse what is not met (policy.Exemption): Result, whose Exemptions name it.
//   - The context has ended: its error.
//   - Something could not be read: *UndecidedError, whose Causes name the places.
//   - A limit was reached in some place: *Error, ReasonTooMuchEvidence.
//   - Otherwise *Error. Its Reason is that of the first unmet requirement. Unmet lists all.
//   - The rule only warns: Result, with that *Error as Warning.
//
// Two exceptions hold for a Result, also if the rule only warns:
//
//   - A key or statement that it rests on ended while evidence was read: everything is
//     judged once more, at the later time. If that happens again: *UndecidedError.
//   - The policy has DenyDigests, and the digest is an index that lists some of them:
//     Result.DeniedChildren names them. If all images of the index are denied: *Error,
//     ReasonDeniedDigest. If the index cannot be read: *UndecidedError.
//
// # Evidence
//
// Image reads evidence in every format until the requirements are met. Places, in the order
// of registry.Evidence:
//
//   - the .sig tag, if a signature is required;
//   - the .att tag, if an attestation is required;
//   - all referrers.
//
// Equal pieces are judged once. Each place has its own limits: a limit that is reached ends
// reading of that place only. A place that cannot be read does not deny what other places
// satisfy.
//
// One piece of evidence counts for a requirement if all of this holds:
//
//   - It could be read and has its digest. It is well-formed.
//   - The subject of its manifest, if any, is the digest.
//   - It is not an attestation under the .sig tag, nor a signature under the .att tag.
//   - A key or identity of the policy made a signature over the bytes that are then parsed.
//   - That key is within its time and not revoked. A revoked key counts with StandsBefore
//     if a timestamp of the policy shows that the signature existed before. A key that must
//     be logged counts if a log or a timestamp of the policy knows the signature.
//   - The key is in the requirement's role.
//   - For a signature: the signed bytes are a simple signing payload, or a statement of
//     predicate type https://sigstore.dev/cosign/sign/v1. For an attestation: a statement
//     of the required type.
//   - The signed bytes name the digest as subject.
//   - It meets the requirement's conditions.
//   - No evidence of the same key, or of the same principal, has counted for the
//     requirement.
//
// Further rules for identities:
//
//   - An identity whose NotAfter has passed does not count. A principal that a revoked
//     identity recognises counts by no other identity. With StandsBefore, neither holds for
//     what existed before, by the time that the authority knows.
//   - Evidence is opened and verified once, whatever the number of identities, by
//     authorities that use policy.SignedEvidence.Once.
//   - With SeparateDuties, a principal whose evidence would count in two roles counts in
//     neither. If identities stand in two of the roles, all evidence is read first. Their
//     evidence counts only if all of it could be read and no limit was reached.
//
// A requirement of the image's config is met if the config meets all conditions; for an
// index, if the configs of all its images do.
//
// # Limits
//
//   - Options.Limits.
//   - 20,000 signature checks in each place. One check is one signature with one key. Keys
//     slower than P-256 count more, and so does each 128 KiB that is hashed.
//   - What authorities do about a piece of evidence counts as they say: a certificate some
//     15 to 25 checks, and more with each log entry and timestamp.
//   - 64 MiB together for several signatures of one envelope.
//   - Beyond that, referrers of up to 64 KiB that name a required key: 50,000 checks with
//     that key. Referrers that name none and have one signature: 40,000 checks.
//
// Half of the checks may be used in order. Then small pieces with few signatures go first.
// After 500 checks, pieces that cannot count go last.
func (v *Verifier) Image(ctx context.Context, r registry.Reader, ref name.Reference) (*Result, error) {
	began := time.Now()
	result, cached, err := imageBy(ctx, v, r, ref)
	j := observed(result, err)
	j.Cached = cached
	v.o.tell(ctx, began, j)
	return result, err
}

// imageBy is Image. cached says that the cache had the decision.
func imageBy(ctx context.Context, v *Verifier, r registry.Reader, ref name.Reference) (result *Result, cached bool, err error) {
	ctx, requests := httpcount.Count(ctx)
	digest, isDigest := ref.(name.Digest)
	if !isDigest {
		desc, err := r.Resolve(ctx, ref)
		if err != nil {
			return nil, false, err
		}
		digest = ref.Context().Digest(desc.Digest.String())
	}
	if _, err := registry.HashOf(digest); err != nil {
		return nil, false, err
	}
	key := CacheKey{Policy: v.policy.digest, Trust: v.o.trust(v.policy), Repository: digest.Context().Name(), Digest: digest.DigestStr()}
	result, cached, err = v.decide(ctx, r, key, func(ctx context.Context) (*Result, error) {
		return inquiry{v: v, r: r, reference: digest.String(), image: digest}.answer(ctx)
	})
	result, err = asked(result, err, ref.String(), digest, requests.Sent())
	return result, cached, err
}

// asked gives a decision, which others may share, the reference that this caller
// asked about, the digest as this caller writes its repository, and the number of
// requests that were sent for this caller.
func asked(result *Result, err error, reference string, digest name.Digest, requests int) (*Result, error) {
	switch e := err.(type) {
	case *Error:
		own := *e
		own.Reference, own.Digest, own.Requests = reference, digest, requests
		return nil, &own
	case *UndecidedError:
		own := *e
		own.Reference, own.Digest, own.Requests = reference, digest, requests
		return nil, &own
	}
	if err != nil {
		return nil, err
	}
	own := *result
	own.Reference, own.Digest, own.Requests = reference, digest, requests
	if w := result.Warning; w != nil {
		warning := *w
		warning.Reference, warning.Digest = reference, digest
		own.Warning = &warning
	}
	return &own, nil
}
