package verify

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	maxSignatureBytes = 32 << 20 // of one signature of a file, with what holds it
	maxSignatures     = 1000
	// maxHeldBlob is the largest blob over which pure Ed25519 signatures are verified. They
	// need all of it in memory.
	maxHeldBlob = 64 << 20
)

// BlobResult is a positive decision about a file. Its JSON is a Report.
type BlobResult struct {
	// SHA256 is the digest of the bytes that were verified, in hex.
	SHA256 string
	// Size is their number. Zero for BlobDigest.
	Size int64
	// PolicyDigest identifies the policy. JudgedAt, ValidUntil, Requirements, Keys,
	// Statements and Evidence are as in Result.
	PolicyDigest         string
	JudgedAt, ValidUntil time.Time
	Requirements         []Met
	Keys                 []Principal
	Statements           []Statement
	Evidence             []Evidence
}

// Blob judges a file by signatures that the caller gives. It reads blob to its end.
// A file that is read a second time may have changed: compare SHA256, or keep the
// bytes.
//
// Each signature is one of:
//
//   - a Sigstore bundle in JSON, v0.1 to v0.3: over the bytes (messageSignature), or
//     of a statement (dsseEnvelope)
//   - cosign's older bundle, {"base64Signature": ...}
//   - a detached signature over the bytes: raw, or in base64
//
// A bundle may hold a certificate, log entries and timestamps. A signature counts if
//
//   - a requirement of Policy.Files asks for it,
//   - a key of the policy made it, in the role of the requirement, that is valid now and
//     not revoked, or an identity recognises its signer; each counts once,
//   - the key need not be logged (policy.Key.Logged), or a bundle shows that it is,
//   - over the bytes: no signature about an image covers the same bytes, and the
//     messageDigest, if there is one, is the file's; only SHA-256, SHA-384 and SHA-512
//     are read,
//   - of a statement: a subject is the file's digest. If its predicate type is the one
//     for signatures, it is a signature with the subject's annotations; a signature over
//     the bytes has none. If not, it is an attestation,
//   - it meets the requirement's conditions, as for Image.
//
// An identity recognises signatures in bundles with certificates, as the policy's
// authorities read them.
//
// Blob returns a *BlobResult if as many distinct keys have signed as the thresholds of
// all requirements say. Otherwise it returns an *Error:
//
//   - ReasonNoRule: there is no Policy.Files
//   - ReasonPolicyExpired
//   - ReasonDeniedDigest: the file's SHA-256 is among DenyDigests
//   - ReasonNoSignature, ReasonNoTrustedSignature, ReasonThreshold, and of attestations
//     the reasons that Image has
//   - ReasonTooMuchEvidence: more than 1000 signatures, one above 32 MiB, or more
//     than 20,000 checks, see Image
//
// If blob cannot be read, or the context ends first, Blob returns that error. A pure
// Ed25519 signature does not verify over more than 64 MiB. An authority may need the bytes,
// too: see policy.DigestReader.
func (v *Verifier) Blob(ctx context.Context, blob io.Reader, signatures ...[]byte) (_ *BlobResult, err error) {
	began := time.Now()
	defer func() { v.o.tell(ctx, began, observedBlob(err)) }()
	m, size, err := sigkey.HashAll(contextReader{ctx, blob}, maxHeldBlob)
	if err != nil {
		return nil, fmt.Errorf("file not verified: %w", err)
	}
	return newFileDecision(v, m).result(ctx, size, signatures)
}

// BlobDigest is Blob for a file whose digest alone is known: "sha256:" and 64 lower-case
// hex digits. The caller vouches that the digest is the file's.
//
//   - Signatures over SHA-384 and SHA-512 do not verify, as of Ed25519 keys and of most
//     P-384 and P-521 keys.
//   - A file that resembles what image signatures cover is not told from others: do not ask
//     about a digest whose file another party has chosen as such.
//
// It returns registry.ErrReference for another digest.
func (v *Verifier) BlobDigest(ctx context.Context, digest string, signatures ...[]byte) (_ *BlobResult, err error) {
	began := time.Now()
	defer func() { v.o.tell(ctx, began, observedBlob(err)) }()
	h, err := v1.NewHash(digest)
	if err != nil || h.Algorithm != "sha256" || h.String() != digest {
		return nil, &registry.Error{Op: "verify a file", Kind: registry.ErrReference, Detail: fmt.Sprintf("%.100q is not sha256: and 64 lower-case hex digits", digest)}
	}
	sum, err := hex.DecodeString(h.Hex)
	if err != nil {
		return nil, err
	}
	return newFileDecision(v, sigkey.Hashed(sum, nil, nil)).result(ctx, 0, signatures)
}

func newFileDecision(v *Verifier, m *sigkey.Message) *fileDecision {
	return &fileDecision{v: v, message: m, sum: hex.EncodeToString(m.Sum(crypto.SHA256)), now: v.o.Now()}
}

