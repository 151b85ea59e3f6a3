package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Store returns the registry's content as a store in this process: without HTTP,
// authentication and faults. Repositories are told apart by their
// Context().RepositoryStr(); the registry's name in a reference is ignored.
//
// It keeps the contract of registry.Store, also where the content was tampered
// with: then reading fails with registry.ErrDigestMismatch. Conditions of pushes
// are always honoured, atomically, whatever Options.Conditional says. A registry
// with NoReferrers lists referrers from the fallback tag, and does not index
// them. It can mount blobs between its repositories (registry.Mounter).
func (r *Registry) Store() registry.Store { return &store{r} }

type store struct{ r *Registry }

func (s *store) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	m, err := s.manifest(ctx, "resolve", ref)
	return m.Descriptor, err
}

func (s *store) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	return s.manifest(ctx, "read manifest", ref)
}

func (s *store) manifest(ctx context.Context, op string, ref name.Reference) (registry.Manifest, error) {
	if err := check(ctx, op, ref); err != nil {
		return registry.Manifest{}, err
	}
	stored, ok := s.r.content.manifest(ref.Context().RepositoryStr(), ref.Identifier())
	if !ok {
		return registry.Manifest{}, fail(op, ref, registry.ErrNotFound, errManifestUnknown.message, nil)
	}
	m, err := registry.NewManifest(stored.mediaType, stored.data)
	if err != nil {
		return registry.Manifest{}, fail(op, ref, registry.ErrMalformed, "", err)
	}
	if m.Descriptor.Digest.String() != stored.digest {
		return registry.Manifest{}, fail(op, ref, registry.ErrDigestMismatch, "the manifest is "+m.Descriptor.Digest.String(), nil)
	}
	m.ETag = etag(stored.digest)
	return m, nil
}

func (s *store) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	const op = "read blob"
	if err := checkBlob(ctx, op, ref); err != nil {
		return nil, err
	}
	data, ok := s.r.content.blob(ref.Context().RepositoryStr(), ref.DigestStr())
	if !ok {
		return nil, fail(op, ref, registry.ErrNotFound, errBlobUnknown.message, nil)
	}
	body := &blobReader{ctx: ctx, ref: ref, data: data, rest: data}
	if size >= 0 && size < int64(len(data)) {
		body.rest, body.cut = data[:size], true
	}
	body.short = size > int64(len(data))
	return body, nil
}

// blobReader ends in io.EOF only after all of the content asked for.
type blobReader struct {
	ctx        context.Context
	ref        name.Digest
	data, rest []byte
	cut, short bool
}

func (b *blobReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, fail("read blob", b.ref, registry.ErrUnavailable, "", err)
	}
	if len(b.rest) > 0 {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	switch {
	case b.cut:
		return 0, fail("read blob", b.ref, registry.ErrTooLarge, fmt.Sprintf("it has %d bytes", len(b.data)), nil)
	case b.short, !oci.Holds(hashOf(b.ref.DigestStr()), b.data):
		return 0, fail("read blob", b.ref, registry.ErrDigestMismatch, fmt.Sprintf("%d other bytes are stored", len(b.data)), nil)
	}
	return 0, io.EOF
}

func (b *blobReader) Close() error { return nil }

func (s *store) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		list, err := s.referrers(ctx, subject)
		for _, d := range list {
			if err = ctx.Err(); err != nil {
				err = fail("list referrers", subject, registry.ErrUnavailable, "", err)
				break
			}
			if !yield(d, nil) {
				return
			}
		}
		if err != nil {
			yield(v1.Descriptor{}, err)
		}
	}
}

func (s *store) referrers(ctx context.Context, subject name.Digest) ([]v1.Descriptor, error) {
	const op = "list referrers"
	if err := check(ctx, op, subject); err != nil {
		return nil, err
	}
	if !s.r.o.NoReferrers {
		return s.r.content.referrersOf(subject.Context().RepositoryStr(), subject.DigestStr()), nil
	}
	m, err := s.manifest(ctx, op, fallbackTag(subject))
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return nil, fail(op, subject, registry.ErrMalformed, "", err)
	}
	return doc.Manifests, nil
}

// fallbackTag lists the referrers where there is no API for it.
//
// Source: OCI Distribution Specification v1.1, "Referrers Tag Schema".
func fallbackTag(subject name.Digest) name.Tag {
	h := hashOf(subject.DigestStr())
	return subject.Context().Tag(h.Algorithm + "-" + h.Hex)
}

