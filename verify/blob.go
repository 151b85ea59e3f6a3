package verify

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
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

// BlobResult is a positive decision about a file.
type BlobResult struct {
	// SHA256 is the digest of what was read and verified, in hex, and Size its
	// number of bytes.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Keys are the trusted keys that have signed, as many as the threshold.
	Keys []Signer `json:"keys"`
}

// BlobError is a negative decision about a file.
type BlobError struct {
	// Reason is ReasonNoSignature, ReasonNoTrustedSignature, ReasonThreshold,
	// ReasonTooMuchEvidence, ReasonPolicyExpired, ReasonDeniedDigest, or
	// ReasonNoRule where the policy says nothing about files.
	Reason Reason `json:"reason"`
	// SHA256 is the digest of what was read, in hex.
	SHA256 string `json:"sha256"`
	// Detail explains, for people, what is missing.
	Detail string `json:"detail"`
	// Evidence says of each bundle why it did not count.
	Evidence []Evidence `json:"evidence"`
}

// Error says why the file was denied.
func (e *BlobError) Error() string {
	return fmt.Sprintf("file sha256:%s: denied: %s (%s); evidence seen: %s", e.SHA256, e.Detail, e.Reason, summary(e.Evidence))
}

// MarshalJSON writes the result.
func (r *BlobResult) MarshalJSON() ([]byte, error) {
	type plain BlobResult
	return json.Marshal(struct {
		Verified bool `json:"verified"`
		*plain
	}{true, (*plain)(r)})
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
// expired; or a file whose SHA-256 is among DenyDigests: *BlobError. The file cannot
// be read, or the context ends before that is known: that error.
func (v *Verifier) Blob(ctx context.Context, blob io.Reader, bundles ...[]byte) (*BlobResult, error) {
	m, size, err := sigkey.HashAll(contextReader{ctx, blob}, maxHeldBlob)
	if err != nil {
		return nil, fmt.Errorf("file not verified: %w", err)
	}
	sum := hex.EncodeToString(m.Sum(crypto.SHA256))
	if v.policy.files == nil {
		return nil, &BlobError{Reason: ReasonNoRule, SHA256: sum, Detail: "the policy says nothing about files"}
	}
	if ends := v.policy.expires; !ends.IsZero() && !v.o.Now().Before(ends) {
		return nil, &BlobError{Reason: ReasonPolicyExpired, SHA256: sum, Detail: "the policy has expired on " + ends.UTC().Format(time.RFC3339)}
	}
	if reason, denied := v.policy.denied["sha256:"+sum]; denied {
		return nil, &BlobError{Reason: ReasonDeniedDigest, SHA256: sum, Detail: registry.SafeText("the policy denies this digest: "+reason, maxDetail)}
	}
	j := &blobJudgement{v: v, ctx: ctx, checks: newChecks(), need: v.policy.files, message: m, counted: make(map[string]bool)}
	for i, text := range bundles {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i >= maxBundles || len(text) > maxBundleBytes {
			return nil, &BlobError{Reason: ReasonTooMuchEvidence, SHA256: sum, Evidence: j.seen,
				Detail: fmt.Sprintf("more than %d bundles, or one of more than %d bytes", maxBundles, maxBundleBytes)}
		}
		err := j.look(text)
		switch {
		case len(j.signers) >= j.need.role.threshold:
			return &BlobResult{SHA256: sum, Size: size, Keys: j.signers}, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, &BlobError{Reason: ReasonTooMuchEvidence, SHA256: sum, Evidence: j.seen, Detail: registry.SafeText(err.Error(), maxDetail)}
		}
	}
	return nil, j.refuse(sum)
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

type blobJudgement struct {
	v       *Verifier
	ctx     context.Context
	checks  checks
	need    *need
	message *sigkey.Message
	signers []Signer
	counted map[string]bool
	seen    []Evidence
	ended   error // no more checks may be made, or the context has ended
}

func (j *blobJudgement) refuse(sum string) error {
	e := &BlobError{SHA256: sum, Evidence: j.seen}
	switch {
	case len(j.signers) > 0:
		e.Reason = ReasonThreshold
		e.Detail = fmt.Sprintf("signed by %d of the %d distinct trusted keys needed", len(j.signers), j.need.role.threshold)
	case len(j.seen) > 0:
		e.Reason, e.Detail = ReasonNoTrustedSignature, "no signature given for it counts"
	default:
		e.Reason, e.Detail = ReasonNoSignature, "no signature was given"
	}
	return e
}

// look judges a bundle. An error says that the context has ended, or that no more
// checks may be made, so that the rest was not looked at.
func (j *blobJudgement) look(text []byte) error {
	key, annotations, reason, detail := j.judge(text)
	e := Evidence{Format: registry.FormatBundle, Reason: reason, Detail: registry.SafeText(detail, maxDetail)}
	if key != nil {
		e.KeyID = key.ID()
		switch {
		case reason != ReasonCounted:
		case j.counted[key.ID()]:
			e.Reason = ReasonRepeated
		default:
			j.counted[key.ID()] = true
			j.signers = append(j.signers, Signer{ID: key.ID(), Name: key.Name, Annotations: annotations})
		}
	}
	j.seen = append(j.seen, e)
	return j.ended
}

// keysOf finds the policy's keys that have made one of a claim's signatures.
func (j *blobJudgement) keysOf(claim *evidence.Claim) []*trustedKey {
	var keys []*trustedKey
	keys, j.ended = j.checks.signers(j.ctx, j.v.policy, j.need.role.keys, claim)
	return keys
}

func (j *blobJudgement) judge(text []byte) (*trustedKey, map[string]string, Reason, string) {
	claim, err := evidence.Open(bundle.MediaTypeV03, nil, text)
	switch {
	case claim != nil && claim.Certificate:
		return nil, nil, ReasonCertificate, evidence.ErrNotByKey.Error()
	case err == nil:
		return j.statement(claim)
	case !errors.Is(err, evidence.ErrOverBytes):
		return nil, nil, openReason(err), err.Error()
	}
	if evidence.IsSigned(j.message.Start(), j.message.Bytes) {
		return nil, nil, ReasonWrongType, "the file is what a signature about an image covers, so that its signature says nothing about a file"
	}
	claim.Signed = j.message
	keys := j.keysOf(claim)
	switch {
	case j.ended != nil:
		return nil, nil, ReasonTooMuchEvidence, j.ended.Error()
	case len(keys) == 0 && claim.SHA256 != nil && !bytes.Equal(claim.SHA256, j.message.Sum(crypto.SHA256)):
		return nil, nil, ReasonWrongSubject, "it is about a file with another digest"
	case len(keys) == 0:
		return nil, nil, ReasonUntrustedKey, "no trusted key has made its signature over this file"
	}
	if p := j.usable(keys[0]); p != nil {
		return keys[0], nil, p.reason, p.detail
	}
	if len(j.need.signature.Annotations) > 0 {
		return keys[0], nil, ReasonAnnotations, "a signature over the bytes has no annotations"
	}
	return keys[0], nil, ReasonCounted, ""
}

// usable says why a key does not count for files now.
func (j *blobJudgement) usable(k *trustedKey) *problem {
	if !j.need.role.keys[k.ID()] {
		return problemf(ReasonWrongRole, "the key %s is not in the role %s", k.Name, j.need.role.name)
	}
	return k.at(j.v.o.Now())
}

// statement judges a bundle that holds a signed statement.
func (j *blobJudgement) statement(claim *evidence.Claim) (*trustedKey, map[string]string, Reason, string) {
	keys := j.keysOf(claim)
	if j.ended != nil {
		return nil, nil, ReasonTooMuchEvidence, j.ended.Error()
	}
	if len(keys) == 0 {
		return nil, nil, ReasonUntrustedKey, "no trusted key has made its signature"
	}
	if p := j.usable(keys[0]); p != nil {
		return keys[0], nil, p.reason, p.detail
	}
	content, err := claim.Content()
	if err != nil {
		return keys[0], nil, ReasonMalformed, err.Error()
	}
	if content.Statement.PredicateType != intoto.PredicateSignature {
		return keys[0], nil, ReasonWrongType, "an attestation is no signature: " + content.Statement.PredicateType
	}
	subject, err := content.Statement.Match(j.digestBy)
	if err != nil || subject == nil {
		return keys[0], nil, ReasonWrongSubject, "none of its subjects is this file"
	}
	for k, want := range j.need.signature.Annotations {
		if got, there := subject.Annotations[k]; !there || got != want {
			return keys[0], nil, ReasonAnnotations, fmt.Sprintf("it lacks %s=%s", k, want)
		}
	}
	return keys[0], subject.Annotations, ReasonCounted, ""
}

var sumsByName = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

func (j *blobJudgement) digestBy(algorithm string) (string, bool, error) {
	h, known := sumsByName[algorithm]
	if !known {
		return "", false, nil
	}
	return hex.EncodeToString(j.message.Sum(h)), true, nil
}
