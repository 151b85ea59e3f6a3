package gate

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// manifest is a parsed manifest or index that has its digest.
type manifest struct {
	bytes     []byte
	digest    string
	mediaType string
	doc       *oci.Document
	// weighs is about how much memory it takes.
	weighs int64
	// passes is set once it passed. It is then kept with others that passed.
	passes atomic.Bool
}

func (m *manifest) descriptor() v1.Descriptor {
	h, _ := v1.NewHash(m.digest) // it was computed
	return v1.Descriptor{MediaType: types.MediaType(m.mediaType), Digest: h, Size: int64(len(m.bytes))}
}

func (m *manifest) weight() int64 { return m.weighs }

// weigh counts what was parsed too: a few bytes of JSON become a descriptor, a platform and
// a map. The text is held twice.
func weigh(m *manifest) int64 {
	const manifest, descriptor, platform, annotations, entry, text = 1024, 300, 150, 350, 50, 16
	n := int64(manifest + 2*len(m.bytes) + entry*len(m.doc.Annotations))
	for d := range listedBy(m) {
		n += int64(descriptor + len(d.Data) + text*len(d.URLs))
		if p := d.Platform; p != nil {
			n += int64(platform + text*(len(p.OSFeatures)+len(p.Features)))
		}
		if d.Annotations != nil {
			n += int64(annotations + entry*len(d.Annotations))
		}
	}
	return n
}

// newManifest checks and parses what a reader returned.
func newManifest(ctx context.Context, m registry.Manifest) (*manifest, error) {
	doc, err := parse(ctx, string(m.Descriptor.MediaType), m.Bytes)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		kind := registry.ErrMalformed
		if errors.Is(err, oci.ErrUnsupported) {
			kind = registry.ErrUnsupported
		}
		return nil, &registry.Error{Op: "read manifest", Ref: m.Descriptor.Digest.String(), Kind: kind, Err: err}
	}
	read := &manifest{bytes: m.Bytes, digest: m.Descriptor.Digest.String(), mediaType: doc.MediaType, doc: doc}
	read.weighs = weigh(read)
	return read, nil
}

// parse is oci.Parse within the budget.
func parse(ctx context.Context, mediaType string, text []byte) (*oci.Document, error) {
	leave, err := budget.Parse(ctx, text)
	if err != nil {
		return nil, err
	}
	defer leave()
	return oci.Parse(mediaType, text)
}

// manifests are those that the gate has read, from memory, Config.Store or an upstream.
// They are no decisions.
type manifests struct {
	held    *lru.Cache[string, *manifest]
	store   *store.Store // nil: none
	reading singleflight.Group[readKey, *manifest]
	logger  *slog.Logger
}

// The shelves of manifests.held. Manifests that passed have their own: what is denied, or
// is evidence, displaces nothing good.
const (
	passedShelf = iota
	readShelf
)

// minUnjudged is room for what one judgement reads: none of it is read twice.
const minUnjudged = 1 << 20

func newManifests(c *Config) *manifests {
	return &manifests{
		held:  lru.New[string]((*manifest).weight, c.MaxManifests, max(c.MaxManifests/4, minUnjudged)),
		store: c.Store, logger: c.Logger,
	}
}

// readKey names something that is read from an upstream.
type readKey struct {
	from *origin
	what string
}

// byDigest returns a manifest.
func (ms *manifests) byDigest(ctx context.Context, p pull, digest string) (*manifest, error) {
	if m, ok := ms.here(ctx, digest); ok {
		return m, nil
	}
	return ms.reading.Do(ctx, readKey{p.from, p.repo.Name() + "@" + digest}, func(ctx context.Context) (*manifest, error) {
		if m, ok := ms.held.Get(digest); ok {
			return m, nil // read between the look above and now
		}
		return ms.fetch(ctx, p, p.digest(digest))
	})
}

// fetch reads a manifest from an upstream.
func (ms *manifests) fetch(ctx context.Context, p pull, ref name.Reference) (*manifest, error) {
	ctx, end := budget.Scope(ctx)
	defer end()
	read, err := registry.ReadManifest(ctx, p.from, ref)
	if err != nil {
		return nil, err
	}
	m, err := newManifest(ctx, read)
	if err == nil {
		ms.keep(m)
	}
	return m, err
}

// here returns a manifest from memory or the store.
func (ms *manifests) here(ctx context.Context, digest string) (*manifest, bool) {
	if m, ok := ms.held.Get(digest); ok {
		return m, true
	}
	m := ms.stored(ctx, digest)
	if m != nil {
		ms.keep(m)
	}
	return m, m != nil
}

// keep keeps a manifest in memory that was not judged. One that passed, in any repository,
// stays on its shelf.
func (ms *manifests) keep(m *manifest) {
	if known, ok := ms.held.Get(m.digest); !ok || !known.passes.Load() {
		ms.held.PutOn(readShelf, m.digest, m)
	}
}

// pass keeps a manifest with others that passed. Evidence stays on its shelf: an attacker
// who can push can attach any amount.
func (ms *manifests) pass(m *manifest, evidence bool) {
	if evidence || m.passes.Load() || m.passes.Swap(true) {
		return
	}
	ms.held.PutOn(passedShelf, m.digest, m)
}

// save puts a manifest that passes into the store. A failure to store does not deny it.
func (ms *manifests) save(ctx context.Context, m *manifest, evidence bool) {
	if ms.store == nil {
		return
	}
	if err := ms.store.Put(m.digest, m.bytes, partOf(evidence)); err != nil {
		ms.logger.WarnContext(ctx, "manifest not stored", "digest", m.digest, "error", err)
	}
}

// stored reads a manifest from the store; nil: it is absent, or has another digest.
func (ms *manifests) stored(ctx context.Context, digest string) *manifest {
	if ms.store == nil {
		return nil
	}
	f, size, ok := ms.store.Get(ctx, digest, store.Evidence)
	if !ok {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	if size > maxStoredManifest {
		return nil
	}
	ctx, end := budget.Scope(ctx)
	defer end()
	data, err := readStored(ctx, f, size)
	if err != nil {
		return nil
	}
	read, err := registry.NewManifest("", data)
	if err != nil || read.Descriptor.Digest.String() != digest {
		ms.store.Drop(digest)
		return nil
	}
	m, err := newManifest(ctx, read)
	if err != nil {
		return nil
	}
	return m
}

// readStored reads a file within the budget.
func readStored(ctx context.Context, f io.Reader, size int64) ([]byte, error) {
	if size > budget.Free {
		read, err := budget.Message(ctx, size)
		if err != nil {
			return nil, err
		}
		defer read(true)
	}
	return limit.ReadSized(f, size)
}

// maxStoredManifest bounds what is read as a manifest from the store.
const maxStoredManifest = 4 << 20

// partOf is the part of the store for evidence, or for images.
func partOf(evidence bool) store.Part {
	if evidence {
		return store.Evidence
	}
	return store.Images
}

// blobsOf are the config and the layers of an image.
func blobsOf(m *manifest) []v1.Descriptor {
	if m.doc.IsIndex {
		return nil
	}
	return append([]v1.Descriptor{*m.doc.Config}, m.doc.Layers...)
}

// listedBy yields what a manifest lists, with the role of each.
func listedBy(m *manifest) func(yield func(v1.Descriptor, role) bool) {
	return func(yield func(v1.Descriptor, role) bool) {
		for _, child := range m.doc.Manifests {
			if !yield(child, asManifest) {
				return
			}
		}
		for _, blob := range blobsOf(m) {
			if !yield(blob, asBlob) {
				return
			}
		}
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
