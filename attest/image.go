package attest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// Options say how an image is attested. The zero value attaches one bundle for
// each signer.
type Options struct {
	// Formats are written for each signer: registry.FormatBundle, and
	// registry.FormatEnvelope for cosign before v2.6, which reads its .att tag and
	// statements v0.1. Empty: the bundle alone, or the .att tag alone where the registry
	// can hold no bundles (registry.ErrNoBundles).
	Formats []registry.Format
	// Replace removes earlier attestations by the same signers, about this digest and
	// with this predicate type, in any format. They are removed once the new
	// attestation is attached.
	//
	//   - An attestation by another key stays, such as that of an earlier Signer of
	//     sign/keyless.
	//   - An envelope with another signer's signature stays.
	//   - An attestation that equals the new one byte for byte stays.
	//   - Where Limits do not allow all evidence to be read, only what was read is
	//     replaced, and Attached.Superseded says so.
	//
	// False: earlier attestations stay beside the new one.
	Replace bool
	// EvidenceRepository is the repository that attestations are written to, and that
	// Replace removes them from: cosign's COSIGN_REPOSITORY. Verifiers must be told of
	// it, see policy.Rule. Zero: the image's.
	EvidenceRepository name.Repository
	// SubjectName is the name of the image in the statement. Empty: its
	// repository, as cosign writes it.
	SubjectName string
	// Subjects are further subjects of the statement, which is attached to the image
	// only. Empty: none.
	Subjects []Subject
	// MaxBytes is the limit of the statement. Zero: 128 MiB. The envelope is a third
	// larger than the statement. Verifiers pass over evidence larger than their
	// registry.Limits.MaxPayloadBytes, by default 32 MiB.
	MaxBytes int64
	// Limits bound the evidence that is read for Replace. Zero: the defaults.
	Limits registry.Limits
	// Now gives the time for org.opencontainers.image.created, which is not signed.
	// Nil: time.Now.
	Now func() time.Time
}

// Attached is the result of Image: what was attested, and where it is.
type Attached struct {
	// Digest is the image that the statement is about.
	Digest name.Digest `json:"digest"`
	// PredicateType is the URI of the predicate's type.
	PredicateType string `json:"predicateType"`
	// Attestations has one entry for each signer and format.
	Attestations []Attestation `json:"attestations"`
	// Superseded lists the earlier attestations that Options.Replace found. One that
	// equals the new attestation is not listed: Ed25519 and RSA keys sign an unchanged
	// statement with the same bytes.
	Superseded []Superseded `json:"superseded,omitempty"`
}

// Attestation is one signed statement that is known to be in the store.
type Attestation struct {
	// KeyID is the SHA-256 of the signer's SubjectPublicKeyInfo, in hex.
	KeyID string `json:"keyId"`
	// Format is how it is stored, Evidence the manifest that carries it, and Size the
	// bytes of the layer.
	Format   registry.Format `json:"format"`
	Evidence name.Digest     `json:"evidence"`
	Size     int64           `json:"size"`
}

// Superseded is an earlier attestation of one of the signers. An entry without KeyID
// stands for a place that may hold more than could be read; Reason says why.
type Superseded struct {
	KeyID    string          `json:"keyId"`
	Format   registry.Format `json:"format"`
	Evidence name.Digest     `json:"evidence"`
	// Removed is true where it is no longer attached. Otherwise Reason says why, and
	// verifiers still see it beside the new one.
	Removed bool   `json:"removed"`
	Reason  string `json:"reason,omitempty"`
}

// Image states p about subject, signs the statement with every signer, attaches it
// beside the image in every format asked for, and reads it back.
//
//   - Each signer's attestation is a separate piece of evidence. One can be replaced
//     without the other.
//   - Signatures are verified before they are attached.
//   - Attesting twice attaches two statements; see Options.Replace.
//   - A large predicate is held in memory twice: as given, and as it is signed. Each
//     further format takes it once more.
//
// After an error, attestations may be attached for some of the signers and formats.
// Errors are predicate.ErrInvalid, [ErrSubject], [ErrOptions], [ErrTooLarge], and those
// of package sign, of registry.Attach and of the context.
func Image(ctx context.Context, repo registry.Store, subject name.Digest, p Predicate, o Options, signers ...sign.Signer) (*Attached, error) {
	j, err := newJob(repo, subject, p, o, signers)
	if err != nil {
		return nil, err
	}
	var superseded []previous
	var unread []error
	if o.Replace {
		if superseded, unread, err = j.previous(ctx); err != nil {
			return nil, err
		}
	}
	result := &Attached{Digest: subject, PredicateType: j.statement.PredicateType}
	if result.Attestations, err = j.writeAll(ctx); err != nil {
		return nil, err
	}
	if result.Superseded, err = j.remove(ctx, superseded); err != nil {
		return nil, err
	}
	for _, err := range unread {
		result.Superseded = append(result.Superseded, Superseded{Reason: "there may be more than could be read: " + err.Error()})
	}
	return result, nil
}

