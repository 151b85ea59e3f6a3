package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// Attach adds one piece of evidence to subject, and returns the digest of the
// manifest that carries it. The format of item says how it is stored:
//
//   - FormatBundle: a manifest with subject as its subject, pushed by digest. If the
//     store does not index subjects, the fallback tag is updated too.
//   - FormatSimpleSigning, FormatEnvelope: one more layer under cosign's tag
//     sha256-<hex>.sig or .att. If the manifest there names another subject, its
//     subject is removed.
//
// Attach uses the fields Format, Payload, Layer.MediaType, Layer.Annotations,
// ManifestAnnotations and Repository of item. With Repository, tags, manifests and blobs
// are written there; the subject is read from its own repository. A payload that is too large for memory is given by
// Open; then Layer.Digest and Layer.Size describe it.
//
// Concurrent writers lose nothing. Attach changes a tag under a condition where the
// store knows conditions, reads it back, and merges and writes again where an entry
// is missing. A tag that would grow beyond 4 MiB, which readers refuse, is
// ErrTooLarge and stays as it is.
//
// Attach reads back what it has written, as a reader of evidence would: the list or
// tag that names it, and its content. A registry may list new content late, so Attach
// looks again for about a second, and pushes a manifest again that is not listed.
// ErrNotConfirmed says that it did not find what it wrote: do not rely on it, and attach
// it again.
//
// Some registries refuse to read tags that do not exist. Attach takes a refusal for "not
// found" if a random tag gets the same answer and content of the repository can be read
// back. ErrNoBundles says that the registry can hold no bundles for subject, and
// ErrImmutable that it does not let the tag be changed.
func Attach(ctx context.Context, s Store, subject name.Digest, item Item) (name.Digest, error) {
	if _, err := HashOf(subject); err != nil {
		return name.Digest{}, err
	}
	switch item.Format {
	case FormatBundle:
		r, err := newReferrer(ctx, s, subject, item)
		if err != nil {
			return name.Digest{}, err
		}
		if err := r.attach(ctx); err != nil {
			return r.stored, err
		}
		return r.at(), confirm(ctx, s, r.subject, item, r.at(), r.again)
	case FormatSimpleSigning, FormatEnvelope:
		tag, err := tagOfFormat(EvidenceIn(item.Repository, subject), item.Format)
		if err != nil {
			return name.Digest{}, err
		}
		at, err := attachLayer(ctx, s, subject, tag, item)
		if err == nil {
			err = confirm(ctx, s, EvidenceIn(item.Repository, subject), item, at, nil)
		}
		return at, err
	}
	return name.Digest{}, &Error{Op: "attach to", Ref: SafeText(subject.String(), maxErrorText), Kind: ErrUnsupported,
		Detail: fmt.Sprintf("format %.40q cannot be written", item.Format)}
}

// wireManifest is a manifest in the order of fields that cosign writes.
type wireManifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        v1.Descriptor     `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
	Subject       *v1.Descriptor    `json:"subject,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
}

// referrer is a manifest of evidence that refers to subject, which is written with the
// repository that holds the evidence.
type referrer struct {
	s       Store
	subject name.Digest
	m       Manifest
	entry   v1.Descriptor // by which lists name it
	stored  name.Digest   // zero until it was stored
	lost    int           // how often it was stored, and not listed
}

// newReferrer stores the content of a referrer, and makes its manifest.
func newReferrer(ctx context.Context, s Store, subject name.Digest, item Item) (*referrer, error) {
	digest, err := HashOf(subject)
	if err != nil {
		return nil, err
	}
	var about v1.Descriptor
	place := EvidenceIn(item.Repository, subject)
	err = together(ctx,
		func(ctx context.Context) error { return pushBytes(ctx, s, place.Context(), []byte(oci.EmptyConfig)) },
		func(ctx context.Context) error { return pushPayload(ctx, s, place.Context(), item) },
		func(ctx context.Context) (err error) { about, err = s.Resolve(ctx, subject); return err },
	)
	if err != nil {
		return nil, err
	}
	if about.Digest != digest {
		return nil, &Error{Op: "attach to", Ref: text(subject), Kind: ErrDigestMismatch, Detail: "the store says that it is " + about.Digest.String()}
	}
	annotations := withContent(about, item)
	r := &referrer{s: s, subject: place, m: referrerManifest(about, layerOf(item), annotations)}
	r.entry = r.m.Descriptor
	r.entry.ArtifactType, r.entry.Annotations = string(item.Layer.MediaType), annotations
	return r, nil
}

func (r *referrer) at() name.Digest {
	return r.subject.Context().Digest(r.m.Descriptor.Digest.String())
}

// attach stores the manifest, and lists it under the fallback tag where the store does
// not index subjects. The tag is read while the manifest is sent if the store may need it.
func (r *referrer) attach(ctx context.Context) error {
	if r.mayBeUnlisted() {
		return addToFallback(ctx, r.s, r.subject, r.push, r.entry)
	}
	unlisted, err := r.push(ctx)
	if err == nil && unlisted {
		err = addToFallback(ctx, r.s, r.subject, nil, r.entry)
	}
	return err
}

