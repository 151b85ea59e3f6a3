package layout

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// ArchivePrefix begins a reference to a tar archive of an OCI image layout; see Locate.
const ArchivePrefix = "oci-archive:"

// OpenArchive opens a tar file that holds an OCI image layout, as skopeo, podman and
// BuildKit write it. Members are read where they stand in the file: nothing is unpacked.
// Such a Layout is not written to.
//
// With Options.Create the Layout can be written to, and Layout.Commit writes the file. Until
// then all content stands in a directory beside the file, .hallmark-*, which Close
// removes. What a file that exists holds is kept. An empty file counts as none. A link stays
// a link: the file that it leads to is written, as cp and skopeo do. One that leads to no
// file is refused.
//
// Refused are archives that two readers could read as two different ones:
//
//   - members whose name is absolute, holds "..", or is another spelling of a name;
//   - members that state their size twice, and files with the name of a directory;
//   - members of the layout that stand there twice, are links, sparse or special files;
//   - archives that are cut off, or hold something after their end.
//
// Other members are passed over. Errors are those of Open. They wrap ErrArchive for a file
// that is not such an archive: it is compressed, or one of "docker save".
func OpenArchive(file string, o Options) (*Layout, error) {
	if o.Create {
		return createSpool(file, o)
	}
	o = o.withDefaults()
	repo, err := o.repository(file)
	if err != nil {
		return nil, err
	}
	t, err := openTar(file, o.MaxMembers)
	if err != nil {
		return nil, openArchiveError(file, err)
	}
	return newLayout(&directory{path: file, tar: t}, repo, o)
}

// openArchiveError names the file in an error.
func openArchiveError(file string, err error) error {
	const op = "open archive"
	var known *registry.Error
	if errors.As(err, &known) {
		known.Op, known.Ref = op, safe(filepath.Clean(file))
		return known
	}
	return fileError(op, safe(filepath.Clean(file)), err)
}

// spool is the directory in which the content of an archive stands until it is written.
type spool struct {
	*Layout
	file    string      // the archive, without links
	scratch string      // the directory, beside it
	before  fs.FileInfo // of the archive as it was read; nil: there was none
}

// createSpool makes a Layout whose content Commit writes to an archive.
func createSpool(file string, o Options) (*Layout, error) {
	target, err := withoutLinks(file)
	if err != nil {
		return nil, openArchiveError(file, err)
	}
	before, err := os.Stat(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, openArchiveError(file, err)
	}
	var old *Layout
	if err == nil && (!before.Mode().IsRegular() || before.Size() > 0) {
		reading := o
		reading.Create = false
		if old, err = OpenArchive(target, reading); err != nil {
			return nil, err
		}
		defer func() { _ = old.Close() }() // only read from
	}
	dir, err := os.MkdirTemp(filepath.Dir(target), privateDir+"-*")
	if err != nil {
		return nil, openArchiveError(file, err)
	}
	l, err := Open(dir, o)
	if err == nil {
		l.spool = &spool{Layout: l, file: target, scratch: dir, before: before}
		l.dir.path, l.dir.scratch = file, true
		if old != nil {
			err = l.spool.unpack(context.Background(), old)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.RemoveAll(dir))
	}
	return l, nil
}

// withoutLinks is the path of the file that is written.
func withoutLinks(file string) (string, error) {
	target, err := filepath.EvalSymlinks(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if info, err := os.Lstat(file); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", &fs.PathError{Op: "write through", Path: file, Err: errNowhere}
	}
	return file, nil
}

// errNowhere is why nothing is written through a link.
var errNowhere = fmt.Errorf("a link that leads to no file: %w", fs.ErrNotExist)

// unpack copies what an archive holds.
func (s *spool) unpack(ctx context.Context, old *Layout) error {
	const op = "unpack archive"
	for member, at := range old.dir.tar.members {
		algorithm, hex, _ := strings.Cut(strings.TrimPrefix(member, allBlobsDir+"/"), "/")
		h, err := registry.BlobHashOf(s.Digest(v1.Hash{Algorithm: algorithm, Hex: hex}))
		if err != nil {
			continue // not named by a digest: no reader finds it
		}
		r, err := old.blobs.open(ctx, h, at.size)
		if err == nil {
			err = s.blobs.put(ctx, op, h, at.size, r)
		}
		if err != nil {
			return err
		}
	}
	x, err := old.index.read(op)
	if err != nil {
		return err
	}
	return s.index.write(op, x)
}

// Commit writes the archive that OpenArchive has opened with Options.Create: aside first,
// flushed to the disk, read back, then renamed into place. For any other Layout it does
// nothing. The same content gives the same bytes. ErrConflict: another process has changed
// the file since it was opened.
func (l *Layout) Commit(ctx context.Context) error {
	if l.spool == nil {
		return nil
	}
	return l.spool.commit(ctx)
}