type job struct {
	store     registry.Store
	subject   name.Digest
	hash      v1.Hash
	o         Options
	signers   []signer.Checked
	statement *Statement
	// written is what was attached so far.
	written []written
}

func newJob(store registry.Store, subject name.Digest, p Predicate, o Options, signers []sign.Signer) (*job, error) {
	checked, err := checkSigners(signers)
	if err != nil {
		return nil, err
	}
	hash, err := registry.HashOf(subject)
	if err != nil {
		return nil, err
	}
	for i, f := range o.Formats {
		if f != registry.FormatBundle && f != registry.FormatEnvelope || slices.Contains(o.Formats[:i], f) {
			return nil, fmt.Errorf("%w: format %.40q is given twice, or attestations are not written in it", ErrOptions, f)
		}
	}
	if o.SubjectName == "" {
		o.SubjectName = subject.Context().Name()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	image := Subject{Name: o.SubjectName, Digest: map[string]string{hash.Algorithm: hash.Hex}}
	statement, err := NewStatement(p, append([]Subject{image}, o.Subjects...)...)
	if err != nil {
		return nil, err
	}
	if statement.PredicateType == intoto.PredicateSignature {
		return nil, fmt.Errorf("%w: the type %s is that of image signatures; use package sign", ErrOptions, intoto.PredicateSignature)
	}
	return &job{store: store, subject: subject, hash: hash, o: o, signers: checked, statement: statement}, nil
}

// writeAll attaches the statement in all formats.
func (j *job) writeAll(ctx context.Context) ([]Attestation, error) {
	if len(j.o.Formats) > 0 {
		return j.write(ctx, j.o.Formats...)
	}
	made, err := j.write(ctx, registry.FormatBundle)
	if errors.Is(err, registry.ErrNoBundles) {
		return j.write(ctx, registry.FormatEnvelope)
	}
	return made, err
}

// piece is an attestation that is to be attached.
type piece struct {
	by   signer.Checked
	item registry.Item
}

// write makes the attestations of all signers in formats, and then attaches them: what
// fails to sign, such as a log, leaves nothing behind.
func (j *job) write(ctx context.Context, formats ...registry.Format) (all []Attestation, err error) {
	var pieces []piece
	for _, format := range formats {
		made, err := j.make(ctx, format)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, made...)
	}
	last := make(map[registry.Format]name.Digest)
	for _, p := range pieces {
		at, err := registry.Attach(ctx, j.store, j.subject, p.item)
		if err != nil {
			return nil, err
		}
		manifest, err := registry.HashOf(at)
		if err != nil {
			return nil, err
		}
		j.written = append(j.written, written{manifest, p.item.Layer.Digest})
		last[p.item.Format] = at
		all = append(all, Attestation{KeyID: p.by.Key.ID(), Format: p.item.Format, Evidence: at, Size: p.item.Layer.Size})
	}
	for i, a := range all {
		if a.Format == registry.FormatEnvelope {
			// Each signer's layer replaced the tag's manifest; the last carries all.
			all[i].Evidence = last[a.Format]
		}
	}
	return all, nil
}

// make signs the statement in one format with each signer.
func (j *job) make(ctx context.Context, format registry.Format) (pieces []piece, err error) {
	version := intoto.StatementV1
	if format == registry.FormatEnvelope {
		version = intoto.StatementV01
		// A tag can be written beside an image that does not exist.
		if _, err := j.store.Resolve(ctx, j.subject); err != nil {
			return nil, err
		}
	}
	envelope, err := j.statement.envelope(version, j.o.MaxBytes)
	if err != nil {
		return nil, err
	}
	for _, by := range j.signers {
		item, err := j.item(ctx, format, envelope, by)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, piece{by, item})
	}
	return pieces, nil
}

// item signs the envelope with one key, and makes the item that is attached.
func (j *job) item(ctx context.Context, format registry.Format, envelope *dsse.Envelope, by signer.Checked) (registry.Item, error) {
	made, err := by.SignEnvelope(ctx, envelope, format == registry.FormatEnvelope)
	if err != nil {
		return registry.Item{}, err
	}
	signed := *envelope
	signed.Signatures = [][]byte{made.Signature}
	var w evidence.Written
	if format == registry.FormatEnvelope {
		var annotations map[string]string
		if annotations, err = made.Annotations(); err == nil {
			w, err = evidence.WriteEnvelope(&signed, j.statement.PredicateType, annotations)
		}
	} else {
		w, err = evidence.WriteBundle(made.Bundle(), &signed, j.statement.PredicateType, j.o.Now())
	}
	return registry.Item{
		Format: format, Layer: w.Layer, ManifestAnnotations: w.ManifestAnnotations, Payload: w.Payload, Open: w.Open, Repository: j.o.EvidenceRepository,
	}, err
}