func (r *referrer) push(ctx context.Context) (unlisted bool, err error) {
	report, err := r.s.PushManifest(ctx, r.at(), r.m, PushOptions{})
	if err == nil {
		r.stored = r.at()
	}
	return !report.SubjectIndexed, err
}

// again attaches a referrer that the store has taken and does not list: registries lose
// some that are pushed at the same time, and some say that they index subjects and do
// not (sigstore/sigstore-js#1183).
func (r *referrer) again(ctx context.Context) error {
	if r.lost++; r.lost > 1 && r.mayBeUnlisted() {
		return addToFallback(ctx, r.s, r.subject, nil, r.entry)
	}
	return r.attach(ctx)
}

func (r *referrer) mayBeUnlisted() bool { return mayLackReferrers(r.s, r.subject.Context()) }

func mayLackReferrers(s Store, repo name.Repository) bool {
	w, ok := s.(TagWriter)
	return ok && w.MayLackReferrers(repo)
}

// layerOf describes the item's payload.
func layerOf(item Item) v1.Descriptor {
	if item.Payload == nil && item.Open != nil {
		return item.Layer
	}
	layer := describe(string(item.Layer.MediaType), item.Payload).Descriptor
	layer.Annotations = item.Layer.Annotations
	if len(item.Payload) <= evidence.MaxInlineBytes {
		layer.Data = item.Payload
	}
	return layer
}

func marshalManifest(w wireManifest) Manifest {
	w.SchemaVersion, w.MediaType = 2, oci.MediaTypeManifest
	return written(w.MediaType, w)
}

func pushPayload(ctx context.Context, w Writer, repo name.Repository, item Item) error {
	if item.Payload == nil && item.Open != nil {
		return w.PushBlob(ctx, repo.Digest(item.Layer.Digest.String()), item.Layer.Size, item.Open)
	}
	return pushBytes(ctx, w, repo, item.Payload)
}

