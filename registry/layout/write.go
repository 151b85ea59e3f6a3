package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// create makes an empty layout of the directory. oci-layout comes last: the
// directory is not a layout before it is complete.
func (l *Layout) create(ctx context.Context) error {
	const op = "create layout"
	unlock, err := l.writers.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.dir.makeDir(blobsDir); err != nil {
		return l.dir.fileError(op, blobsDir, err)
	}
	for _, file := range []struct{ path, content string }{{indexName, emptyIndex}, {layoutFile, layoutContent}} {
		if err := l.dir.checkPath(file.path); !errors.Is(err, fs.ErrNotExist) {
			continue // left by a creation that was interrupted, or made by another process
		}
		if err := l.dir.writeFile(file.path, writeString(file.content)); err != nil {
			return l.dir.fileError(op, file.path, err)
		}
	}
	return nil
}

// HasBlob implements Writer. The blob is read and verified: a damaged one counts as
// absent, and is pushed again. So does one beyond MaxBlobSize, which PushBlob, knowing
// the size, still looks at.
func (l *Layout) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	h, err := registry.BlobHashOf(ref)
	if err != nil {
		return false, err
	}
	return l.blobs.holds(ctx, h, -1)
}

// PushBlob implements Writer. open is not called where the blob is there already;
// a file of the blob's name that holds other bytes is replaced.
func (l *Layout) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	const op = "push blob"
	h, err := registry.BlobHashOf(ref)
	if err != nil {
		return err
	}
	if size < 0 {
		return l.dir.fail(op, h.String(), registry.ErrMalformed, fmt.Sprintf("its size is %d", size), nil)
	}
	if held, err := l.blobs.holds(ctx, h, size); held || err != nil {
		return err
	}
	r, err := open()
	if err != nil {
		return l.dir.fail(op, h.String(), registry.KindOf(err), "the blob's source cannot be opened", err)
	}
	defer r.Close()
	return l.blobs.put(ctx, op, h, size, r)
}

// PushManifest implements Writer. See Layout for what becomes listed in
// index.json. The layout finds every referrer that is listed, so the report
// always says so.
func (l *Layout) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	const op = "push manifest"
	m, doc, err := l.blobs.checkPush(op, m)
	if err != nil {
		return registry.PushReport{}, err
	}
	tag, err := l.pushTarget(op, ref, m.Descriptor.Digest)
	if err != nil {
		return registry.PushReport{}, err
	}
	if err := l.blobs.storeManifest(ctx, op, m); err != nil {
		return registry.PushReport{}, err
	}
	if tag != "" || doc.Subject != nil {
		d := m.Descriptor
		d.ArtifactType = doc.ArtifactType
		if err := l.list(ctx, op, tag, d, o); err != nil {
			return registry.PushReport{}, err
		}
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
	unlock, err := l.writers.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	x, err := l.index.read(op)
	if err != nil {
		return err
	}
	subject, err := l.blobs.subjectOf(h)
	if err != nil && !errors.Is(err, registry.ErrNotFound) && !errors.Is(err, registry.ErrDigestMismatch) {
		return err
	}
	if !listsDigest(x.entries, h) {
		if subject != (v1.Hash{}) && x.savedByCosign() {
			return l.blobs.remove(op, h) // or it would be found again
		}
		return l.dir.fail(op, h.String(), registry.ErrNotFound, "index.json does not list it", nil)
	}
	kept := slices.DeleteFunc(slices.Clone(x.entries), func(e entry) bool { return e.desc.Digest == h })
	return l.index.rewrite(ctx, op, x, kept, change{subject: subject, manifest: h, gone: true})
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
		return "", l.dir.fail(op, h.String(), registry.ErrDigestMismatch, "the manifest is "+digest.String(), nil)
	}
	return "", nil
}

// list puts a stored manifest into index.json, under a tag or, where that is "",
// without a name.
func (l *Layout) list(ctx context.Context, op, tag string, d v1.Descriptor, o registry.PushOptions) error {
	unlock, err := l.writers.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	l.dir.removeStale(time.Now(), l.o.MaxEntries)
	x, err := l.index.read(op)
	if err != nil {
		return err
	}
	if err := l.index.checkConditions(op, tag, x, o); err != nil {
		return err
	}
	entries, err := x.relist(tag, d, l.blobs.subjectOf)
	if err != nil {
		return err
	}
	subject, err := l.blobs.subjectOf(d.Digest)
	if err != nil {
		return err
	}
	if entries == nil && subject == (v1.Hash{}) {
		return nil
	}
	if entries == nil {
		entries = x.entries
	}
	return l.index.rewrite(ctx, op, x, entries, change{subject: subject, manifest: d.Digest})
}

// change is what becomes of a referrer: it is listed, or gone. subject is zero for a
// manifest that is not a referrer.
type change struct {
	subject, manifest v1.Hash
	gone              bool
}

// rewrite writes index.json with other entries, and what other tools look for in it.
func (f *indexFile) rewrite(ctx context.Context, op string, x *index, entries []entry, c change) error {
	var replaced v1.Hash
	var err error
	if c.subject != (v1.Hash{}) {
		if entries, replaced, err = f.blobs.withFallback(ctx, op, entries, c); err != nil {
			return err
		}
	}
	if entries, err = forCosign(entries); err != nil {
		return err
	}
	next := x.with(entries)
	if data, err := next.encode(); err == nil && bytes.Equal(data, x.data) {
		return nil
	}
	if err := f.write(op, next); err != nil {
		return err
	}
	if replaced != (v1.Hash{}) && !listsDigest(entries, replaced) {
		_ = f.blobs.remove(op, replaced) // a list that no tag names does no harm
	}
	return nil
}
