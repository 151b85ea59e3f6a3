package layout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// blobs are the content of a layout: everything is verified against its digest.
type blobs struct {
	dir         *directory
	maxManifest int64
	maxBlob     int64

	mu       sync.Mutex
	subjects map[v1.Hash]v1.Hash // manifest to its subject; the zero Hash for none
}

func blobPath(h v1.Hash) string { return allBlobsDir + "/" + h.Algorithm + "/" + h.Hex }

// manifest reads a manifest. Where no media type is known from outside, as
// for a child of an index, the manifest's own mediaType or its shape decides.
func (b *blobs) manifest(op string, h v1.Hash, mediaType string) (registry.Manifest, error) {
	data, err := b.read(op, h)
	if err != nil {
		return registry.Manifest{}, err
	}
	doc, err := oci.Parse(mediaType, data)
	if err != nil {
		return registry.Manifest{}, b.dir.fail(op, h.String(), registry.KindOf(err), "", err)
	}
	return registry.Manifest{Descriptor: oci.Describe(doc.MediaType, data), Bytes: data}, nil
}

// read reads what may be a manifest, and verifies it against its digest.
func (b *blobs) read(op string, h v1.Hash) ([]byte, error) {
	data, err := b.dir.readFile(blobPath(h), b.maxManifest)
	if err != nil {
		return nil, b.dir.fileError(op, h.String(), err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != h.Hex {
		return nil, b.dir.fail(op, h.String(), registry.ErrDigestMismatch, "the file holds other bytes than its name says", nil)
	}
	return data, nil
}

// subjectOf returns the digest of the subject of a manifest, or the zero Hash
// where it has none or is not a manifest. Content never changes under its digest,
// so the answer is remembered for as long as index.json lists it.
func (b *blobs) subjectOf(h v1.Hash) (v1.Hash, error) {
	b.mu.Lock()
	of, known := b.subjects[h]
	b.mu.Unlock()
	if known {
		return of, nil
	}
	data, err := b.read("list referrers", h)
	switch {
	case err == nil:
		of = subjectIn(data)
	case !errors.Is(err, registry.ErrTooLarge): // what is too large is not a manifest here
		return of, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subjects[h] = of
	return of, nil
}

func subjectIn(data []byte) v1.Hash {
	doc, err := oci.Parse("", data)
	if err != nil || doc.Subject == nil {
		return v1.Hash{}
	}
	return doc.Subject.Digest
}

// referrer describes a manifest as the referrers API does.
func (b *blobs) referrer(h v1.Hash) (v1.Descriptor, error) {
	data, err := b.read("list referrers", h)
	if err != nil {
		return v1.Descriptor{}, err
	}
	doc, err := oci.Parse("", data)
	if err != nil {
		return v1.Descriptor{}, b.dir.fail("list referrers", h.String(), registry.KindOf(err), "", err)
	}
	return oci.Listed(oci.Describe(doc.MediaType, data), doc), nil
}

// keepSubjects forgets subjects of manifests that an index does not list any more.
func (b *blobs) keepSubjects(x *index) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make(map[v1.Hash]v1.Hash, len(x.entries))
	for _, e := range x.entries {
		if of, known := b.subjects[e.desc.Digest]; known {
			kept[e.desc.Digest] = of
		}
	}
	b.subjects = kept
}

// open opens a blob of so many bytes; a negative size is not known.
func (b *blobs) open(ctx context.Context, h v1.Hash, size int64) (io.ReadCloser, error) {
	if err := b.dir.live(ctx, "read blob", h.String()); err != nil {
		return nil, err
	}
	f, _, err := b.dir.openFile(blobPath(h))
	if err != nil {
		return nil, b.dir.fileError("read blob", h.String(), err)
	}
	bound := size
	if size < 0 {
		bound = b.maxBlob
	}
	return &blobReader{ctx: ctx, dir: b.dir, f: f, want: h, exact: size >= 0, left: bound, hash: oci.Hasher(h)}, nil
}

// holds reports whether the layout has exactly the bytes of h; a negative size
// means any up to MaxBlobSize. Wrong bytes, more of them or an irregular file count as
// absence: a push then repairs them.
func (b *blobs) holds(ctx context.Context, h v1.Hash, size int64) (bool, error) {
	if err := b.dir.live(ctx, "look for blob", h.String()); err != nil {
		return false, err
	}
	f, have, err := b.dir.openFile(blobPath(h))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errIrregular):
		return false, nil
	case err != nil:
		return false, b.dir.fileError("look for blob", h.String(), err)
	}
	content := &blobReader{ctx: ctx, dir: b.dir, f: f, want: h, left: have, hash: oci.Hasher(h)}
	defer content.Close()
	if size >= 0 && have != size || size < 0 && have > b.maxBlob {
		return false, nil
	}
	_, err = io.Copy(io.Discard, content)
	if errors.Is(err, registry.ErrDigestMismatch) || errors.Is(err, registry.ErrTooLarge) {
		return false, nil
	}
	return err == nil, err
}