func (s *store) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	if err := checkBlob(ctx, "look for blob", ref); err != nil {
		return false, err
	}
	_, ok := s.r.content.blob(ref.Context().RepositoryStr(), ref.DigestStr())
	return ok, nil
}

func (s *store) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	const op = "push blob"
	there, err := s.HasBlob(ctx, ref)
	if err != nil || there {
		return err
	}
	if size < 0 {
		return fail(op, ref, registry.ErrMalformed, fmt.Sprintf("its size is %d", size), nil)
	}
	if size > s.r.o.MaxBlob {
		return fail(op, ref, registry.ErrTooLarge, errTooLarge.message, nil)
	}
	data, err := readSource(ctx, open, size)
	switch {
	case ctx.Err() != nil:
		return fail(op, ref, registry.ErrUnavailable, "", ctx.Err())
	case errors.Is(err, limit.ErrExceeded), err == nil && int64(len(data)) != size:
		return fail(op, ref, registry.ErrDigestMismatch, fmt.Sprintf("the content is not of %d bytes", size), nil)
	case err != nil:
		return fail(op, ref, registry.ErrUnavailable, "", err)
	}
	if no := s.r.pushBlob(ref.Context().RepositoryStr(), ref.DigestStr(), data); no != nil {
		return fail(op, ref, no.kind, no.message, nil)
	}
	return nil
}

func readSource(ctx context.Context, open func() (io.ReadCloser, error), size int64) ([]byte, error) {
	body, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	return limit.ReadAll(&contextReader{ctx, body}, size)
}

// contextReader fails once its context has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func (s *store) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	const op = "push manifest"
	if err := check(ctx, op, ref); err != nil {
		return registry.PushReport{}, err
	}
	holds := func(now string) bool {
		return (o.IfMatch == "" || now != "" && o.IfMatch == etag(now)) && (!o.IfAbsent || now == "")
	}
	_, subject, no := s.r.pushManifest(ref.Context().RepositoryStr(), ref.Identifier(), string(m.Descriptor.MediaType), m.Bytes, holds)
	if no != nil {
		return registry.PushReport{}, fail(op, ref, no.kind, no.message, nil)
	}
	return registry.PushReport{SubjectIndexed: s.r.indexed(subject) != "", Atomic: true}, nil
}

func (s *store) MountBlob(ctx context.Context, ref name.Digest, from name.Repository) (bool, error) {
	if err := checkBlob(ctx, "mount blob", ref); err != nil {
		return false, err
	}
	return s.r.content.mount(ref.Context().RepositoryStr(), from.RepositoryStr(), ref.DigestStr()), nil
}

// checkBlob is check for a blob, which may have another digest than a manifest.
func checkBlob(ctx context.Context, op string, ref name.Digest) error {
	if _, err := registry.BlobHashOf(ref); err != nil {
		return err
	}
	return check(ctx, op, ref.Context().Digest(digestOf(nil)))
}

// check fails where the context has ended or the reference is malformed.
func check(ctx context.Context, op string, ref name.Reference) error {
	if err := ctx.Err(); err != nil {
		return fail(op, ref, registry.ErrUnavailable, "", err)
	}
	if d, ok := ref.(name.Digest); ok {
		if _, err := registry.HashOf(d); err != nil {
			return err
		}
	} else if no := checkRef(ref.Identifier()); no != nil {
		return fail(op, ref, no.kind, no.message, nil)
	}
	if !validName(ref.Context().RepositoryStr()) {
		return fail(op, ref, errName.kind, errName.message, nil)
	}
	return nil
}

func fail(op string, ref name.Reference, kind registry.Kind, detail string, err error) error {
	const maxText = 512
	return &registry.Error{Op: op, Ref: registry.SafeText(ref.String(), maxText), Kind: kind, Detail: detail, Err: err}
}

// describeBytes describes content other than a manifest.
func describeBytes(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: hashOf(digestOf(data)), Size: int64(len(data))}
}

// pushBytes stores a blob.
func pushBytes(ctx context.Context, w registry.Writer, repo name.Repository, d v1.Descriptor, data []byte) error {
	return w.PushBlob(ctx, repo.Digest(d.Digest.String()), d.Size, func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
}
