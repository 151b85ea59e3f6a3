package sign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
)

// Bounds of a recursive signature.
const (
	maxIndexDepth   = 4
	defaultMaxParts = 1000
	parallelParts   = 4
)

// ImageOptions choose what Image signs and writes. The zero value signs one
// digest and writes a bundle.
type ImageOptions struct {
	// Formats are the formats to write for each signer: registry.FormatBundle,
	// registry.FormatSimpleSigning or both. Simple signing is cosign's .sig tag, which
	// podman, skopeo and cosign before v2.6 read. Empty: FormatBundle, or simple signing
	// where the registry can hold no bundles (registry.ErrNoBundles).
	Formats []registry.Format
	// Annotations are signed with the digest. A policy can require them. Names and
	// values must be UTF-8. Empty: none.
	Annotations map[string]string
	// Recursive also signs every image and index that an index lists, at most four
	// levels deep. An index is signed after everything it lists. Descriptors of other
	// media types are not signed on their own. False: the digest alone.
	Recursive bool
	// EvidenceRepository is the repository that signatures are written to: cosign's
	// COSIGN_REPOSITORY. Verifiers must be told of it, see policy.Rule. Zero: the
	// subject's.
	EvidenceRepository name.Repository
	// MaxManifests is how many manifests Recursive may sign. Zero: 1000.
	MaxManifests int
	// Limits bound the evidence that is read to find signatures that are there
	// already. Zero: the defaults of package registry, and 1 MiB for
	// MaxPayloadBytes. If a limit that is set here is reached, Image returns
	// registry.ErrTooMany. If a default is reached, Image may add a signature a second
	// time.
	Limits registry.Limits
	// Now returns the time for the annotation org.opencontainers.image.created,
	// which is not signed. Nil: time.Now.
	Now func() time.Time
	// Progress is called after each manifest was signed, one call at a time.
	// Nil: not called.
	Progress func(done, total int)
}

// Signed is the result of signing an image.
type Signed struct {
	// Digest is the digest that was signed: pull and deploy this.
	Digest name.Digest `json:"digest"`
	// Signatures has one entry per manifest, signer and format.
	Signatures []Signature `json:"signatures"`
}

// Signature is one signature that was read back from the store.
type Signature struct {
	// Subject is the manifest that was signed.
	Subject name.Digest `json:"subject"`
	// KeyID is the SHA-256 of the signer's SubjectPublicKeyInfo, in hex.
	KeyID string `json:"keyId"`
	// Format is the format of the signature.
	Format registry.Format `json:"format"`
	// Evidence is the manifest that carries the signature.
	Evidence name.Digest `json:"evidence"`
	// Existed is true if the store held the signature already.
	Existed bool `json:"existed"`
}

// Image signs subject with every signer in every format, attaches the
// signatures to it in the store, and reads them back.
//
// A signature that is there already is kept, and none is added, if it has the same
//
//   - key and algorithm,
//   - digest and annotations,
//   - format.
//
// A [MaterialSigner] with a certificate signs again: what is there may lack what a
// verifier needs beside the signature.
//
// If Image returns an error, some signatures may have been added. Signing again
// adds those that are missing.
//
// Errors are ErrOptions, ErrSigner, ErrKey, those of registry.Attach, of the
// store and of the context.
func Image(ctx context.Context, repo registry.Store, subject name.Digest, o ImageOptions, signers ...Signer) (*Signed, error) {
	j, err := newJob(repo, o, signers)
	if err != nil {
		return nil, err
	}
	parts := [][]name.Digest{{subject}}
	if o.Recursive {
		if parts, err = j.levels(ctx, subject); err != nil {
			return nil, err
		}
	}
	plans, err := j.plan(ctx, parts)
	if err != nil {
		return nil, err
	}
	result := &Signed{Digest: subject}
	for _, level := range plans {
		made, err := j.level(ctx, level)
		if err != nil {
			return nil, err
		}
		result.Signatures = append(result.Signatures, made...)
	}
	return result, nil
}

type job struct {
	store   registry.Store
	o       ImageOptions
	signers []signer.Checked
	mu      sync.Mutex
	done    int
	total   int
}

