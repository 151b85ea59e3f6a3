package gate

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// manifest is a manifest or index that hashes to its digest, parsed.
type manifest struct {
	bytes     []byte
	digest    string
	mediaType string
	doc       *oci.Document
	// weighs is what it takes in memory, about.
	weighs int64
	// passes is set once it was let through, and is kept with others that were.
	passes atomic.Bool
}

func (m *manifest) descriptor() v1.Descriptor {
	h, _ := v1.NewHash(m.digest) // it was computed
	return v1.Descriptor{MediaType: types.MediaType(m.mediaType), Digest: h, Size: int64(len(m.bytes))}
}

func (m *manifest) weight() int64 { return m.weighs }

// weigh counts what was parsed, too: of a few bytes of JSON there is a descriptor, a
// platform and a map. The text is there twice.
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

// newManifest checks what a reader gave.
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

// byDigest returns a manifest from memory, the store or the upstream.
func (g *gate) byDigest(ctx context.Context, p pull, digest string) (*manifest, error) {
	if m, ok := g.here(ctx, digest); ok {
		return m, nil
	}
	return g.reading.Do(ctx, readKey{p.from, p.repo.Name() + "@" + digest}, func(ctx context.Context) (*manifest, error) {
		if m, ok := g.held(digest); ok {
			return m, nil // read between the look above and now
		}
		return g.fetch(ctx, p, p.digest(digest))
	})
}

// fetch reads a manifest from an upstream.
func (g *gate) fetch(ctx context.Context, p pull, ref name.Reference) (*manifest, error) {
	ctx, end := budget.Scope(ctx)
	defer end()
	m, err := registry.ReadManifest(ctx, p.from, ref)
	if err != nil {
		return nil, err
	}
	return g.hold(ctx, m)
}

// held returns a manifest from memory. Those that were let through are bounded apart
// from those that were only read, so that what is refused drives out nothing good.
func (g *gate) held(digest string) (*manifest, bool) {
	if m, ok := g.manifests.Get(digest); ok {
		return m, true
	}
	return g.unjudged.Get(digest)
}

// here returns a manifest from memory or the store.
func (g *gate) here(ctx context.Context, digest string) (*manifest, bool) {
	if m, ok := g.held(digest); ok {
		return m, true
	}
	m := g.stored(ctx, digest)
	if m != nil {
		g.unjudged.Put(digest, m)
	}
	return m, m != nil
}

// hold keeps a manifest that was read from an upstream.
func (g *gate) hold(ctx context.Context, read registry.Manifest) (*manifest, error) {
	m, err := newManifest(ctx, read)
	if err != nil {
		return nil, err
	}
	g.unjudged.Put(m.digest, m)
	return m, nil
}

// letThrough keeps a manifest that passes with the others that do. Evidence stays
// where it is: whoever can push can attach any amount of it.
func (g *gate) letThrough(m *manifest, d permit) {
	if d.Evidence || m.passes.Load() || m.passes.Swap(true) {
		return
	}
	g.unjudged.Remove(m.digest)
	g.manifests.Put(m.digest, m)
}

// readKey names something that is read from an upstream.
type readKey struct {
	from *origin
	what string
}

// stored reads a manifest from the store; nil: it is not there, or is not what
// its name says.
func (g *gate) stored(ctx context.Context, digest string) *manifest {
	if g.c.Store == nil {
		return nil
	}
	f, size, ok := g.c.Store.Get(ctx, digest, store.Evidence)
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
		g.c.Store.Drop(digest)
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

func hexOf(b []byte) string { return hex.EncodeToString(b) }
