package layout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// create makes an empty layout of the directory. oci-layout comes last: the
// directory is no layout before it is complete.
func (l *Layout) create(ctx context.Context) error {
	const op = "create layout"
	unlock, err := l.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.makeDir(blobsDir); err != nil {
		return l.fileError(op, blobsDir, err)
	}
	for _, file := range []struct{ path, content string }{{indexFile, emptyIndex}, {layoutFile, layoutContent}} {
		if err := l.checkPath(file.path); !errors.Is(err, fs.ErrNotExist) {
			continue // left by a creation that was interrupted, or made by another process
		}
		if err := l.writeFile(file.path, writeString(file.content)); err != nil {
			return l.fileError(op, file.path, err)
		}
	}
	return nil
}

func writeString(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// HasBlob implements Writer. The blob is read and verified: a damaged one counts
// as absent, so that it is pushed again; and so does one beyond MaxBlobSize, which
// PushBlob, knowing the size, looks at all the same.
func (l *Layout) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	h, err := registry.HashOf(ref)
	if err != nil {
		return false, err
	}
	return l.holds(ctx, h, -1)
}

// PushBlob implements Writer. open is not called where the blob is there already;
// a file of the blob's name that holds other bytes is replaced.
func (l *Layout) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	const op = "push blob"
	h, err := registry.HashOf(ref)
	if err != nil {
		return err
	}
	if size < 0 {
		return l.fail(op, h.String(), registry.ErrMalformed, fmt.Sprintf("its size is %d", size), nil)
	}
	if held, err := l.holds(ctx, h, size); held || err != nil {
		return err
	}
	r, err := open()
	if err != nil {
		return l.fail(op, h.String(), registry.KindOf(err), "the blob's source cannot be opened", err)
	}
	defer r.Close()
	return l.putBlob(ctx, op, h, size, r)
}

// putBlob stores the content of r, which must be exactly the blob asked for.
func (l *Layout) putBlob(ctx context.Context, op string, h v1.Hash, size int64, r io.Reader) error {
	err := l.writeFile(blobPath(h), func(w io.Writer) error {
		sum := sha256.New()
		in := &contextReader{ctx, io.LimitReader(r, size+1)}
		n, err := io.Copy(io.MultiWriter(w, sum), in)
		switch {
		case err != nil:
			return err
		case n != size:
			return l.fail(op, h.String(), registry.ErrDigestMismatch, fmt.Sprintf("the content is not of %d bytes", size), nil)
		case hex.EncodeToString(sum.Sum(nil)) != h.Hex:
			return l.fail(op, h.String(), registry.ErrDigestMismatch, "the content is another", nil)
		}
		return nil
	})
	var known *registry.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return l.fileError(op, h.String(), err)
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

// PushManifest implements Writer. See Layout for what becomes listed in
// index.json. The layout finds every referrer that is listed, so the report
// always says so.
func (l *Layout) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	const op = "push manifest"
	m, doc, err := l.checkPush(op, m)
	if err != nil {
		return registry.PushReport{}, err
	}
	tag, err := l.pushTarget(op, ref, m.Descriptor.Digest)
	if err != nil {
		return registry.PushReport{}, err
	}
	if err := l.storeManifest(ctx, op, m); err != nil {
		return registry.PushReport{}, err
	}
	if tag != "" || doc.Subject != nil {
		d := m.Descriptor
		d.ArtifactType = doc.ArtifactType
		err = l.list(ctx, op, tag, d, o)
	}
	if err != nil {
		return registry.PushReport{}, err
	}
	return registry.PushReport{SubjectIndexed: true, Atomic: true}, nil
}

// ListManifest implements Lister: index.json lists the manifest.
func (l *Layout) ListManifest(ctx context.Context, m registry.Manifest) error {
	return l.list(ctx, "list manifest", "", m.Descriptor, registry.PushOptions{})
}

// RemoveManifest implements Remover: index.json no longer lists the manifest,
// under no tag either. Its file stays, as other manifests may list it.
func (l *Layout) RemoveManifest(ctx context.Context, ref name.Digest) error {
	const op = "remove manifest"
	h, err := registry.HashOf(ref)
	if err != nil {
		return err
	}
	unlock, err := l.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	index, err := l.readIndex(op)
	if err != nil {
		return err
	}
	if !listsDigest(index.entries, h) {
		return l.fail(op, h.String(), registry.ErrNotFound, "index.json does not list it", nil)
	}
	kept := slices.DeleteFunc(slices.Clone(index.entries), func(e layoutIndexEntry) bool { return e.desc.Digest == h })
	return l.writeIndex(op, index.with(kept))
}

// checkPush refuses what the layout could not give back as it is.
func (l *Layout) checkPush(op string, m registry.Manifest) (registry.Manifest, *oci.Document, error) {
	mediaType := string(m.Descriptor.MediaType)
	m = registry.Manifest{Descriptor: oci.Describe(mediaType, m.Bytes), Bytes: m.Bytes}
	digest := m.Descriptor.Digest.String()
	if m.Descriptor.Size > l.o.MaxManifestSize {
		return m, nil, l.fail(op, digest, registry.ErrTooLarge, fmt.Sprintf("%d bytes; the limit is %d", m.Descriptor.Size, l.o.MaxManifestSize), nil)
	}
	doc, err := oci.Parse(mediaType, m.Bytes)
	if err != nil {
		return m, nil, l.fail(op, digest, registry.KindOf(err), "", err)
	}
	if own, err := oci.Parse("", m.Bytes); err != nil || own.MediaType != mediaType {
		return m, nil, l.fail(op, digest, registry.ErrMalformed, "its bytes do not say that it is "+safe(mediaType), err)
	}
	return m, doc, nil
}

