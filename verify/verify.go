package verify

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/evidence"
	"github.com/hallmark-oci/hallmark/internal/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// ErrPolicy is the error of every policy that New refuses.
var ErrPolicy = errors.New("unusable policy")

// Policy says whose signatures an image needs. The zero Policy is refused.
type Policy struct {
	// Keys are trusted. At least one; the same key twice is refused, under
	// whatever name.
	Keys []Key
	// Threshold is how many distinct keys must have signed: 1 to len(Keys). It
	// has no default.
	Threshold int
	// Annotations must all stand in a signature for it to count. Nil: none.
	Annotations map[string]string
	// SameRepository makes a signature count only where it names the repository
	// that is asked about. Bundles name none, so that only simple signing
	// payloads count then. False: a signature counts wherever it was copied to.
	SameRepository bool
}

// Options say how a Verifier reads. The zero value is usable.
type Options struct {
	// Limits bound the evidence that is read. Zero: the defaults.
	Limits registry.Limits
}

// Verifier judges digests by one policy. It is safe for concurrent use.
type Verifier struct {
	policy Policy
	keys   []Key
	byHint map[string]int
	o      Options
}

// New checks a policy and makes a Verifier of it. Refused with ErrPolicy: no
// keys, a zero Key, one key twice, a threshold below 1 or above the number of
// keys.
func New(p Policy, o Options) (*Verifier, error) {
	refuse := func(format string, args ...any) (*Verifier, error) {
		return nil, fmt.Errorf("%w: %s", ErrPolicy, fmt.Sprintf(format, args...))
	}
	if len(p.Keys) == 0 {
		return refuse("no keys: a policy that trusts nobody allows nothing")
	}
	v := &Verifier{policy: p, keys: slices.Clone(p.Keys), byHint: make(map[string]int), o: o}
	v.policy.Annotations = maps.Clone(p.Annotations)
	for i, k := range v.keys {
		if k.key == nil {
			return refuse("key %d is the zero Key; use NewKey, ParseKey or LoadKey", i)
		}
		if first, twice := v.byHint[k.key.Hint()]; twice {
			return refuse("keys %d and %d are the same key, %s", first, i, k.ID())
		}
		v.byHint[k.key.Hint()] = i
	}
	if p.Threshold < 1 || p.Threshold > len(v.keys) {
		return refuse("threshold %d with %d distinct keys; say how many of them must sign", p.Threshold, len(v.keys))
	}
	return v, nil
}

// Image judges the digest that ref names. A tag is resolved once; what it
// resolved to is judged and returned as Result.Digest.
//
// The decision, in this order:
//
//   - ref cannot be resolved: the store's error; nothing was judged.
//   - Every piece of evidence in every format is looked at in turn, until the
//     threshold is met. One counts if and only if all of this holds: it could
//     be read and hashes to its digest; its manifest's subject, if any, is the
//     digest; it is well-formed; a trusted key has made at least one of its
//     signatures over exactly the bytes that are then parsed; what was signed
//     is an image signature (a simple signing payload of cosign's type, or an
//     in-toto statement of predicate type https://sigstore.dev/cosign/sign/v1)
//     and names the digest as its subject; it has the annotations and names the
//     repository that the policy asks for; no evidence of the same key has
//     counted before.
//   - Threshold distinct keys counted: Result.
//   - Otherwise, the context has ended: its error.
//   - Otherwise, a limit was reached: *Error, ReasonTooMuchEvidence.
//   - Otherwise, something could not be read: *UndecidedError.
//   - Otherwise *Error: ReasonThreshold where any key counted, else
//     ReasonNoTrustedSignature where any evidence looked like a signature, else
//     ReasonNoSignature.
func (v *Verifier) Image(ctx context.Context, r registry.Reader, ref name.Reference) (*Result, error) {
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
	j := &judgement{v: v, ctx: ctx, r: r, reference: ref.String(), digest: digest}
	return j.run()
}

