package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/oci"
)

// MaxInlineBytes is up to what size, in all, Attach repeats payloads inside the
// manifest that carries them (the descriptor's "data", OCI descriptor.md), which
// saves a verifier a round trip.
const MaxInlineBytes = 16 << 10

// The fallback tag and cosign's tags are changed by reading, merging and
// writing, which no registry does in one step. A writer therefore looks again
// later than another writer may take from its read to its write, and adds what
// got lost: after tagSettle, or after tagPatience times what it took itself,
// since a slow registry or machine is slow for the others too.
const (
	tagSettle   = 150 * time.Millisecond
	tagPatience = 4
	tagAttempts = 40
)

// Attach adds one piece of evidence to subject, in the format that item.Format
// says, and returns the digest of the manifest that carries it. Of item it uses
// Format, Payload, Layer.MediaType, Layer.Annotations and ManifestAnnotations; a
// payload too large to be held may be given by Open, and then Layer.Digest and
// Layer.Size describe it.
//
//   - FormatBundle: a manifest whose subject is subject, pushed by digest
//     (FORMATS: sigstore bundle as an OCI 1.1 referrer). Where the store does
//     not index subjects the fallback tag is updated too.
//   - FormatSimpleSigning, FormatEnvelope: one more layer under cosign's tag
//     sha256-<hex>.sig or .att.
//
// Concurrent writers lose nothing: tags are changed under a condition where the
// store knows conditions, read back, merged again and written again. What could
// not be confirmed is ErrUnconfirmed: the evidence may be missing from the list
// although its manifest is stored; attach it again.
func Attach(ctx context.Context, s Store, subject name.Digest, item Item) (name.Digest, error) {
	if _, err := HashOf(subject); err != nil {
		return name.Digest{}, err
	}
	switch item.Format {
	case FormatBundle:
		return attachReferrer(ctx, s, subject, item)
	case FormatSimpleSigning, FormatEnvelope:
		tag, err := tagOfFormat(subject, item.Format)
		if err != nil {
			return name.Digest{}, err
		}
		return attachLayer(ctx, s, tag, item)
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
	var about v1.Descriptor
	err := together(ctx,
		func(ctx context.Context) error { return pushBytes(ctx, s, subject.Context(), []byte(oci.EmptyConfig)) },
		func(ctx context.Context) error { return pushPayload(ctx, s, subject.Context(), item) },
		func(ctx context.Context) (err error) { about, err = s.Resolve(ctx, subject); return err },
	)
	if err != nil {
		return name.Digest{}, err
	}
	annotations := withContent(about, item)
	m := referrerManifest(about, layerOf(item), annotations)
	entry := m.Descriptor
	entry.ArtifactType, entry.Annotations = string(item.Layer.MediaType), annotations
	return pushReferrer(ctx, s, subject, m, entry)
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
	if w, ok := s.(tagWriter); ok && w.mayLackReferrers(subject.Context()) {
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
	if len(item.Payload) <= MaxInlineBytes {
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
	return w.PushBlob(ctx, repo.Digest(hashOf(data).String()), int64(len(data)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}

// together runs functions side by side, cancels the others when one fails, and
// returns the first error once all have ended.
func together(ctx context.Context, fs ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for _, f := range fs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			_, err := caught("read or write", "", func() (struct{}, error) { return struct{}{}, f(ctx) })
			if err != nil {
				once.Do(func() { first = err; cancel(err) })
			}
		}()
	}
	wg.Wait()
	return first
}

// attachLayer adds the item's layer to a tag of cosign's.
func attachLayer(ctx context.Context, s Store, tag name.Tag, item Item) (name.Digest, error) {
	if err := pushPayload(ctx, s, tag.Context(), item); err != nil {
		return name.Digest{}, err
	}
	return addLayers(ctx, s, tag, []v1.Descriptor{layerOf(item)})
}

// mergeLayers adds the layers of a cosign tag's manifest, whose blobs are there
// already, to the same tag in s, and drops none that s has.
func mergeLayers(ctx context.Context, s Store, tag name.Tag, src Manifest) error {
	doc, err := oci.Parse(string(src.Descriptor.MediaType), src.Bytes)
	if err != nil {
		return &Error{Op: "merge into", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrMalformed, Err: err}
	}
	_, err = addLayers(ctx, s, tag, doc.Layers)
	return err
}

func addLayers(ctx context.Context, s Store, tag name.Tag, add []v1.Descriptor) (name.Digest, error) {
	return changeTag(ctx, s, tag, func(doc *oci.Document) (*Manifest, error) {
		w := wireManifest{}
		if doc != nil {
			if doc.IsIndex {
				return nil, occupied(tag)
			}
			w.Layers, w.Annotations, w.Subject, w.ArtifactType = doc.Layers, doc.Annotations, doc.Subject, doc.ArtifactType
		}
		before := len(w.Layers)
		w.Layers = union(w.Layers, add, func(a, b v1.Descriptor) bool {
			return a.Digest == b.Digest && reflect.DeepEqual(a.Annotations, b.Annotations)
		})
		if doc != nil && len(w.Layers) == before {
			return nil, nil
		}
		return withConfig(ctx, s, tag.Context(), w)
	})
}

// withConfig stores the config that cosign gives a manifest of these layers, and
// writes the manifest with it.
func withConfig(ctx context.Context, s Store, repo name.Repository, w wireManifest) (*Manifest, error) {
	config := cosignConfig(w.Layers)
	w.Config = config.Descriptor
	w.Layers = inlineWithin(w.Layers, MaxInlineBytes)
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

func union(have, add []v1.Descriptor, same func(a, b v1.Descriptor) bool) []v1.Descriptor {
	all := append([]v1.Descriptor(nil), have...)
next:
	for _, d := range add {
		for _, h := range all {
			if same(h, d) {
				continue next
			}
		}
		all = append(all, d)
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
	tag := subject.Context().Tag(digestTag(digest))
	_, err = changeTagAfter(ctx, s, tag, first, func(doc *oci.Document) (*Manifest, error) {
		w := wireIndex{SchemaVersion: 2, MediaType: oci.MediaTypeIndex}
		if doc != nil {
			if !doc.IsIndex {
				return nil, occupied(tag)
			}
			w.Manifests, w.Annotations = doc.Manifests, doc.Annotations
		}
		before := len(w.Manifests)
		w.Manifests = union(w.Manifests, entries, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest })
		if doc != nil && len(w.Manifests) == before {
			return nil, nil
		}
		w.Manifests = listedWithin(w.Manifests, maxListedInFallback)
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

// changeTag changes what a tag holds until a look at it shows the change. merge
// gets the tag's document, or nil where there is no tag, and returns what to
// write, or nil where nothing is missing.
func changeTag(ctx context.Context, s Store, tag name.Tag, merge func(*oci.Document) (*Manifest, error)) (name.Digest, error) {
	return changeTagAfter(ctx, s, tag, nil, merge)
}

// changeTagAfter is changeTag that does something first, unless that is nil, while
// it reads the tag: what the tag is to list must be there before it. first reports
// whether the tag is to be changed at all.
func changeTagAfter(
	ctx context.Context, s Store, tag name.Tag, first func(context.Context) (bool, error), merge func(*oci.Document) (*Manifest, error),
) (name.Digest, error) {
	for range tagAttempts {
		start := time.Now()
		held, done, err := changeOnce(ctx, s, tag, first, merge)
		first = nil
		wait := max(tagSettle, tagPatience*time.Since(start))
		switch {
		case !done && errors.Is(err, ErrConflict):
			wait = 0 // nothing was written that could get lost
		case err != nil || done:
			return held, err
		}
		// Writers that collided would collide again if they waited alike.
		if err := sleep(ctx, wait+rand.N(tagSettle)); err != nil {
			return name.Digest{}, err
		}
	}
	return name.Digest{}, &Error{Op: "attach under", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrUnconfirmed,
		Detail: fmt.Sprintf("other writers changed the tag %d times; attach again", tagAttempts)}
}

// tagWriter is a Store that many may write to at a time.
type tagWriter interface {
	// lockTag lets the writers of this process change a tag one after another.
	lockTag(ctx context.Context, tag string) (unlock func(), err error)
	// mayLackReferrers reports whether the store has not shown that it has the
	// referrers API.
	mayLackReferrers(repo name.Repository) bool
}

// changeOnce reads, merges and writes. done: nothing more is to be done, and held,
// without an error, is what the tag holds.
func changeOnce(
	ctx context.Context, s Store, tag name.Tag, first func(context.Context) (bool, error), merge func(*oci.Document) (*Manifest, error),
) (held name.Digest, done bool, err error) {
	if w, ok := s.(tagWriter); ok {
		unlock, err := w.lockTag(ctx, tag.String())
		if err != nil {
			return name.Digest{}, false, err
		}
		defer unlock()
	}
	current, doc, wanted, err := readTagBeside(ctx, s, tag, first)
	if err != nil || !wanted {
		return name.Digest{}, true, err
	}
	next, err := merge(doc)
	if err != nil {
		return name.Digest{}, false, err
	}
	if next == nil {
		return tag.Context().Digest(current.Descriptor.Digest.String()), true, nil
	}
	report, err := s.PushManifest(ctx, tag, *next, PushOptions{IfMatch: current.ETag, IfAbsent: doc == nil})
	return tag.Context().Digest(next.Descriptor.Digest.String()), report.Atomic, err
}

// readTagBeside reads a tag while it does something else, unless that is nil,
// which reports whether the tag is wanted. Where it is not, nothing about the tag
// is an error.
func readTagBeside(
	ctx context.Context, s Store, tag name.Tag, something func(context.Context) (bool, error),
) (m Manifest, doc *oci.Document, wanted bool, err error) {
	if something == nil {
		m, doc, err = readTag(ctx, s, tag)
		return m, doc, true, err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	read := background("read", text(tag), func() (_ struct{}, err error) {
		m, doc, err = readTag(reading, s, tag)
		return struct{}{}, err
	})
	if wanted, failed = something(ctx); failed != nil || !wanted {
		cancel() // and wait, so that nothing is left behind
	}
	_, err = read()
	if failed != nil || !wanted {
		err = failed
	}
	return m, doc, wanted, err
}

func readTag(ctx context.Context, s Store, tag name.Tag) (Manifest, *oci.Document, error) {
	m, err := ReadManifest(ctx, s, tag)
	if errors.Is(err, ErrNotFound) {
		return Manifest{}, nil, nil
	}
	if err != nil {
		return m, nil, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return m, nil, &Error{Op: "attach under", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrMalformed, Err: err}
	}
	return m, doc, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