// pushTarget returns the tag to push to, or "" for a push by digest.
func (l *Layout) pushTarget(op string, ref name.Reference, digest v1.Hash) (tag string, err error) {
	d, ok := ref.(name.Digest)
	if !ok {
		return tagOf(op, ref)
	}
	h, err := registry.HashOf(d)
	if err != nil {
		return "", err
	}
	if h != digest {
		return "", l.fail(op, h.String(), registry.ErrDigestMismatch, "the manifest is "+digest.String(), nil)
	}
	return "", nil
}

func (l *Layout) storeManifest(ctx context.Context, op string, m registry.Manifest) error {
	h := m.Descriptor.Digest
	if held, err := l.holds(ctx, h, m.Descriptor.Size); held || err != nil {
		return err
	}
	return l.putBlob(ctx, op, h, m.Descriptor.Size, bytes.NewReader(m.Bytes))
}

// list puts a stored manifest into index.json, under a tag or, where that is "",
// without a name.
func (l *Layout) list(ctx context.Context, op, tag string, d v1.Descriptor, o registry.PushOptions) error {
	unlock, err := l.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	l.removeStale(time.Now())
	index, err := l.readIndex(op)
	if err != nil {
		return err
	}
	if err := l.checkConditions(op, tag, index, o); err != nil {
		return err
	}
	entries, err := l.relist(index, tag, d)
	if err != nil || entries == nil {
		return err
	}
	return l.writeIndex(op, index.with(entries))
}

// checkConditions fails with ErrConflict where a condition of a push does not hold.
func (l *Layout) checkConditions(op, tag string, index *layoutIndex, o registry.PushOptions) error {
	if tag == "" || o.IfMatch == "" && !o.IfAbsent {
		return nil
	}
	now, err := l.find(op, index, tag)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return err
	case o.IfAbsent && exists:
		return l.fail(op, tag, registry.ErrConflict, "the tag exists and names "+now.Digest.String(), nil)
	case o.IfMatch != "" && !exists:
		return l.fail(op, tag, registry.ErrConflict, "the tag does not exist", nil)
	case o.IfMatch != "" && o.IfMatch != now.Digest.String():
		return l.fail(op, tag, registry.ErrConflict, "the tag names "+now.Digest.String(), nil)
	}
	return nil
}

// relist returns the entries of an index.json in which tag names d and nothing
// else, or d is listed if tag is ""; nil where that is so already.
func (l *Layout) relist(index *layoutIndex, tag string, d v1.Descriptor) ([]layoutIndexEntry, error) {
	entry, err := newEntry(d, tag)
	if err != nil {
		return nil, err
	}
	if tag == "" {
		if listsDigest(index.entries, d.Digest) {
			return nil, nil
		}
		return append(slices.Clone(index.entries), entry), nil
	}
	var kept, named []layoutIndexEntry
	for _, e := range index.entries {
		if e.desc.Annotations[refNameAnnotation] == tag {
			named = append(named, e)
		} else {
			kept = append(kept, e)
		}
	}
	if len(named) == 1 && oci.SameContent(named[0].desc, d) {
		return nil, nil
	}
	if kept, err = l.keepReferrers(kept, named); err != nil {
		return nil, err
	}
	return append(kept, entry), nil
}

// keepReferrers appends to kept, without their name, those of the entries that
// lose it whose manifest is or may be a referrer.
func (l *Layout) keepReferrers(kept, losing []layoutIndexEntry) ([]layoutIndexEntry, error) {
	for _, e := range losing {
		subject, err := l.subjectOf(e.desc.Digest)
		if err == nil && subject == (v1.Hash{}) || listsDigest(kept, e.desc.Digest) {
			continue
		}
		unnamed, err := e.withoutName()
		if err != nil {
			return nil, err
		}
		kept = append(kept, unnamed)
	}
	return kept, nil
}

// writeIndex replaces index.json. It refuses what could not be read again.
func (l *Layout) writeIndex(op string, x *layoutIndex) error {
	if len(x.entries) > l.o.MaxEntries {
		return l.fail(op, indexFile, registry.ErrTooMany, fmt.Sprintf("it would have more than %d entries", l.o.MaxEntries), nil)
	}
	data, err := x.encode()
	if err != nil {
		return l.fail(op, indexFile, registry.ErrMalformed, "", err)
	}
	if int64(len(data)) > l.o.MaxIndexSize {
		return l.fail(op, indexFile, registry.ErrTooLarge, fmt.Sprintf("it would exceed %d bytes", l.o.MaxIndexSize), nil)
	}
	if _, err := parseIndex(data); err != nil {
		return l.fail(op, indexFile, registry.ErrMalformed, "", err)
	}
	if err := l.writeFile(indexFile, writeString(string(data))); err != nil {
		return l.fileError(op, indexFile, err)
	}
	return nil
}