// judgement is the state of one decision.
type judgement struct {
	v         *Verifier
	ctx       context.Context
	r         registry.Reader
	reference string
	digest    name.Digest

	signers  []Signer
	counted  map[string]bool
	seen     []Evidence
	causes   []error
	overflow error
	// bytesSums are further digests of the manifest, once a statement asked.
	bytesSums map[string]string
}

func (j *judgement) run() (*Result, error) {
	j.counted = make(map[string]bool)
	for item, err := range registry.Evidence(j.ctx, j.r, j.digest, j.v.o.Limits) {
		if err != nil {
			j.unread(item, err)
			continue
		}
		j.look(item)
		if len(j.signers) >= j.v.policy.Threshold {
			return &Result{Reference: j.reference, Digest: j.digest, Keys: j.signers, Evidence: j.seen, by: j.v}, nil
		}
	}
	return nil, j.refuse()
}

func (j *judgement) refuse() error {
	if err := j.ctx.Err(); err != nil {
		return fmt.Errorf("%s: not verified: %w", j.digest, err)
	}
	if j.overflow == nil && len(j.causes) > 0 {
		return &UndecidedError{Reference: j.reference, Digest: j.digest, Evidence: j.seen, Causes: j.causes}
	}
	e := &Error{Reference: j.reference, Digest: j.digest, Evidence: j.seen}
	switch {
	case j.overflow != nil:
		e.Reason, e.Detail = ReasonTooMuchEvidence, registry.SafeText(j.overflow.Error(), maxDetail)
	case len(j.signers) > 0:
		e.Reason = ReasonThreshold
		e.Detail = fmt.Sprintf("signed by %d of the %d distinct trusted keys needed", len(j.signers), j.v.policy.Threshold)
	case slices.ContainsFunc(j.seen, Evidence.looksLikeSignature):
		e.Reason, e.Detail = ReasonNoTrustedSignature, "no signature attached to it counts"
	default:
		e.Reason, e.Detail = ReasonNoSignature, "no signature is attached to it"
	}
	return e
}

// looksLikeSignature reports whether evidence was offered as a signature, as
// far as one can tell.
func (e Evidence) looksLikeSignature() bool {
	return e.Format != registry.FormatOther && e.Reason != ReasonWrongType
}

const maxDetail = 300

func (j *judgement) record(item registry.Item, keyID string, reason Reason, detail string) {
	e := Evidence{Place: item.Place, Format: item.Format, KeyID: keyID, Reason: reason, Detail: registry.SafeText(detail, maxDetail)}
	if item.Manifest.Digest.Hex != "" {
		e.Manifest = item.Manifest.Digest.String()
	}
	j.seen = append(j.seen, e)
}

// unread records an error of the gathering.
func (j *judgement) unread(item registry.Item, err error) {
	reason := ReasonMalformed
	switch {
	case registry.Unreadable(err):
		reason = ReasonUnreadable
		j.causes = append(j.causes, err)
	case errors.Is(err, registry.ErrTooMany):
		reason = ReasonTooMuchEvidence
		j.overflow = err
	case errors.Is(err, registry.ErrNotFound):
		reason = ReasonMissing
	case errors.Is(err, registry.ErrDigestMismatch):
		reason = ReasonDigestMismatch
	case errors.Is(err, registry.ErrTooLarge):
		reason = ReasonTooLarge
	}
	j.record(item, "", reason, err.Error())
}

// look judges one piece of evidence.
func (j *judgement) look(item registry.Item) {
	if item.Format == registry.FormatOther {
		j.record(item, "", ReasonWrongType, "not a format that is read: "+item.Manifest.ArtifactType+" "+string(item.Layer.MediaType))
		return
	}
	claim, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	if err != nil {
		j.record(item, "", openReason(err), err.Error())
		return
	}
	keys := j.v.signers(claim)
	if len(keys) == 0 {
		reason := ReasonUntrustedKey
		if _, known := j.v.byHint[claim.Hint]; known {
			reason = ReasonBadSignature
		}
		j.record(item, "", reason, "no trusted key has made its signature")
		return
	}
	annotations, reason, detail := j.content(claim)
	for _, key := range keys {
		j.count(item, key, annotations, reason, detail)
	}
}