func newJob(store registry.Store, o ImageOptions, signers []Signer) (*job, error) {
	checked, err := checkSigners(signers)
	if err != nil {
		return nil, err
	}
	seen := make(map[registry.Format]bool)
	for _, f := range o.Formats {
		if f != registry.FormatBundle && f != registry.FormatSimpleSigning || seen[f] {
			return nil, fmt.Errorf("%w: format %.40q is not a signature's, or is given twice", ErrOptions, f)
		}
		seen[f] = true
	}
	for k, v := range o.Annotations {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: annotation %.60q is not UTF-8", ErrOptions, k)
		}
	}
	if o.MaxManifests <= 0 {
		o.MaxManifests = defaultMaxParts
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &job{store: store, o: o, signers: checked}, nil
}

// levels returns an index and everything it lists, each digest once. The first
// level lists nothing; each further level lists only digests of the levels before.
func (j *job) levels(ctx context.Context, root name.Digest) ([][]name.Digest, error) {
	w := walk{j: j, heights: make(map[string]int)}
	if _, err := w.visit(ctx, root, 0); err != nil {
		return nil, err
	}
	return w.levels, nil
}

// walk goes through an index, depth first.
type walk struct {
	j       *job
	heights map[string]int // by digest; 0 until its children were visited
	levels  [][]name.Digest
}

// visit puts d into its level, after everything that d lists, and returns the
// level.
func (w *walk) visit(ctx context.Context, d name.Digest, depth int) (height int, err error) {
	if height, known := w.heights[d.DigestStr()]; known {
		return height, w.check(depth + height)
	}
	w.heights[d.DigestStr()] = 0
	if err := w.check(depth); err != nil {
		return 0, err
	}
	children, err := w.j.children(ctx, d)
	if err != nil {
		return 0, err
	}
	if len(children) > w.j.o.MaxManifests {
		return 0, w.tooMany()
	}
	for _, c := range children {
		below, err := w.visit(ctx, c, depth+1)
		if err != nil {
			return 0, err
		}
		height = max(height, below+1)
	}
	w.heights[d.DigestStr()] = height
	for len(w.levels) <= height {
		w.levels = append(w.levels, nil)
	}
	w.levels[height] = append(w.levels[height], d)
	return height, nil
}

// check returns an error if there are too many manifests, or depth is too great.
func (w *walk) check(depth int) error {
	if len(w.heights) > w.j.o.MaxManifests || depth > maxIndexDepth {
		return w.tooMany()
	}
	return nil
}

func (w *walk) tooMany() error {
	return fmt.Errorf("%w: the index lists more than %d manifests, or nests deeper than %d", ErrOptions, w.j.o.MaxManifests, maxIndexDepth)
}

// children returns the images and indexes that an index lists, each once.
func (j *job) children(ctx context.Context, d name.Digest) ([]name.Digest, error) {
	m, err := registry.ReadManifest(ctx, j.store, d)
	if err != nil {
		return nil, err
	}
	doc, err := m.Parse()
	if err != nil {
		return nil, err
	}
	var children []name.Digest
	seen := make(map[v1.Hash]bool)
	for _, c := range doc.Manifests {
		if (c.MediaType.IsImage() || c.MediaType.IsIndex()) && !seen[c.Digest] {
			seen[c.Digest] = true
			children = append(children, d.Context().Digest(c.Digest.String()))
		}
	}
	return children, nil
}

// plan finds which signatures are missing and makes them, before any is attached: what
// fails, such as a log, leaves nothing behind.
func (j *job) plan(ctx context.Context, levels [][]name.Digest) ([][]planned, error) {
	subjects := slices.Concat(levels...)
	j.total = len(subjects)
	formats := j.o.Formats
	if len(formats) == 0 {
		formats = []registry.Format{registry.FormatBundle}
	}
	all, err := parallel.Map(ctx, parallelParts, subjects, func(ctx context.Context, subject name.Digest) (p planned, err error) {
		err = caught(subject, func() (err error) {
			p, err = j.manifest(ctx, subject, formats)
			return err
		})
		return p, err
	})
	if err != nil {
		return nil, err
	}
	plans := make([][]planned, 0, len(levels))
	for _, level := range levels {
		plans, all = append(plans, all[:len(level)]), all[len(level):]
	}
	return plans, nil
}

// level attaches the signatures of manifests in parallel.
func (j *job) level(ctx context.Context, plans []planned) ([]Signature, error) {
	made, err := parallel.Map(ctx, parallelParts, plans, func(ctx context.Context, p planned) (made []Signature, err error) {
		err = caught(p.subject, func() (err error) {
			if made, err = j.attach(ctx, p); err == nil {
				j.progress()
			}
			return err
		})
		return made, err
	})
	return slices.Concat(made...), err
}

