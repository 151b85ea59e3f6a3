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

// Attach adds one piece of evidence to subject, in the format that item.Format
// says, and returns the digest of the manifest that carries it. Of item it uses
// Format, Payload, Layer.MediaType, Layer.Annotations, ManifestAnnotations and
// Repository. A payload too large to be held may be given by Open; then Layer.Digest and
// Layer.Size describe it. With Repository, tags, manifests and blobs are written there.
// The subject itself is read from its own repository, and need not be in the other.
//
//   - FormatBundle: a manifest whose subject is subject, pushed by digest
//     (FORMATS: sigstore bundle as an OCI 1.1 referrer). Where the store does
//     not index subjects the fallback tag is updated too.
//   - FormatSimpleSigning, FormatEnvelope: one more layer under cosign's tag
//     sha256-<hex>.sig or .att. A manifest there that says it is about another
//     image is made one about this.
//
// Concurrent writers lose nothing: tags are changed under a condition where the
// store knows conditions, read back, merged again and written again. A tag that would
// grow beyond 4 MiB, which readers do not take, is ErrTooLarge and stays as it is.
//
// Attach reads back what it has written, as a reader of evidence would: the list or
// tag that names it, and its content, which is not held. A registry may list what it
// has taken a moment later, so Attach looks again for about a second. What could not be
// confirmed is ErrNotConfirmed: nothing may rest on it yet; attach it again.
func Attach(ctx context.Context, s Store, subject name.Digest, item Item) (name.Digest, error) {
	at, err := attach(ctx, s, subject, item)
	if err == nil {
		err = confirm(ctx, s, EvidenceIn(item.Repository, subject), item, at)
	}
	return at, err
}

// attach writes the item.
func attach(ctx context.Context, s Store, subject name.Digest, item Item) (name.Digest, error) {
	if _, err := HashOf(subject); err != nil {
		return name.Digest{}, err
	}
	switch item.Format {
	case FormatBundle:
		return attachReferrer(ctx, s, subject, item)
	case FormatSimpleSigning, FormatEnvelope:
		tag, err := tagOfFormat(EvidenceIn(item.Repository, subject), item.Format)
		if err != nil {
			return name.Digest{}, err
		}
		return attachLayer(ctx, s, subject, tag, item)
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

func attachReferrer(ctx context.Context, s Store, subject name.Digest, item Item) (name.Digest, error) {
	digest, err := HashOf(subject)
	if err != nil {
		return name.Digest{}, err
	}
	var about v1.Descriptor
	place := EvidenceIn(item.Repository, subject)
	err = together(ctx,
		func(ctx context.Context) error { return pushBytes(ctx, s, place.Context(), []byte(oci.EmptyConfig)) },
		func(ctx context.Context) error { return pushPayload(ctx, s, place.Context(), item) },
		func(ctx context.Context) (err error) { about, err = s.Resolve(ctx, subject); return err },
	)
	if err != nil {
		return name.Digest{}, err
	}
	if about.Digest != digest {
		return name.Digest{}, &Error{Op: "attach to", Ref: text(subject), Kind: ErrDigestMismatch, Detail: "the store says that it is " + about.Digest.String()}
	}
	annotations := withContent(about, item)
	m := referrerManifest(about, layerOf(item), annotations)
	entry := m.Descriptor
	entry.ArtifactType, entry.Annotations = string(item.Layer.MediaType), annotations
	return pushReferrer(ctx, s, place, m, entry)
}

// pushReferrer stores a manifest that has a subject, and lists it under the
// fallback tag where the store does not index subjects. A store that may be such
// a one is asked for the tag while the manifest is sent.
func pushReferrer(ctx context.Context, s Store, subject name.Digest, m Manifest, entry v1.Descriptor) (name.Digest, error) {
	at := subject.Context().Digest(m.Descriptor.Digest.String())
	var stored name.Digest
	push := func(ctx context.Context) (unlisted bool, err error) {
		report, err := s.PushManifest(ctx, at, m, PushOptions{})
		if err == nil {
			stored = at
		}
		return !report.SubjectIndexed, err
	}
	if w, ok := s.(TagWriter); ok && w.MayLackReferrers(subject.Context()) {
		err := addToFallback(ctx, s, subject, push, entry)
		return stored, err
	}
	unlisted, err := push(ctx)
	if err == nil && unlisted {
		err = addToFallback(ctx, s, subject, nil, entry)
	}
	return stored, err
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
	return changeTag(ctx, s, tag, func(doc *oci.Document) (*Manifest, error) {
		return withLayers(ctx, s, subject, tag, doc, add)
	})
}

// withLayers is what a tag with evidence about subject has to hold so that the
// layers are in it too, or nil where they are. A manifest that says it is about
// another was put there by mistake or malice, and nobody reads evidence from it:
// what it says is dropped.
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

// inlineWithin drops what is repeated inside a manifest beyond so many bytes in
// all: a tag's manifest gathers all that is attached this way, and must stay small
// enough for registries.
func inlineWithin(layers []v1.Descriptor, most int) []v1.Descriptor {
	layers = slices.Clone(layers)
	for i := range layers {
		if most -= len(layers[i].Data); most < 0 {
			layers[i].Data = nil
		}
	}
	return layers
}

// union is a tag's layers with those that it lacks, each once: an attacker may have
// named one so often that there is no room for more.
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

// relisted is a list of referrers with entries that it lacks. Readers go by the
// first entry of a digest: one that differs, by mistake or malice, is replaced.
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
// Distribution Specification v1.1, "Referrers Tag Schema"). first is as in
// changeTagAfter.
func addToFallback(ctx context.Context, s Store, subject name.Digest, first func(context.Context) (bool, error), entries ...v1.Descriptor) error {
	digest, err := HashOf(subject)
	if err != nil {
		return err
	}
	tag := subject.Context().Tag(oci.DigestTag(digest))
	_, err = changeTagAfter(ctx, s, tag, first, func(doc *oci.Document) (*Manifest, error) {
		w := wireIndex{SchemaVersion: 2, MediaType: oci.MediaTypeIndex}
		if doc != nil {
			if !doc.IsIndex {
				return nil, occupied(tag)
			}
			w.Manifests, w.Annotations = doc.Manifests, doc.Annotations
		}
		w.Manifests = listedWithin(relisted(w.Manifests, entries), maxListedInFallback)
		if doc != nil && slices.EqualFunc(doc.Manifests, w.Manifests, sameEntry) {
			return nil, nil
		}
		m := written(w.MediaType, w)
		return &m, nil
	})
	return err
}

// occupied says that a tag which belongs to evidence holds something else.
// Overwriting it could destroy what somebody needs.
func occupied(tag name.Tag) error {
	return &Error{Op: "attach under", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrMalformed,
		Detail: "the tag holds something other than evidence; remove it, then attach again"}
}
