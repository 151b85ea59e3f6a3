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

// Options say how a Verifier works. The zero value is usable.
type Options struct {
	// Limits bound the evidence that is read. For each field, zero means that of the
	// policy (policy.Limits), or else the default.
	Limits registry.Limits
	// EvidenceRepository holds the evidence about images whose rule names no other
	// (policy.Rule.EvidenceRepository). Zero: the image's repository.
	EvidenceRepository name.Repository
	// Authorities recognise the identities of policies, by the names that those
	// give them. Nil: a policy that names identities is refused.
	Authorities map[string]policy.Authority
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Cache keeps decisions. Nil: every image is judged again. Callers that ask about
	// the same digest at the same time share the work in any case.
	Cache Cache
	// AllowedTTL and DeniedTTL are how long a decision is kept at most: no longer
	// than Result.ValidUntil. One that another process has made, which the Cache
	// shares, is used for no longer after it was made either. Zero: five minutes,
	// and 30 seconds.
	AllowedTTL, DeniedTTL time.Duration
}

// Verifier judges digests by one policy. It is safe for concurrent use.
type Verifier struct {
	policy  *compiled
	o       Options
	sharing singleflight.Group[question, *Result]
}

// New makes a Verifier of a policy, which later changes to the policy do not reach. The
// policy is checked first; see policy.Policy.Check. Errors are policy.ErrInvalid.
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

// Denies reports whether the policy denies a digest whatever stands for it, and
// why (Policy.DenyDigests). False allows nothing: ask Image.
func (v *Verifier) Denies(digest string) (reason string, denied bool) {
	reason, denied = v.policy.denied[digest]
	return reason, denied
}

// Forbids is the denial that holds for all of a repository whatever evidence there is, and
// for which nothing needs to be read: the policy has expired (ReasonPolicyExpired), no
// rule is about the repository (ReasonNoRule), or its rule denies (ReasonDeniedByRule).
// Nil allows nothing: ask Image.
func (v *Verifier) Forbids(repo name.Repository) *Error {
	_, pattern, denied := v.ruleFor(repo, "", v.o.Now())
	if denied == nil {
		return nil
	}
	return &Error{
		Reason: denied.reason, Reference: repo.Name(), PolicyDigest: v.policy.digest, Rule: pattern,
		Detail: registry.SafeText(denied.detail, maxDetail),
	}
}

// PolicyDigest identifies the policy, "sha256:…": two policies that mean the same
// text for text have the same.
func (v *Verifier) PolicyDigest() string { return v.policy.digest }

// Generation identifies what decisions rest on beside evidence: PolicyDigest, and
// what the authorities behind the policy's identities trust now. A caller
// who keeps decisions apart from Options.Cache keeps none for another Generation.
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

// Image judges the digest that ref names. A tag is resolved once; what it
// resolved to is judged and returned as Result.Digest.
//
// Concurrent calls about one digest share one judgement; each returns when its
// own context ends. With Options.Cache a decision that was reached before may be
// returned.
//
// The decision, in this order:
//
//   - ref cannot be resolved: the store's error; nothing was judged.
//   - The policy has expired: *Error, ReasonPolicyExpired. The digest is among
//     DenyDigests: ReasonDeniedDigest. No rule's pattern matches the repository:
//     ReasonNoRule. The rule denies: ReasonDeniedByRule.
//   - Every piece of evidence in every format is looked at in turn, until what
//     the rule requires is met: the .sig tag where it requires a signature, the
//     .att tag where it requires an attestation, and all referrers, in the order of
//     registry.Evidence. Equal pieces are judged once. Each place has limits of its
//     own, and one that is reached ends its place alone. One counts for
//     a requirement if and only if all of this holds: it could be read and hashes to its digest; its manifest's
//     subject, if any, is the digest; it is no attestation under the .sig tag and
//     no signature under the .att tag; it is well-formed; a key of the policy has
//     made at least one of its signatures over exactly the bytes that are then
//     parsed, or, where it offers a certificate, an identity of the policy has;
//     that key is neither outside of its time nor revoked, unless its StandsBefore
//     is set and a clock of the policy has seen the signature before, and is in the
//     requirement's role; what was signed is what the requirement asks for (a
//     simple signing payload of cosign's type or an in-toto statement of
//     predicate type https://sigstore.dev/cosign/sign/v1 for a signature, a
//     statement of the type for an attestation) and names the digest as its
//     subject; it meets the requirement's conditions; no evidence of the same key,
//     or of the same principal as identities recognise them, has counted for the
//     requirement before. A principal whom a revoked identity recognises counts by no
//     other. Where duties are to be separate, a principal whose evidence would count in
//     two roles counts in neither. If identities stand in two of these, all evidence is
//     looked at first. What identities recognise then counts only where all of it could
//     be read and no limit was reached.
//   - A requirement about the image's config is met where the config, of an index
//     those of all images that it lists, meets all conditions.
//   - Enough distinct keys counted for each requirement, one of each anyOf: Result.
//     Where what it rests on has ended while it was read, all is judged once more, by
//     the time that it is then; where that happens again, *UndecidedError.
//     Where the policy has DenyDigests, and the digest is an index that lists
//     some of them, Result.DeniedChildren names these; if no image is left that could
//     run: *Error, ReasonDeniedDigest; if that cannot be read: *UndecidedError. All
//     of this holds for rules that only warn, too.
//   - Otherwise, the context has ended: its error.
//   - Otherwise, a limit was reached in some place: one of Options.Limits, 20,000
//     checks of signatures (each signature with each key, until one fits; keys that
//     are slower than P-256 count more, and so do bytes that are hashed), or several
//     signatures of one envelope over more than 64 MiB together: *Error,
//     ReasonTooMuchEvidence. Besides, referrers of up to 64 KiB that name a key which
//     is required are checked with that key, up to 50,000 checks, and those that name
//     none and have one signature with all required keys, up to 40,000: as many as a
//     list may have by default, with one key and with four. Once half of the checks were
//     made, what has few signatures and is small goes first, and once 500 were made,
//     what cannot count goes last.
//   - Otherwise, something could not be read: *UndecidedError.
//   - Otherwise *Error: its Reason is that of the first requirement that is not
//     met, and Unmet lists all of them. Where the rule only warns: Result, with
//     the *Error as its Warning.
func (v *Verifier) Image(ctx context.Context, r registry.Reader, ref name.Reference) (*Result, error) {
	ctx, requests := httpcount.Count(ctx)
	digest, isDigest := ref.(name.Digest)
	if !isDigest {
		desc, err := r.Resolve(ctx, ref)
		if err != nil {
			return nil, err
		}
		digest = ref.Context().Digest(desc.Digest.String())
	}
	if _, err := registry.HashOf(digest); err != nil {
		return nil, err
	}
	key := CacheKey{Policy: v.policy.digest, Trust: v.o.trust(v.policy), Repository: digest.Context().Name(), Digest: digest.DigestStr()}
	result, err := v.decide(ctx, r, key, func(ctx context.Context) (*Result, error) {
		return inquiry{v: v, r: r, reference: digest.String(), image: digest}.answer(ctx)
	})
	return asked(result, err, ref.String(), digest, requests.Sent())
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