// count records what a trusted key has signed, and counts the key once.
func (j *judgement) count(item registry.Item, key Key, annotations map[string]string, reason Reason, detail string) {
	switch {
	case reason != ReasonCounted:
	case j.counted[key.ID()]:
		reason, detail = ReasonRepeated, "another signature of this key has counted"
	default:
		j.counted[key.ID()] = true
		j.signers = append(j.signers, Signer{
			ID: key.ID(), Name: key.Name, Evidence: item.Manifest.Digest.String(), Annotations: annotations,
		})
	}
	j.record(item, key.ID(), reason, detail)
}

func openReason(err error) Reason {
	switch {
	case errors.Is(err, evidence.ErrNotByKey):
		return ReasonCertificate
	case errors.Is(err, evidence.ErrWrongType):
		return ReasonWrongType
	}
	return ReasonMalformed
}

// signers finds the trusted keys that have made one of the claim's signatures.
// The hint decides only which key is tried first.
func (v *Verifier) signers(claim *evidence.Claim) []Key {
	var found []Key
	hinted, known := v.byHint[claim.Hint]
	if known && claim.VerifiedBy(v.keys[hinted].key) {
		found = append(found, v.keys[hinted])
	}
	for i, k := range v.keys {
		// One signature has one maker.
		if len(found) >= len(claim.Signatures) {
			break
		}
		if known && i == hinted || !claim.VerifiedBy(k.key) {
			continue
		}
		found = append(found, k)
	}
	return found
}

// content judges what a trusted key has signed.
func (j *judgement) content(claim *evidence.Claim) (annotations map[string]string, reason Reason, detail string) {
	content, err := claim.Content()
	if err != nil {
		return nil, ReasonMalformed, err.Error()
	}
	repository := ""
	if p := content.Simple; p != nil {
		if p.ManifestDigest != j.digest.DigestStr() {
			return nil, ReasonWrongSubject, "it is about " + p.ManifestDigest
		}
		annotations, repository = p.Annotations, p.DockerReference
	} else {
		if content.Statement.PredicateType != intoto.PredicateSignature {
			return nil, ReasonWrongType, "an attestation is no signature: " + content.Statement.PredicateType
		}
		subject, err := content.Statement.Match(j.digestBy)
		if err != nil {
			j.causes = append(j.causes, err)
			return nil, ReasonUnreadable, err.Error()
		}
		if subject == nil {
			return nil, ReasonWrongSubject, "none of its subjects is this digest"
		}
		annotations = subject.Annotations
	}
	if j.v.policy.SameRepository && !sameRepository(repository, j.digest.Context()) {
		return nil, ReasonWrongRepository, fmt.Sprintf("it names the repository %q", repository)
	}
	for k, want := range j.v.policy.Annotations {
		if got, there := annotations[k]; !there || got != want {
			return nil, ReasonAnnotations, fmt.Sprintf("it lacks %s=%s", k, want)
		}
	}
	return annotations, ReasonCounted, ""
}

// sameRepository compares a docker-reference, which may be a short name or
// carry a tag, with the repository asked about.
func sameRepository(reference string, repo name.Repository) bool {
	ref, err := name.ParseReference(reference)
	return err == nil && ref.Context().Name() == repo.Name()
}

// digestBy gives the manifest's digest by the algorithms that a subject may
// name. All but sha256 need the manifest itself, which is fetched for the rare
// statement that names them.
func (j *judgement) digestBy(algorithm string) (string, bool, error) {
	switch algorithm {
	case "sha256":
		h, err := registry.HashOf(j.digest)
		return h.Hex, true, err
	case "sha384", "sha512":
		if j.bytesSums == nil {
			m, err := registry.ReadManifest(j.ctx, j.r, j.digest)
			if err != nil {
				return "", true, err
			}
			s384, s512 := sha512.Sum384(m.Bytes), sha512.Sum512(m.Bytes)
			j.bytesSums = map[string]string{"sha384": hex.EncodeToString(s384[:]), "sha512": hex.EncodeToString(s512[:])}
		}
		return j.bytesSums[algorithm], true, nil
	}
	return "", false, nil
}
