package proxy

import (
	"context"
	"encoding/hex"
	"errors"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// manifest is a manifest or index that hashes to its digest, parsed.
type manifest struct {
	bytes     []byte
	digest    string
	mediaType string
	doc       *oci.Document
}

func (m *manifest) descriptor() v1.Descriptor {
	h, _ := v1.NewHash(m.digest) // it was computed
	return v1.Descriptor{MediaType: types.MediaType(m.mediaType), Digest: h, Size: int64(len(m.bytes))}
}

func (m *manifest) weight() int64 { return int64(len(m.bytes)) + 1024 }

// newManifest checks what a reader gave.
func newManifest(m registry.Manifest) (*manifest, error) {
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		kind := registry.ErrMalformed
		if errors.Is(err, oci.ErrUnsupported) {
			kind = registry.ErrUnsupported
		}
		return nil, &registry.Error{Op: "read manifest", Ref: m.Descriptor.Digest.String(), Kind: kind, Err: err}
	}
	return &manifest{bytes: m.Bytes, digest: m.Descriptor.Digest.String(), mediaType: doc.MediaType, doc: doc}, nil
}

// byDigest returns a manifest from memory, the store or the upstream.
func (g *gate) byDigest(ctx context.Context, p pull, digest string) (*manifest, error) {
	if m, ok := g.manifests.Get(digest); ok {
		return m, nil
	}
	if m := g.stored(digest); m != nil {
		g.manifests.Put(digest, m)
		return m, nil
	}
	return g.reading.Do(ctx, readKey{p.from, p.repo.Name() + "@" + digest}, func(ctx context.Context) (*manifest, error) {
		if m, ok := g.manifests.Get(digest); ok {
			return m, nil // read between the look above and now
		}
		m, err := registry.ReadManifest(ctx, p.from, p.digest(digest))
		if err != nil {
			return nil, err
		}
		return g.keep(m)
	})
}

// keep holds a manifest that was read from an upstream.
func (g *gate) keep(read registry.Manifest) (*manifest, error) {
	m, err := newManifest(read)
	if err != nil {
		return nil, err
	}
	g.manifests.Put(m.digest, m)
	return m, nil
}

// readKey names something that is read from an upstream.
type readKey struct {
	from *origin
	what string
}

// stored reads a manifest from the store; nil: it is not there, or is not what
// its name says.
func (g *gate) stored(digest string) *manifest {
	if g.c.Store == nil {
		return nil
	}
	f, size, ok := g.c.Store.open(digest)
	if !ok {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	if size > maxStoredManifest {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxStoredManifest))
	if err != nil {
		return nil
	}
	read, err := registry.NewManifest("", data)
	if err != nil || read.Descriptor.Digest.String() != digest {
		g.c.Store.drop(digest)
		return nil
	}
	m, err := newManifest(read)
	if err != nil {
		return nil
	}
	return m
}

// maxStoredManifest bounds what is read as a manifest from the store.
const maxStoredManifest = 4 << 20

func hexOf(b []byte) string { return hex.EncodeToString(b) }
