package verify

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	// maxBundleBytes bounds one bundle, maxBundles how many are looked at.
	maxBundleBytes = 32 << 20
	maxBundles     = 1000
	// maxHeldBlob is up to what size a pure Ed25519 signature over a blob can
	// be verified, which needs all of it in memory.
	maxHeldBlob = 64 << 20
)

// BlobResult is a positive decision about a file. Its JSON is a Report.
type BlobResult struct {
	// SHA256 is the digest of what was read and verified, in hex, and Size its
	// number of bytes.
	SHA256 string
	Size   int64
	// Keys are the trusted keys that have signed, as many as the threshold.
	Keys []Principal
}

// Blob judges a file by the Sigstore bundles that are given for it (JSON, v0.1
// to v0.3). It reads blob to its end; only what the caller reads a second time
// may differ from what was verified, so compare SHA256 or keep the bytes.
//
// A bundle counts if and only if it is well-formed, offers a key, and either
// holds a signature of a trusted key over the bytes, which are not those that a
// signature about an image covers, or a statement signed by
// one whose predicate type says that it is a signature and one of whose
// subjects is the file's digest; if the key is in the role of Policy.Files and
// neither revoked nor outside of its time; and if the key has not counted before.
// The annotations that are asked for must stand in the statement; a signature
// over the bytes has none. Threshold distinct keys: *BlobResult. Fewer, with all
// bundles looked at or, as ReasonTooMuchEvidence, with as many as may be or after
// 20,000 checks of signatures (see Image); no Policy.Files; a policy that has
// expired; or a file whose SHA-256 is among DenyDigests: *Error. The file cannot
// be read, or the context ends before that is known: that error.
func (v *Verifier) Blob(ctx context.Context, blob io.Reader, bundles ...[]byte) (*BlobResult, error) {
	m, size, err := sigkey.HashAll(contextReader{ctx, blob}, maxHeldBlob)
	if err != nil {
		return nil, fmt.Errorf("file not verified: %w", err)
	}
	f := fileDecision{v: v, message: m, sum: hex.EncodeToString(m.Sum(crypto.SHA256)), now: v.o.Now()}
	if denied := f.denied(); denied != nil {
		return nil, f.denial(denied.reason, registry.SafeText(denied.detail, maxDetail))
	}
	o, err := f.decide(ctx, bundles)
	switch {
	case err != nil:
		return nil, err
	case len(o.unmet) > 0:
		return nil, f.refuse(o, len(bundles))
	}
	return &BlobResult{SHA256: f.sum, Size: size, Keys: o.keys}, nil
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

// denied is the denial that holds whatever bundles there are.
func (f *fileDecision) denied() *problem {
	if f.v.policy.files == nil {
		return problemf(ReasonNoRule, "the policy says nothing about files")
	}
	return f.v.deniesAll("sha256:"+f.sum, f.now)
}

// decide judges bundles in order. Its branches:
//
//   - gather: the context has ended: its error.
//   - gather: there are too many bundles, or one is too large: no more is looked at.
//   - open: it is not well-formed, or offers a certificate: it is recorded.
//   - check: no more checks may be made: it is recorded, and no more is looked at.
//   - check: no key of the policy has signed it, or none that counts now: it is recorded.
//   - check: it is not about the file: it is recorded.
//   - judge: it is an attestation, or lacks annotations, or its signer is not in the role,
//     or has counted: it is recorded.
//   - judge: it counts, and there is enough: no more is looked at.
func (f *fileDecision) decide(ctx context.Context, bundles [][]byte) (o outcome, err error) {
	files := f.v.policy.files
	r := &rule{root: files, leaves: []*need{files}, asked: files.role.keys}
	e := newEvaluation(r, newConditions(f.v.policy, name.Digest{}, f.now), &f.log)
	c := &checking{ctx: ctx, policy: f.v.policy, rule: r, now: f.now, log: &f.log, subject: subject{"sha256:" + f.sum, f.digestBy}}
	work := newWorkload(PlaceGiven, 0)
	for i, text := range bundles {
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		if i >= maxBundles || len(text) > maxBundleBytes {
			f.log.overflow = fmt.Errorf("more than %d bundles, or one of more than %d bytes", maxBundles, maxBundleBytes)
			break
		}
		p := &piece{from: origin{format: registry.FormatBundle}, work: &work}
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

// open reads a bundle, and says why its signatures cannot be checked; nil: they can.
func (f *fileDecision) open(c *checking, p *piece, text []byte) *problem {
	opened, err := evidence.Open(bundle.MediaTypeV03, nil, text)
	switch {
	case opened != nil && opened.Certificate:
		return &problem{ReasonCertificate, evidence.ErrNotByKey.Error()}
	case err != nil && !errors.Is(err, evidence.ErrOverBytes):
		return &problem{openReason(err), err.Error()}
	}
	p.search = search{policy: c.policy, asked: c.rule.asked, opened: opened}
	p.stranger = &problem{ReasonUntrustedKey, "no trusted key has made its signature"}
	if err == nil {
		return nil
	}
	if evidence.IsSigned(f.message.Start(), f.message.Bytes) {
		return &problem{ReasonWrongType, "the file is what a signature about an image covers: its signature says nothing about a file"}
	}
	if opened.SHA256 != nil && !bytes.Equal(opened.SHA256, f.message.Sum(crypto.SHA256)) {
		p.stranger = &problem{ReasonWrongSubject, "it is about a file with another digest"}
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
	return hex.EncodeToString(f.message.Sum(h)), true, nil
}

// refuse is the denial of a file that so many bundles were given for.
func (f *fileDecision) refuse(o outcome, bundles int) *Error {
	e := f.denial(o.unmet[0].Reason, o.unmet[0].Detail)
	switch {
	case f.log.overflow != nil:
		e.Reason, e.Detail = ReasonTooMuchEvidence, registry.SafeText(f.log.overflow.Error(), maxDetail)
		e.Limit = registry.LimitOf(f.log.overflow)
	case e.Reason == ReasonThreshold:
	case bundles > 0:
		e.Reason, e.Detail = ReasonNoTrustedSignature, "no signature given for it counts"
	default:
		e.Reason, e.Detail = ReasonNoSignature, "no signature was given"
	}
	o.unmet[0].Reason, o.unmet[0].Detail = e.Reason, e.Detail
	e.Unmet = o.unmet
	return e
}

func (f *fileDecision) denial(reason Reason, detail string) *Error {
	return &Error{Reason: reason, SHA256: f.sum, PolicyDigest: f.v.policy.digest, Detail: detail, Evidence: f.log.told()}
}
