package layout

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/filelock"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	// privateDir holds the lock and the files that are being written.
	privateDir = ".hallmark"
	lockFile   = privateDir + "/lock"
	tempPrefix = "tmp-"
	// staleTemp is how long after its last write a temporary file counts as left
	// behind by a crash.
	staleTemp = 24 * time.Hour
)

// errIrregular says that a file of the layout is no regular file, or a directory
// of it no directory.
var errIrregular = errors.New("refused")

func blobPath(h v1.Hash) string { return blobsDir + "/" + h.Hex }

// checkPath fails with errIrregular where the file is there and is not regular,
// or a directory above it is none: a layout has no need of symbolic links, and a
// read from a FIFO or device could hang.
func (l *Layout) checkPath(file string) error {
	if err := l.checkDir(path.Dir(file)); err != nil {
		return err
	}
	info, err := l.root.Lstat(file)
	if err != nil {
		return err
	}
	return regular(file, info)
}

// checkDir checks a directory, those above it first.
func (l *Layout) checkDir(dir string) error {
	if dir == "." {
		return nil
	}
	if err := l.checkDir(path.Dir(dir)); err != nil {
		return err
	}
	info, err := l.root.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%w: %s should be a directory and is %s", errIrregular, dir, typeOf(info))
	}
	return err
}

// makeDir makes a directory, and those above it, where they are missing.
func (l *Layout) makeDir(dir string) error {
	err := l.checkDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	if err := l.root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(l.checkDir(dir), l.syncDir(path.Dir(dir)))
}

func regular(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s should be a regular file and is %s", errIrregular, file, typeOf(info))
	}
	return nil
}

func typeOf(info fs.FileInfo) string {
	switch {
	case info.Mode().IsRegular():
		return "a regular file"
	case info.IsDir():
		return "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a special file"
}

// openFile opens a regular file for reading.
func (l *Layout) openFile(file string) (*os.File, int64, error) {
	if err := l.checkPath(file); err != nil {
		return nil, 0, err
	}
	f, err := l.root.OpenFile(file, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(file, info)
	}
	if err != nil {
		_ = f.Close() // it was only read from
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// readFile reads a regular file of at most bound bytes.
func (l *Layout) readFile(file string, bound int64) ([]byte, error) {
	f, _, err := l.openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return limit.ReadAll(f, bound)
}

// Blob implements Reader.
func (l *Layout) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	h, err := registry.HashOf(ref)
	if err != nil {
		return nil, err
	}
	if err := l.live(ctx, "read blob", h.String()); err != nil {
		return nil, err
	}
	f, _, err := l.openFile(blobPath(h))
	if err != nil {
		return nil, l.fileError("read blob", h.String(), err)
	}
	bound := size
	if size < 0 {
		bound = l.o.MaxBlobSize
	}
	return &layoutBlob{ctx: ctx, l: l, f: f, want: h, exact: size >= 0, left: bound, hash: sha256.New()}, nil
}

// layoutBlob reads a blob and verifies it at its end.
type layoutBlob struct {
	ctx   context.Context
	l     *Layout
	f     *os.File
	want  v1.Hash
	exact bool  // left is how many bytes must come
	left  int64 // how many bytes may still come
	hash  hash.Hash
	end   error // what every further Read returns
}

func (b *layoutBlob) Read(p []byte) (int, error) {
	if len(p) == 0 || b.end != nil {
		return 0, b.end
	}
	if b.end = b.l.live(b.ctx, "read blob", b.want.String()); b.end != nil {
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
		b.end = b.l.fileError("read blob", b.want.String(), err)
	}
	return n, b.end
}

// finish is called where all bytes that may come have come.
func (b *layoutBlob) finish() error {
	var probe [1]byte
	n, err := io.ReadFull(b.f, probe[:])
	switch {
	case n > 0:
		b.end = b.l.fail("read blob", b.want.String(), registry.ErrTooLarge, "the file is longer than it should be", nil)
	case err == io.EOF:
		b.end = b.verdict()
	default:
		b.end = b.l.fileError("read blob", b.want.String(), err)
	}
	return b.end
}

func (b *layoutBlob) verdict() error {
	if b.exact && b.left > 0 {
		return b.l.fail("read blob", b.want.String(), registry.ErrDigestMismatch, "the file is shorter than it should be", nil)
	}
	if hex.EncodeToString(b.hash.Sum(nil)) != b.want.Hex {
		return b.l.fail("read blob", b.want.String(), registry.ErrDigestMismatch, "the file holds other bytes than its name says", nil)
	}
	return io.EOF
}

func (b *layoutBlob) Close() error { return b.f.Close() }

// holds reports whether the layout has exactly the bytes of h; a negative size
// means any up to MaxBlobSize. Wrong bytes, more of them or an irregular file count as absence, so that a push
// repairs them.
func (l *Layout) holds(ctx context.Context, h v1.Hash, size int64) (bool, error) {
	if err := l.live(ctx, "look for blob", h.String()); err != nil {
		return false, err
	}
	f, have, err := l.openFile(blobPath(h))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errIrregular):
		return false, nil
	case err != nil:
		return false, l.fileError("look for blob", h.String(), err)
	}
	b := &layoutBlob{ctx: ctx, l: l, f: f, want: h, left: have, hash: sha256.New()}
	defer b.Close()
	if size >= 0 && have != size || size < 0 && have > l.o.MaxBlobSize {
		return false, nil
	}
	_, err = io.Copy(io.Discard, b)
	if errors.Is(err, registry.ErrDigestMismatch) || errors.Is(err, registry.ErrTooLarge) {
		return false, nil
	}
	return err == nil, err
}