// put stores the content of r, which must be exactly the blob asked for.
func (b *blobs) put(ctx context.Context, op string, h v1.Hash, size int64, r io.Reader) error {
	if dir := allBlobsDir + "/" + h.Algorithm; dir != blobsDir {
		if err := b.dir.makeDir(dir); err != nil {
			return b.dir.fileError(op, dir, err)
		}
	}
	err := b.dir.writeFile(blobPath(h), func(w io.Writer) error {
		sum := oci.Hasher(h)
		in := &contextReader{ctx, io.LimitReader(r, size+1)}
		n, err := io.Copy(io.MultiWriter(w, sum), in)
		switch {
		case err != nil:
			return err
		case n != size:
			return b.dir.fail(op, h.String(), registry.ErrDigestMismatch, fmt.Sprintf("the content is not of %d bytes", size), nil)
		case hex.EncodeToString(sum.Sum(nil)) != h.Hex:
			return b.dir.fail(op, h.String(), registry.ErrDigestMismatch, "the content is another", nil)
		}
		return nil
	})
	var known *registry.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return b.dir.fileError(op, h.String(), err)
}

// remove removes a blob's file.
func (b *blobs) remove(op string, h v1.Hash) error {
	if err := b.dir.root.Remove(blobPath(h)); err != nil {
		return b.dir.fileError(op, h.String(), err)
	}
	return nil
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

func (b *blobs) storeManifest(ctx context.Context, op string, m registry.Manifest) error {
	h := m.Descriptor.Digest
	if held, err := b.holds(ctx, h, m.Descriptor.Size); held || err != nil {
		return err
	}
	return b.put(ctx, op, h, m.Descriptor.Size, bytes.NewReader(m.Bytes))
}

// checkPush refuses what the layout could not give back as it is.
func (b *blobs) checkPush(op string, m registry.Manifest) (registry.Manifest, *oci.Document, error) {
	mediaType := string(m.Descriptor.MediaType)
	m = registry.Manifest{Descriptor: oci.Describe(mediaType, m.Bytes), Bytes: m.Bytes}
	digest := m.Descriptor.Digest.String()
	if m.Descriptor.Size > b.maxManifest {
		return m, nil, b.dir.fail(op, digest, registry.ErrTooLarge, fmt.Sprintf("%d bytes; the limit is %d", m.Descriptor.Size, b.maxManifest), nil)
	}
	doc, err := oci.Parse(mediaType, m.Bytes)
	if err != nil {
		return m, nil, b.dir.fail(op, digest, registry.KindOf(err), "", err)
	}
	if own, err := oci.Parse("", m.Bytes); err != nil || own.MediaType != mediaType {
		return m, nil, b.dir.fail(op, digest, registry.ErrMalformed, "its bytes do not say that it is "+safe(mediaType), err)
	}
	return m, doc, nil
}

// blobReader reads a blob and verifies it at its end.
type blobReader struct {
	ctx   context.Context
	dir   *directory
	f     io.ReadCloser
	want  v1.Hash
	exact bool  // left is how many bytes must come
	left  int64 // how many bytes may still come
	hash  hash.Hash
	end   error // what every further Read returns
}

func (b *blobReader) Read(p []byte) (int, error) {
	if len(p) == 0 || b.end != nil {
		return 0, b.end
	}
	if b.end = b.dir.live(b.ctx, "read blob", b.want.String()); b.end != nil {
		return 0, b.end
	}
	if b.left == 0 {
		return 0, b.finish()
	}
	n, err := b.f.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.hash.Write(p[:n])
	switch {
	case err == io.EOF:
		b.end = b.verdict()
	case err != nil:
		b.end = b.dir.fileError("read blob", b.want.String(), err)
	}
	return n, b.end
}

// finish is called where all bytes that may come have come.
func (b *blobReader) finish() error {
	var probe [1]byte
	n, err := io.ReadFull(b.f, probe[:])
	switch {
	case n > 0:
		b.end = b.dir.fail("read blob", b.want.String(), registry.ErrTooLarge, "the file is longer than it should be", nil)
	case err == io.EOF:
		b.end = b.verdict()
	default:
		b.end = b.dir.fileError("read blob", b.want.String(), err)
	}
	return b.end
}

func (b *blobReader) verdict() error {
	if b.exact && b.left > 0 {
		return b.dir.fail("read blob", b.want.String(), registry.ErrDigestMismatch, "the file is shorter than it should be", nil)
	}
	if hex.EncodeToString(b.hash.Sum(nil)) != b.want.Hex {
		return b.dir.fail("read blob", b.want.String(), registry.ErrDigestMismatch, "the file holds other bytes than its name says", nil)
	}
	return io.EOF
}

func (b *blobReader) Close() error { return b.f.Close() }