func (s *spool) commit(ctx context.Context) error {
	const op = "write archive"
	unlock, err := s.writers.lock(ctx, op)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.sortEvidence(op); err != nil {
		return err
	}
	made := filepath.Join(s.scratch, privateDir, "archive")
	f, err := s.create(made)
	if err != nil {
		return openArchiveError(s.file, err)
	}
	defer func() { _ = os.Remove(made) }() // after the rename there is none
	if err := fillAndClose(f, func(w io.Writer) error { return s.writeTar(ctx, w) }, true); err != nil {
		if known := (*registry.Error)(nil); errors.As(err, &known) {
			return err
		}
		return s.dir.fileError(op, "", err)
	}
	if err := s.readArchiveBack(made); err != nil {
		return s.dir.fail(op, "", registry.ErrNotConfirmed, "it cannot be read back", err)
	}
	return s.publish(made)
}

// create makes the file for a new archive. It may be read by those who may read the one
// that it replaces, and by no others.
func (s *spool) create(made string) (*os.File, error) {
	if s.before == nil {
		return os.OpenFile(made, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	}
	f, err := os.OpenFile(made, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(s.before.Mode().Perm()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sortEvidence puts the entries of index.json that are not named images behind those that
// are, in the order of their digests. Evidence comes in any order, since it is copied
// concurrently.
func (s *spool) sortEvidence(op string) error {
	x, err := s.index.read(op)
	if err != nil {
		return err
	}
	entries := slices.Clone(x.entries)
	slices.SortStableFunc(entries, func(a, b entry) int {
		switch first, second := a.isNamedImage(), b.isNamedImage(); {
		case first && second:
			return 0
		case first:
			return -1
		case second:
			return 1
		}
		return cmp.Or(cmp.Compare(a.desc.Digest.Hex, b.desc.Digest.Hex), cmp.Compare(a.tag(), b.tag()))
	})
	return s.index.write(op, x.with(entries))
}

// writeTar writes the layout as an archive, without times and owners.
//
// Source: OCI Image Format Specification v1.1, image-layout.md; the order and the
// directories are those of containers/image.
func (s *spool) writeTar(ctx context.Context, w io.Writer) error {
	t := tar.NewWriter(w)
	if err := writeMemberOf(t, layoutFile, strings.NewReader(layoutContent), int64(len(layoutContent))); err != nil {
		return err
	}
	index, err := s.dir.readFile(indexName, s.o.MaxIndexSize)
	if err == nil {
		err = writeMemberOf(t, indexName, strings.NewReader(string(index)), int64(len(index)))
	}
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: allBlobsDir + "/", Mode: 0o755}); err != nil {
		return err
	}
	algorithms, err := s.dir.names(allBlobsDir)
	if err != nil {
		return err
	}
	for _, algorithm := range algorithms {
		if err := s.writeBlobs(ctx, t, algorithm); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeMemberOf(t *tar.Writer, member string, r io.Reader, size int64) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: member, Mode: 0o644, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}

// writeBlobs writes the blobs of one algorithm. Each is verified while it is read.
func (s *spool) writeBlobs(ctx context.Context, t *tar.Writer, algorithm string) error {
	dir := allBlobsDir + "/" + algorithm
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
		return err
	}
	blobs, err := s.dir.names(dir)
	if err != nil {
		return err
	}
	for _, hex := range blobs {
		info, err := s.dir.root.Lstat(dir + "/" + hex)
		if err != nil {
			return err
		}
		r, err := s.blobs.open(ctx, v1.Hash{Algorithm: algorithm, Hex: hex}, info.Size())
		if err != nil {
			return err
		}
		err = writeMemberOf(t, dir+"/"+hex, r, info.Size())
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// names lists a directory, sorted.
func (d *directory) names(dir string) (names []string, err error) {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// readArchiveBack opens the archive that was written.
func (s *spool) readArchiveBack(made string) error {
	t, err := openTar(made, s.o.MaxMembers)
	if err != nil {
		return err
	}
	return t.f.Close()
}

// publish gives the archive its name.
func (s *spool) publish(made string) error {
	now, err := os.Stat(s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.before == nil:
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return openArchiveError(s.file, err)
	case err != nil || s.before == nil || !os.SameFile(now, s.before) || now.Size() != s.before.Size() || !now.ModTime().Equal(s.before.ModTime()):
		return &registry.Error{Op: "write archive", Ref: safe(s.file), Kind: registry.ErrConflict, Detail: "another process has changed the file since it was opened"}
	}
	if err = os.Rename(made, s.file); err == nil {
		s.before, err = os.Stat(s.file)
	}
	if err != nil {
		return openArchiveError(s.file, err)
	}
	parent, err := os.OpenRoot(filepath.Dir(s.file))
	if err != nil {
		return openArchiveError(s.file, err)
	}
	defer func() { _ = parent.Close() }() // nothing was written by it
	return (&directory{root: parent}).syncDir(".")
}

// Close releases the directory's handle, and removes what an archive was spooled to. Every
// later use fails.
func (l *Layout) Close() error {
	if l == nil {
		return nil
	}
	err := l.dir.close()
	if l.spool != nil {
		err = errors.Join(err, os.RemoveAll(l.spool.scratch))
	}
	return err
}