// writeFile puts what fill writes in the place of a file: aside first, flushed to
// the disk, then renamed. What was there stays until the rename.
func (l *Layout) writeFile(file string, fill func(io.Writer) error) (err error) {
	for _, dir := range []string{path.Dir(file), privateDir} {
		if err := l.makeDir(dir); err != nil {
			return err
		}
	}
	temp := privateDir + "/" + tempPrefix + rand.Text()
	f, err := l.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = l.root.Remove(temp) // err says what matters; a later writer removes it too
		}
	}()
	if err = fillAndClose(f, fill); err != nil {
		return err
	}
	if err = l.root.Rename(temp, file); err != nil {
		return err
	}
	return l.syncDir(path.Dir(file))
}

func fillAndClose(f *os.File, fill func(io.Writer) error) error {
	err := fill(f)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// syncDir flushes a directory, so that a rename in it outlives a power failure.
func (l *Layout) syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be flushed there; NTFS journals the rename
	}
	d, err := l.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeStale removes what crashed writers left behind. It is best effort: such
// files do no harm.
func (l *Layout) removeStale(now time.Time) {
	dir, err := l.root.Open(privateDir)
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(l.o.MaxEntries)
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), tempPrefix) && now.Sub(info.ModTime()) > staleTemp {
			_ = l.root.Remove(privateDir + "/" + e.Name())
		}
	}
}

// lock waits for this writer's turn: among the goroutines that share the Layout,
// then among processes.
func (l *Layout) lock(ctx context.Context, op string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.o.LockTimeout, errLocked)
	defer cancel()
	select {
	case l.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, l.fail(op, lockFile, registry.ErrUnavailable, "", context.Cause(ctx))
	}
	f, err := l.lockAmongProcesses(ctx, op)
	if err != nil {
		<-l.writing
		return nil, err
	}
	return func() {
		_ = f.Close() // releases the lock; nothing was written to it
		<-l.writing
	}, nil
}

// errLocked is the cause of a lock that could not be had in time.
var errLocked = errors.New("other writers hold the lock for too long")

func (l *Layout) lockAmongProcesses(ctx context.Context, op string) (*os.File, error) {
	if err := l.makeDir(privateDir); err != nil {
		return nil, l.fileError(op, privateDir, err)
	}
	if err := l.checkPath(lockFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, l.fileError(op, lockFile, err)
	}
	f, err := l.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|openNonblock, 0o644)
	if err != nil {
		return nil, l.fileError(op, lockFile, err)
	}
	if err := l.waitForLock(ctx, op, f); err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	return f, nil
}

// waitForLock asks again and again: no system can wait for a lock and for a
// context at once.
func (l *Layout) waitForLock(ctx context.Context, op string, f *os.File) error {
	const pause = 5 * time.Millisecond
	for {
		locked, err := filelock.Try(f)
		if err != nil {
			return l.fail(op, lockFile, lockKind(err), "", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return l.fail(op, lockFile, registry.ErrUnavailable, "", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func lockKind(err error) registry.Kind {
	if errors.Is(err, errors.ErrUnsupported) {
		return registry.ErrUnsupported
	}
	return registry.ErrUnavailable
}
