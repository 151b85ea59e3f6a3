package layout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
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

// errIrregular says that a file of the layout is not a regular file, or a directory
// of it not a directory.
var errIrregular = errors.New("refused")

// errReadOnly is the error for a write to an archive.
var errReadOnly = errors.New("an archive is not changed in place: open it with Options.Create")

// directory is a layout's directory. Files in it are reached through its handle alone.
type directory struct {
	path string // for messages
	root *os.Root
	// tar holds the files in place of a directory, and is not written to. root is nil then.
	tar *archive
	// scratch says that nothing need outlive a crash: files are not flushed to the disk.
	scratch bool
}

// close releases the handle.
func (d *directory) close() error {
	if d.tar != nil {
		return d.tar.f.Close()
	}
	return d.root.Close()
}

// checkPath fails with errIrregular unless the file is regular, and all directories above
// it are directories. A layout needs no symbolic links, and reading a FIFO or device
// could hang.
func (d *directory) checkPath(file string) error {
	if err := d.checkDir(path.Dir(file)); err != nil {
		return err
	}
	info, err := d.root.Lstat(file)
	if err != nil {
		return err
	}
	return regular(file, info)
}

// checkDir checks a directory, those above it first.
func (d *directory) checkDir(dir string) error {
	if dir == "." {
		return nil
	}
	if err := d.checkDir(path.Dir(dir)); err != nil {
		return err
	}
	info, err := d.root.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%w: %s should be a directory and is %s", errIrregular, dir, typeOf(info))
	}
	return err
}

// makeDir makes a directory, and those above it, where they are missing.
func (d *directory) makeDir(dir string) error {
	if d.tar != nil {
		return errReadOnly
	}
	err := d.checkDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	if err := d.root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(d.checkDir(dir), d.syncDir(path.Dir(dir)))
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
func (d *directory) openFile(file string) (io.ReadCloser, int64, error) {
	if d.tar != nil {
		return d.tar.open(file)
	}
	if err := d.checkPath(file); err != nil {
		return nil, 0, err
	}
	f, err := d.root.OpenFile(file, os.O_RDONLY|openNonblock, 0)
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
func (d *directory) readFile(file string, bound int64) ([]byte, error) {
	f, _, err := d.openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return limit.ReadAll(f, bound)
}

// writeFile puts what fill writes in the place of a file: aside first, flushed to
// the disk, then renamed. What was there stays until the rename.
func (d *directory) writeFile(file string, fill func(io.Writer) error) (err error) {
	for _, dir := range []string{path.Dir(file), privateDir} {
		if err := d.makeDir(dir); err != nil {
			return err
		}
	}
	temp := privateDir + "/" + tempPrefix + rand.Text()
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.root.Remove(temp) // err says what matters; a later writer removes it too
		}
	}()
	if err = fillAndClose(f, fill, !d.scratch); err != nil {
		return err
	}
	if err = d.root.Rename(temp, file); err != nil {
		return err
	}
	return d.syncDir(path.Dir(file))
}

func fillAndClose(f *os.File, fill func(io.Writer) error, flush bool) error {
	err := fill(f)
	if err == nil && flush {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func writeString(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// syncDir flushes a directory: a rename in it then outlives a power failure.
func (d *directory) syncDir(dir string) error {
	if runtime.GOOS == "windows" || d.scratch {
		return nil // directories cannot be flushed there; NTFS journals the rename
	}
	handle, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

// removeStale removes what crashed writers left behind. It is best effort: such
// files do no harm.
func (d *directory) removeStale(now time.Time, most int) {
	dir, err := d.root.Open(privateDir)
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(most)
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), tempPrefix) && now.Sub(info.ModTime()) > staleTemp {
			_ = d.root.Remove(privateDir + "/" + e.Name())
		}
	}
}

// checkVersion fails where the directory is not a layout of a known version.
func (d *directory) checkVersion() error {
	data, err := d.readFile(layoutFile, maxLayoutFile)
	if err != nil {
		return d.fileError("open layout", layoutFile, err)
	}
	v, err := strictjson.Parse(data)
	if err != nil {
		return d.fail("open layout", layoutFile, registry.ErrMalformed, "", err)
	}
	version, ok := v.Get("imageLayoutVersion").Str()
	switch {
	case !ok:
		return d.fail("open layout", layoutFile, registry.ErrMalformed, "it has no imageLayoutVersion", nil)
	case version != layoutVersion:
		return d.fail("open layout", layoutFile, registry.ErrUnsupported,
			fmt.Sprintf("imageLayoutVersion is %q; only %q is known", safe(version), layoutVersion), nil)
	}
	return nil
}

// live fails where the context has ended.
func (d *directory) live(ctx context.Context, op, what string) error {
	if err := ctx.Err(); err != nil {
		return d.fail(op, what, registry.ErrUnavailable, "", err)
	}
	return nil
}

// fail makes an error about a part of the layout.
func (d *directory) fail(op, what string, kind registry.Kind, detail string, err error) error {
	ref := filepath.Clean(d.path)
	if what != "" {
		ref += ": " + what
	}
	return &registry.Error{Op: op, Ref: safe(ref), Kind: kind, Detail: detail, Err: err}
}

func (d *directory) fileError(op, what string, err error) error {
	return d.fail(op, what, fileKind(err), "", err)
}

func fileError(op, ref string, err error) error {
	return &registry.Error{Op: op, Ref: ref, Kind: fileKind(err), Err: err}
}

// fileKind classifies an error of the file system.
func fileKind(err error) registry.Kind {
	switch {
	case errors.Is(err, errIrregular):
		return registry.ErrMalformed
	case errors.Is(err, errReadOnly):
		return registry.ErrUnsupported
	case errors.Is(err, limit.ErrExceeded):
		return registry.ErrTooLarge
	case errors.Is(err, fs.ErrNotExist):
		return registry.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return registry.ErrDenied
	}
	return registry.ErrUnavailable
}

func safe(s string) string { return registry.SafeText(s, 512) }