// caught turns a panic of the store, or of Progress, into an error.
func caught(subject name.Digest, f func() error) error {
	err := panics.Caught(f)
	if _, ok := err.(*panics.Error); ok {
		return &registry.Error{Op: "sign", Ref: registry.SafeText(subject.String(), 200), Kind: registry.ErrUnavailable, Err: err}
	}
	return err
}

func (j *job) progress() {
	if j.o.Progress == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done++
	j.o.Progress(j.done, j.total)
}

// wanted is one signature that must be in the store in the end.
type wanted struct {
	signer signer.Checked
	format registry.Format
}

// planned are the signatures that a manifest is to have.
type planned struct {
	subject name.Digest
	pieces  []piece
}

// piece is a signature that is there already, or that was made and is to be attached.
type piece struct {
	wanted
	at      name.Digest
	existed bool
	made    evidence.Written
}

// manifest makes the signatures in formats that a manifest does not have yet.
func (j *job) manifest(ctx context.Context, subject name.Digest, formats []registry.Format) (planned, error) {
	p := planned{subject: subject}
	if _, err := registry.HashOf(subject); err != nil {
		return p, err
	}
	have, err := j.present(ctx, subject, formats)
	if err != nil {
		return p, err
	}
	for _, s := range j.signers {
		for _, f := range formats {
			next := piece{wanted: wanted{s, f}}
			if next.at, next.existed = have[next.id()]; !next.existed {
				if next.made, err = j.make(ctx, subject, next.wanted); err != nil {
					return p, err
				}
			}
			p.pieces = append(p.pieces, next)
		}
	}
	return p, nil
}

// attach attaches what was made. Where the caller has chosen no format and the registry
// can hold no bundles, it signs in the other format.
func (j *job) attach(ctx context.Context, p planned) ([]Signature, error) {
	made, err := j.attachAll(ctx, p)
	if len(j.o.Formats) > 0 || !errors.Is(err, registry.ErrNoBundles) {
		return made, err
	}
	if p, err = j.manifest(ctx, p.subject, []registry.Format{registry.FormatSimpleSigning}); err != nil {
		return nil, err
	}
	return j.attachAll(ctx, p)
}

func (j *job) attachAll(ctx context.Context, p planned) (all []Signature, err error) {
	for _, next := range p.pieces {
		if !next.existed {
			next.at, err = registry.Attach(ctx, j.store, p.subject, registry.Item{
				Format: next.format, Layer: next.made.Layer, ManifestAnnotations: next.made.ManifestAnnotations,
				Payload: next.made.Payload, Open: next.made.Open, Repository: j.o.EvidenceRepository,
			})
			if err != nil {
				return nil, err
			}
		}
		all = append(all, Signature{Subject: p.subject, KeyID: next.signer.Key.ID(), Format: next.format, Evidence: next.at, Existed: next.existed})
	}
	return settled(all), nil
}

// settled sets the manifest of all signatures under the .sig tag to the last one:
// each signature that is added there replaces the manifest.
func settled(all []Signature) []Signature {
	var last *Signature
	for i, s := range all {
		if s.Format == registry.FormatSimpleSigning && (last == nil || !s.Existed) {
			last = &all[i]
		}
	}
	for i, s := range all {
		if s.Format == registry.FormatSimpleSigning {
			all[i].Evidence = last.Evidence
		}
	}
	return all
}

func (w wanted) id() string { return string(w.format) + " " + w.signer.Key.ID() }

// maxOwnBytes is the default for how large evidence may be to be read when looking
// for signatures that are there already. No signer's signature is larger.
const maxOwnBytes = 1 << 20

// present finds the signers' own signatures in the places they are written to. It
// returns the manifests that carry them, by wanted.id. An attacker who attaches
// garbage must not keep a signer from signing: beyond the default limits, a
// signature may be added a second time. A store that refuses to be read does not
// keep it either: registry.Attach decides about that.
func (j *job) present(ctx context.Context, subject name.Digest, formats []registry.Format) (map[string]name.Digest, error) {
	have := make(map[string]name.Digest)
	limits := j.o.Limits
	if limits.MaxPayloadBytes <= 0 {
		limits.MaxPayloadBytes = maxOwnBytes
	}
	at := registry.EvidenceIn(j.o.EvidenceRepository, subject)
	for item, err := range registry.Evidence(ctx, j.store, at, limits, placesOf(formats)...) {
		switch {
		case err == nil:
		case item.Format == "" && registry.Refused(err):
			continue
		case registry.Unreadable(err), errors.Is(err, registry.ErrTooMany) && j.o.Limits != (registry.Limits{}):
			return nil, fmt.Errorf("evidence already there: %w", err)
		default:
			continue // garbage
		}
		for _, s := range j.signers {
			if j.isOurs(item, subject, s) {
				have[wanted{s, item.Format}.id()] = at.Context().Digest(item.Manifest.Digest.String())
			}
		}
	}
	return have, nil
}

