package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// savedByCosign reports whether "cosign save" wrote the layout. Its entries have no names,
// and version 3 writes the manifests of bundles to blobs/ and lists them nowhere.
//
// Source: cosign v3.1, cmd/cosign/cli/save.go and pkg/oci/layout.
func (x *index) savedByCosign() bool {
	return slices.ContainsFunc(x.entries, func(e entry) bool { return e.isSavedImage() })
}

// isSavedImage reports whether an entry is the image that "cosign save" has saved.
func (e entry) isSavedImage() bool {
	kind := e.desc.Annotations[cosignKind]
	_, named := e.desc.Annotations[refNameAnnotation]
	return !named && (kind == cosignImage || kind == cosignIndex)
}

// blobScan looks for referrers in blobs/.
type blobScan struct {
	layout *Layout
	index  *index
}

// referrers yields the referrers of a subject that lie in blobs/ and that index.json does
// not list, where "cosign save" wrote the layout. Anything may lie there: what is not a
// manifest, or has other bytes than its name says, is passed over. It returns whether the
// caller wants more, and the first error that may hide a referrer.
func (s blobScan) referrers(ctx context.Context, subject v1.Hash, yield func(v1.Descriptor) bool) (more bool, unread error) {
	l := s.layout
	if !s.index.savedByCosign() {
		return true, nil
	}
	files, unread := s.unlisted()
	left := l.o.MaxScannedBytes
	for _, f := range files {
		if err := l.dir.live(ctx, "list referrers", subject.String()); err != nil {
			return true, err
		}
		if left -= f.size; left < 0 {
			return true, cmp.Or(unread, s.tooMany(fmt.Sprintf("those that index.json does not list have more than %d bytes", l.o.MaxScannedBytes)))
		}
		of, err := l.blobs.subjectOf(f.digest)
		if err == nil && of != subject {
			continue
		}
		var d v1.Descriptor
		if err == nil {
			d, err = l.blobs.referrer(f.digest)
		}
		switch {
		case err == nil:
			if !yield(d) {
				return false, nil
			}
		case registry.Unreadable(err):
			unread = cmp.Or(unread, err)
		}
	}
	return true, unread
}

// blobFile is a file of blobs/ that may be a manifest.
type blobFile struct {
	digest v1.Hash
	size   int64
}

// unlisted are the files that may be manifests and that index.json does not list, the
// smallest first. An error says that there are more.
func (s blobScan) unlisted() (files []blobFile, err error) {
	l := s.layout
	listed := make(map[v1.Hash]bool, len(s.index.entries))
	for _, e := range s.index.entries {
		listed[e.desc.Digest] = true
	}
	all, err := l.dir.blobFiles(l.o.MaxScannedFiles + 1)
	if err != nil {
		return nil, err
	}
	if len(all) > l.o.MaxScannedFiles {
		all, err = all[:l.o.MaxScannedFiles], s.tooMany(fmt.Sprintf("there are more than %d", l.o.MaxScannedFiles))
	}
	for _, f := range all {
		if !listed[f.digest] && f.size <= l.o.MaxManifestSize {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b blobFile) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.digest.Hex, b.digest.Hex))
	})
	return files, err
}

// blobFiles are the regular files of blobs/sha256 that are named by a digest, up to most.
func (d *directory) blobFiles(most int) (files []blobFile, err error) {
	if d.tar != nil {
		return d.tar.blobFiles(), nil
	}
	dir, err := d.root.Open(blobsDir)
	if err != nil {
		return nil, d.fileError("list blobs", blobsDir, err)
	}
	defer func() { _ = dir.Close() }() // only read from
	entries, err := dir.ReadDir(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, d.fileError("list blobs", blobsDir, err)
	}
	for _, e := range entries {
		h, wrong := v1.NewHash("sha256:" + e.Name())
		if wrong != nil || !e.Type().IsRegular() {
			continue
		}
		if info, gone := e.Info(); gone == nil {
			files = append(files, blobFile{h, info.Size()})
		}
	}
	return files, nil
}

func (s blobScan) tooMany(detail string) error {
	return s.layout.dir.fail("list referrers", blobsDir, registry.ErrTooMany, "blobs may be referrers, and not all were looked at: "+detail, nil)
}
