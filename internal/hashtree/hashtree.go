// Package hashtree hashes all files below a directory.
//
// [Hash] works in parallel and in bounded memory. It never leaves the directory, and
// never waits for something that is not a regular file.
package hashtree

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Errors of Hash, for errors.Is.
var (
	// ErrTooLarge: a bound of Options was reached.
	ErrTooLarge = errors.New("the tree is too large")
	// ErrChanged: a file changed while it was read, twice in a row.
	ErrChanged = errors.New("changed while it was hashed")
	// ErrName: a file's name cannot be written down without doubt.
	ErrName = errors.New("unusable file name")
)

// Defaults and bounds.
const (
	defaultMaxFiles = 1_000_000
	defaultMaxBytes = 1 << 40
	maxDepth        = 256
	bufferSize      = 128 << 10
)

// Options say what is hashed. The zero value hashes all files of a tree.
type Options struct {
	// Filter chooses files. Nil: all.
	Filter *Filter
	// Workers is how many files are read at once. Zero: one for each processor.
	Workers int
	// MaxFiles bounds the entries. Zero: one million.
	MaxFiles int
	// MaxBytes bounds what is read in all. Zero: 1 TiB.
	MaxBytes int64
	// Progress is told how much has been hashed, from one goroutine at a time, a few
	// times a second. Nil: no reports.
	Progress func(files int, bytes int64)
}

// Kind is what an entry of a tree is.
type Kind string

// The kinds.
const (
	// File is a regular file; it has a Digest.
	File Kind = "file"
	// Link is a symbolic link; it has a Target and is not followed.
	Link Kind = "symlink"
	// Special is a device, pipe or socket; it is not opened.
	Special Kind = "special"
)

// Entry is one thing in the tree other than a directory.
type Entry struct {
	// Path is relative to the directory, with slashes. It is valid UTF-8 without
	// control characters.
	Path string
	Kind Kind
	// Digest is the SHA-256 of a file, in lower-case hex, and Size its bytes.
	Digest string
	Size   int64
	// Mode are the file's mode bits.
	Mode fs.FileMode
	// Target is where a link points, as it says.
	Target string
}

// Hash hashes what the filter lets pass below a directory, and returns it sorted by path.
// Symbolic links are recorded and not followed, also in the names of directories: nothing
// outside of the directory is read.
//
// A file that changes while it is read is read once more. A second change is an error. On
// Unix a change of mode or links is one too.
func Hash(ctx context.Context, dir string, o Options) ([]Entry, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	h := &hasher{root: root, o: o.withDefaults()}
	if err := h.run(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(h.entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return h.entries, nil
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = defaultMaxFiles
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	return o
}

type hasher struct {
	root *os.Root
	o    Options

	mu      sync.Mutex
	entries []Entry
	files   atomic.Int64
	bytes   atomic.Int64
}

func (h *hasher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan Entry, 4*h.o.Workers)
	var workers sync.WaitGroup
	for range h.o.Workers {
		workers.Go(func() {
			buffer := make([]byte, bufferSize)
			for e := range work {
				if err := h.file(ctx, e, buffer); err != nil {
					cancel(err)
				}
			}
		})
	}
	stop := h.report()
	err := h.walk(ctx, ".", 0, work)
	close(work)
	workers.Wait()
	stop()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// report tells of progress until the function returned is called.
func (h *hasher) report() func() {
	if h.o.Progress == nil {
		return func() {}
	}
	tell := func() { h.o.Progress(int(h.files.Load()), h.bytes.Load()) }
	ticker, done, over := time.NewTicker(200*time.Millisecond), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-ticker.C:
				tell()
			case <-done:
				tell()
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done); <-over }
}

// walk lists a directory and all below, and hands files over to be hashed.
func (h *hasher) walk(ctx context.Context, dir string, depth int, work chan<- Entry) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: directories nest deeper than %d", ErrTooLarge, maxDepth)
	}
	list, err := h.list(dir)
	if err != nil {
		return err
	}
	for _, d := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := h.visit(ctx, path.Join(dir, d.Name()), d, depth, work); err != nil {
			return err
		}
	}
	return nil
}

// list reads a directory, which must not have become a link since.
func (h *hasher) list(dir string) ([]fs.DirEntry, error) {
	f, err := h.root.OpenFile(dir, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func (h *hasher) visit(ctx context.Context, name string, d fs.DirEntry, depth int, work chan<- Entry) error {
	if !h.o.Filter.passes(name, d.IsDir()) {
		return nil
	}
	if d.IsDir() {
		return h.walk(ctx, name, depth+1, work)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%w %q: it is not UTF-8 text, or holds control characters; leave it out with a filter", ErrName, name)
	}
	e := Entry{Path: name, Kind: Special, Mode: d.Type()}
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		target, err := h.root.Readlink(name)
		if err != nil {
			return err
		}
		e.Kind, e.Target = Link, target
	case d.Type().IsRegular():
		select {
		case work <- Entry{Path: name, Kind: File}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return h.add(e)
}

func (h *hasher) add(e Entry) error {
	h.files.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.entries) >= h.o.MaxFiles {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, h.o.MaxFiles)
	}
	h.entries = append(h.entries, e)
	return nil
}

func (h *hasher) file(ctx context.Context, e Entry, buffer []byte) error {
	if ctx.Err() != nil {
		return nil // the cause is known
	}
	for attempt := 1; ; attempt++ {
		stable, err := h.read(ctx, &e, buffer)
		if err != nil {
			return err
		}
		if stable {
			return h.add(e)
		}
		if attempt == 2 {
			return fmt.Errorf("%s: %w", e.Path, ErrChanged)
		}
	}
}

// read hashes a file; stable is false where the file changed while it was read. The file
// may have been replaced since it was listed: read opens it without waiting, and looks at
// it again.
func (h *hasher) read(ctx context.Context, e *Entry, buffer []byte) (stable bool, err error) {
	f, err := h.root.OpenFile(e.Path, os.O_RDONLY|noFollow|nonBlock, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !before.Mode().IsRegular() {
		return false, fmt.Errorf("%s: %w: it is not a regular file any more", e.Path, ErrChanged)
	}
	sum := sha256.New()
	n := int64(0)
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		m, err := f.Read(buffer)
		sum.Write(buffer[:m])
		n += int64(m)
		if total := h.bytes.Add(int64(m)); total > h.o.MaxBytes {
			return false, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, h.o.MaxBytes)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	after, err := f.Stat()
	if err != nil {
		return false, err
	}
	e.Digest, e.Size, e.Mode = hex.EncodeToString(sum.Sum(nil)), n, after.Mode()
	same := n == after.Size() && after.Size() == before.Size() && after.ModTime().Equal(before.ModTime())
	return same && changeTime(after) == changeTime(before), nil
}