// placesOf returns the places that signatures in formats are written to.
func placesOf(formats []registry.Format) (all []registry.Place) {
	for _, f := range formats {
		if f == registry.FormatBundle {
			all = append(all, registry.PlaceReferrers)
		} else {
			all = append(all, registry.PlaceSignatureTag)
		}
	}
	return all
}

// isOurs reports whether an item is the signature that the signer would make now:
// verified, for this digest, name and annotations.
func (j *job) isOurs(item registry.Item, subject name.Digest, s signer.Checked) bool {
	if item.Format != registry.FormatBundle && item.Format != registry.FormatSimpleSigning {
		return false
	}
	switch {
	case item.Format == registry.FormatSimpleSigning && item.Place != registry.PlaceSignatureTag,
		item.Format == registry.FormatBundle && item.Place != registry.PlaceReferrers:
		return false // other clients do not read it there
	}
	opened, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	if err != nil || opened.Hint != "" && opened.Hint != s.Key.Hint() ||
		!slices.ContainsFunc(opened.Signatures, func(sig []byte) bool { return s.Made(opened.Signed, sig) }) {
		return false
	}
	content, err := opened.Content()
	if err != nil {
		return false
	}
	if p := content.Simple; p != nil {
		return p.ManifestDigest == subject.DigestStr() && p.DockerReference == subject.Context().Name() &&
			maps.Equal(p.Annotations, j.o.Annotations)
	}
	st := content.Statement
	if st.PredicateType != intoto.PredicateSignature || len(st.Subjects) != 1 {
		return false
	}
	return st.Subjects[0].Digest["sha256"] == hexOf(subject) && maps.Equal(st.Subjects[0].Annotations, j.o.Annotations)
}

// hexOf returns the hex digits of a digest that has been checked.
func hexOf(d name.Digest) string { return d.DigestStr()[len("sha256:"):] }

// make makes a signature.
func (j *job) make(ctx context.Context, subject name.Digest, w wanted) (evidence.Written, error) {
	if w.format == registry.FormatBundle {
		return j.bundle(ctx, subject, w.signer)
	}
	return j.simple(ctx, subject, w.signer)
}

// bundle makes an image signature as cosign v3 does: a statement of the predicate
// type for signatures, in an envelope, in a bundle.
func (j *job) bundle(ctx context.Context, subject name.Digest, s signer.Checked) (evidence.Written, error) {
	statement := intoto.Statement{
		Type: intoto.StatementV1, PredicateType: intoto.PredicateSignature, Predicate: []byte("{}"),
		Subjects: []intoto.Subject{{Digest: map[string]string{"sha256": hexOf(subject)}, Annotations: j.o.Annotations}},
	}
	payload, err := statement.Marshal()
	if err != nil {
		return evidence.Written{}, err
	}
	envelope := dsse.New(dsse.PayloadTypeInToto, payload)
	signed, err := s.SignEnvelope(ctx, envelope, false)
	if err != nil {
		return evidence.Written{}, err
	}
	envelope.Signatures = [][]byte{signed.Signature}
	return evidence.WriteBundle(signed.Bundle(), envelope, intoto.PredicateSignature, j.o.Now())
}

// simple makes an image signature as cosign v2 does.
func (j *job) simple(ctx context.Context, subject name.Digest, s signer.Checked) (evidence.Written, error) {
	payload, err := (&simplesigning.Payload{
		DockerReference: subject.Context().Name(), ManifestDigest: subject.DigestStr(), Annotations: j.o.Annotations,
	}).Marshal()
	if err != nil {
		return evidence.Written{}, err
	}
	signed, err := s.SignPayload(ctx, payload)
	if err != nil {
		return evidence.Written{}, err
	}
	annotations, err := signed.Annotations()
	if err != nil {
		return evidence.Written{}, err
	}
	return evidence.WriteSimple(payload, signed.Signature, annotations), nil
}
