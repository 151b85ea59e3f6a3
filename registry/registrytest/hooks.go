package registrytest

import (
	"context"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// Hooks replace methods of a store. A nil field leaves its method as it is. The
// functions must be safe for concurrent use.
type Hooks struct {
	Resolve      func(ctx context.Context, ref name.Reference) (v1.Descriptor, error)
	Manifest     func(ctx context.Context, ref name.Reference) (registry.Manifest, error)
	Blob         func(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error)
	Referrers    func(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error]
	HasBlob      func(ctx context.Context, ref name.Digest) (bool, error)
	PushBlob     func(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error
	PushManifest func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error)
}

// Faulty returns a store that does what inner does, but for what the hooks
// replace. It has no methods beyond those of registry.Store.
func Faulty(inner registry.Store, h Hooks) registry.Store { return &faulty{inner, h} }

type faulty struct {
	inner registry.Store
	h     Hooks
}

func (f *faulty) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	return either(f.h.Resolve, f.h.Resolve != nil, f.inner.Resolve)(ctx, ref)
}

func (f *faulty) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	return either(f.h.Manifest, f.h.Manifest != nil, f.inner.Manifest)(ctx, ref)
}

func (f *faulty) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	return either(f.h.Blob, f.h.Blob != nil, f.inner.Blob)(ctx, ref, size)
}

func (f *faulty) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return either(f.h.Referrers, f.h.Referrers != nil, f.inner.Referrers)(ctx, subject)
}

func (f *faulty) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	return either(f.h.HasBlob, f.h.HasBlob != nil, f.inner.HasBlob)(ctx, ref)
}

func (f *faulty) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	return either(f.h.PushBlob, f.h.PushBlob != nil, f.inner.PushBlob)(ctx, ref, size, open)
}

func (f *faulty) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	return either(f.h.PushManifest, f.h.PushManifest != nil, f.inner.PushManifest)(ctx, ref, m, o)
}

func either[F any](hook F, hooked bool, method F) F {
	if hooked {
		return hook
	}
	return method
}