// result judges a file of a size by signatures.
func (f *fileDecision) result(ctx context.Context, size int64, signatures [][]byte) (*BlobResult, error) {
	if denied := f.denied(); denied != nil {
		return nil, f.denial(denied.reason, registry.SafeText(denied.detail, maxDetail))
	}
	o, err := f.decide(ctx, signatures)
	switch {
	case err != nil:
		return nil, err
	case len(o.unmet) > 0:
		return nil, f.refuse(o, len(signatures))
	}
	return &BlobResult{
		SHA256: f.sum, Size: size, PolicyDigest: f.v.policy.digest, JudgedAt: f.now, ValidUntil: earlier(f.v.policy.expires, o.until),
		Requirements: o.requirements, Keys: o.keys, Statements: o.statements, Evidence: f.log.told(),
	}, nil
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// fileDecision is one decision about a file.
type fileDecision struct {
	v       *Verifier
	message *sigkey.Message
	sum     string // SHA-256, hex
	now     time.Time
	log     ledger
}

// denied returns the denial that holds for every signature.
func (f *fileDecision) denied() *problem {
	if f.v.policy.files == nil {
		return problemf(ReasonNoRule, "the policy says nothing about files")
	}
	return f.v.policy.deniesAll("sha256:"+f.sum, f.now)
}

// decide judges signatures in order. Its branches:
//
//   - gather: the context has ended: its error.
//   - gather: there are too many signatures, or one is too large: the rest is not read.
//   - open: the signature is malformed: it is recorded.
//   - check: no more checks may be made: it is recorded, and the rest is not read.
//   - check: no key of the policy has made it, or none that counts now: it is recorded.
//   - check: it is not about the file: it is recorded.
//   - judge: no requirement asks for it, it does not meet the conditions, or its signer is
//     not in the role or has counted: it is recorded.
//   - judge: it counts. If that is enough, the rest is not read.
func (f *fileDecision) decide(ctx context.Context, signatures [][]byte) (o outcome, err error) {
	r := f.v.policy.files
	e := newEvaluation(r, newConditions(ctx, f.v.policy, f.asImage(), f.now), &f.log)
	c := &checking{ctx: ctx, policy: f.v.policy, rule: r, now: f.now, log: &f.log, subject: subject{"sha256:" + f.sum, f.digestBy}}
	work := newWorkload(PlaceGiven, 0)
	for i, text := range signatures {
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		if i >= maxSignatures || len(text) > maxSignatureBytes {
			f.log.overflow = fmt.Errorf("more than %d signatures, or one of more than %d bytes", maxSignatures, maxSignatureBytes)
			break
		}
		p := &piece{from: origin{format: registry.FormatBundle}, work: &work, item: registry.Item{Payload: text}}
		p.item.Layer.MediaType = bundle.MediaTypeV03
		if why := f.open(c, p, text); why != nil {
			f.log.note(p.from, "", nil, why.reason, why.detail)
			continue
		}
		for fact := range c.check(p) {
			e.add(fact)
		}
		if e.enough() || f.log.overflow != nil {
			break
		}
	}
	e.close(f.log.gap())
	if o = e.outcome(); len(o.unmet) > 0 {
		err = ctx.Err()
	}
	return o, err
}

// open reads a signature, and says why it cannot be checked; nil: it can.
func (f *fileDecision) open(c *checking, p *piece, text []byte) *problem {
	opened, err := evidence.OpenFile(text)
	overBytes := errors.Is(err, evidence.ErrOverBytes)
	if err != nil && !overBytes && !errors.Is(err, evidence.ErrNotByKey) {
		return &problem{reason: openReason(err), detail: err.Error()}
	}
	p.search, p.certificate = search{policy: c.policy, asked: c.rule.asked, opened: opened}, opened.Certificate
	p.stranger = &problem{reason: ReasonUntrustedKey, detail: "no trusted key has made its signature"}
	if !overBytes {
		return nil
	}
	if evidence.IsSigned(f.message.Start(), f.message.Bytes) {
		return &problem{reason: ReasonWrongType, detail: "the file is what an image signature covers: its signature is not about a file"}
	}
	switch sum := f.message.Sum(opened.Hash); {
	case opened.Digest == nil:
	case sum == nil:
		return problemf(ReasonWrongSubject, "it names the %s digest of its file, which is not known", opened.Hash)
	case !bytes.Equal(opened.Digest, sum):
		return problemf(ReasonWrongSubject, "it is about a file with another %s digest", opened.Hash)
	}
	opened.Signed, p.bytewise = f.message, true
	return nil
}

var sumsByName = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

func (f *fileDecision) digestBy(algorithm string) (string, bool, error) {
	h, known := sumsByName[algorithm]
	if !known {
		return "", false, nil
	}
	sum := f.message.Sum(h)
	return hex.EncodeToString(sum), sum != nil, nil
}

// refuse returns the denial of a file for which so many signatures were given.
func (f *fileDecision) refuse(o outcome, signatures int) *Error {
	for i := range o.unmet {
		o.unmet[i].ofFile(signatures)
	}
	e := f.denial(o.unmet[0].Reason, o.unmet[0].Detail)
	if f.log.overflow != nil {
		e.Reason, e.Detail = ReasonTooMuchEvidence, registry.SafeText(f.log.overflow.Error(), maxDetail)
		e.Limit = registry.LimitOf(f.log.overflow)
	}
	e.Unmet = o.unmet
	return e
}

// ofFile words what a file lacks for which so many signatures were given: nothing is
// attached to a file.
func (u *Unmet) ofFile(signatures int) {
	switch u.Reason {
	case ReasonNoSignature, ReasonNoTrustedSignature:
		u.Reason, u.Detail = ReasonNoTrustedSignature, "no signature given for it counts"
		if signatures == 0 {
			u.Reason, u.Detail = ReasonNoSignature, "no signature was given"
		}
	case ReasonNoAttestation:
		u.Detail = strings.TrimSuffix(u.Detail, " is attached") + " was given"
	case ReasonNoTrustedAttestation:
		u.Detail = strings.Replace(u.Detail, "no attached attestation", "no given attestation", 1)
	}
}

// asImage stands for the file where conditions are about an image, such as the digest
// that a scan names.
func (f *fileDecision) asImage() name.Digest {
	repo, _ := name.NewRepository("file.invalid/file") // it is well-formed
	return repo.Digest("sha256:" + f.sum)
}

func (f *fileDecision) denial(reason Reason, detail string) *Error {
	return &Error{Reason: reason, SHA256: f.sum, PolicyDigest: f.v.policy.digest, Detail: detail, Evidence: f.log.told()}
}