func pushBytes(ctx context.Context, w Writer, repo name.Repository, data []byte) error {
	return w.PushBlob(ctx, repo.Digest(oci.Digest(data).String()), int64(len(data)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}

// together runs functions side by side, cancels the others when one fails, and
// returns the first error once all have ended.
func together(ctx context.Context, fs ...func(context.Context) error) error {
	return asError("read or write", "", parallel.Together(ctx, fs...))
}

// attachLayer adds the item's layer to a tag of cosign's.
func attachLayer(ctx context.Context, s Store, subject name.Digest, tag name.Tag, item Item) (name.Digest, error) {
	digest, err := HashOf(subject)
	if err != nil {
		return name.Digest{}, err
	}
	if err := pushPayload(ctx, s, tag.Context(), item); err != nil {
		return name.Digest{}, err
	}
	return addLayers(ctx, s, digest, tag, []v1.Descriptor{layerOf(item)})
}

// addLayers adds layers to a tag that holds evidence about subject.
func addLayers(ctx context.Context, s Store, subject v1.Hash, tag name.Tag, add []v1.Descriptor) (name.Digest, error) {
	c := &tagChange{s: s, tag: tag, adds: true, merge: func(held heldTag) (*Manifest, error) {
		return withLayers(ctx, s, subject, tag, held.doc, add)
	}}
	return c.run(ctx)
}

// withLayers returns what a tag with evidence about subject must hold to have the
// layers too; nil: it has them. Readers ignore a manifest that names another subject, by
// mistake or malice, and withLayers drops that subject.
func withLayers(ctx context.Context, s Store, subject v1.Hash, tag name.Tag, doc *oci.Document, add []v1.Descriptor) (*Manifest, error) {
	if doc == nil {
		return withConfig(ctx, s, tag.Context(), wireManifest{Layers: union(nil, add)})
	}
	if doc.IsIndex {
		return nil, occupied(tag)
	}
	have := union(nil, doc.Layers)
	w := wireManifest{Layers: union(doc.Layers, add), Annotations: doc.Annotations, Subject: doc.Subject, ArtifactType: doc.ArtifactType}
	if !isAbout(doc, subject, tag) {
		w.Subject = nil
	} else if len(w.Layers) == len(have) {
		return nil, nil
	}
	return withConfig(ctx, s, tag.Context(), w)
}

// withConfig stores the config that cosign gives a manifest of these layers, and
// writes the manifest with it.
func withConfig(ctx context.Context, s Store, repo name.Repository, w wireManifest) (*Manifest, error) {
	config := cosignConfig(w.Layers)
	w.Config = config.Descriptor
	w.Layers = inlineWithin(w.Layers, evidence.MaxInlineBytes)
	if err := pushBytes(ctx, s, repo, config.Bytes); err != nil {
		return nil, err
	}
	m := marshalManifest(w)
	return &m, nil
}

// inlineWithin keeps as much inline data as fits into most bytes. The manifest of a
// tag gathers all that is attached this way, and must stay small enough for
// registries.
func inlineWithin(layers []v1.Descriptor, most int) []v1.Descriptor {
	layers = slices.Clone(layers)
	for i := range layers {
		if most -= len(layers[i].Data); most < 0 {
			layers[i].Data = nil
		}
	}
	return layers
}

// union returns a tag's layers and those that it lacks, each once. An attacker may
// have repeated a layer until the tag was full.
func union(have, add []v1.Descriptor) []v1.Descriptor {
	all := make([]v1.Descriptor, 0, len(have)+len(add))
	known := make(map[layerID]bool, len(have)+len(add))
	for _, d := range slices.Concat(have, add) {
		if id := idOf(d); !known[id] {
			known[id] = true
			all = append(all, d)
		}
	}
	return all
}

// layerID is the same for layers that sameLayer finds to be the same piece.
type layerID [sha256.Size]byte

func idOf(d v1.Descriptor) (id layerID) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %q", d.MediaType, d.Size, d.Digest.String())
	for _, k := range slices.Sorted(maps.Keys(d.Annotations)) {
		fmt.Fprintf(h, " %q %q", k, d.Annotations[k])
	}
	h.Sum(id[:0])
	return id
}

// sameLayer reports whether two layers are the same piece of evidence: signatures
// over the same payload differ in their annotations, and readers go by the media
// type.
func sameLayer(a, b v1.Descriptor) bool {
	return oci.SameContent(a, b) && maps.Equal(a.Annotations, b.Annotations)
}

// sameEntry reports whether two entries of a list of referrers say the same.
func sameEntry(a, b v1.Descriptor) bool {
	return sameLayer(a, b) && a.ArtifactType == b.ArtifactType
}

// relisted returns a list of referrers and the entries that it lacks. Readers use the
// first entry of a digest, so an entry that differs, by mistake or malice, is replaced.
func relisted(have, entries []v1.Descriptor) []v1.Descriptor {
	missing := make(map[v1.Hash]v1.Descriptor, len(entries))
	for _, e := range entries {
		missing[e.Digest] = e
	}
	ours := maps.Clone(missing)
	all := make([]v1.Descriptor, 0, len(have)+len(entries))
	for _, h := range have {
		if e, first := missing[h.Digest]; first {
			all = append(all, e)
			delete(missing, h.Digest)
		} else if _, again := ours[h.Digest]; !again {
			all = append(all, h)
		}
	}
	for _, e := range entries {
		if _, left := missing[e.Digest]; left {
			all = append(all, e)
			delete(missing, e.Digest)
		}
	}
	return all
}

// cosignConfig is the image config that cosign gives its manifests: one history
// entry and one diff ID for each layer.
func cosignConfig(layers []v1.Descriptor) Manifest {
	type history struct {
		Created string `json:"created"`
	}
	type rootfs struct {
		Type    string    `json:"type"`
		DiffIDs []v1.Hash `json:"diff_ids"`
	}
	const never = "0001-01-01T00:00:00Z"
	config := struct {
		Architecture string    `json:"architecture"`
		Created      string    `json:"created"`
		History      []history `json:"history"`
		OS           string    `json:"os"`
		RootFS       rootfs    `json:"rootfs"`
		Config       struct{}  `json:"config"`
	}{Created: never, RootFS: rootfs{Type: "layers"}}
	for _, l := range layers {
		config.History = append(config.History, history{never})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.Digest)
	}
	return written(oci.MediaTypeConfig, config)
}

// wireIndex is an index as the fallback tag holds it.
type wireIndex struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []v1.Descriptor   `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// addToFallback adds referrers to the index under the fallback tag (OCI
// Distribution Specification v1.1, "Referrers Tag Schema"). first is as in tagChange.
func addToFallback(ctx context.Context, s Store, subject name.Digest, first func(context.Context) (bool, error), entries ...v1.Descriptor) error {
	digest, err := HashOf(subject)
	if err != nil {
		return err
	}
	tag := subject.Context().Tag(oci.DigestTag(digest))
	c := &tagChange{s: s, tag: tag, first: first, adds: true, merge: func(held heldTag) (*Manifest, error) {
		switch {
		case held.Descriptor.Digest == digest:
			return nil, noBundles(tag)
		case !held.holdsReferrers(digest):
			return nil, occupied(tag)
		}
		return withEntries(held.doc, entries), nil
	}}
	_, err = c.run(ctx)
	return err
}

// withEntries returns the index of a fallback tag with entries; nil: doc has them.
func withEntries(doc *oci.Document, entries []v1.Descriptor) *Manifest {
	w := wireIndex{SchemaVersion: 2, MediaType: oci.MediaTypeIndex}
	if doc != nil {
		w.Manifests, w.Annotations = doc.Manifests, doc.Annotations
	}
	w.Manifests = listedWithin(relisted(w.Manifests, entries), maxListedInFallback)
	if doc != nil && slices.EqualFunc(doc.Manifests, w.Manifests, sameEntry) {
		return nil
	}
	m := written(w.MediaType, w)
	return &m
}

// occupied says that a tag which belongs to evidence holds something else, which is
// not overwritten.
func occupied(tag name.Tag) error {
	return &Error{Op: "attach under", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrMalformed,
		Detail: "the tag holds something other than evidence, and is not overwritten"}
}
