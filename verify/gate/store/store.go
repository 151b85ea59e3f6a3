// Package store keeps the content that a gate serves on disk, by digest, and verifies it
// before it is served.
//
//	s, err := store.Open("/var/lib/gate", store.Options{})
//	defer s.Close()
//	h, err := gate.NewHandler(gate.Config{Store: s, ...})
//
// A store holds no decisions. A gate serves content from a store only while a decision
// about that content holds.
//
//   - A file under a digest's name had that digest when it was written, and is hashed
//     before its first use by a process.
//   - Options.MaxBytes bounds the store. Content that was used longest ago is deleted first.
//   - One Store at a time uses a directory.
//
// Source: OCI Image Format Specification v1.1, image-layout.md.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/filelock"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
)

// Options configure a Store. The zero value is usable.
type Options struct {
	// MaxBytes bounds the content. The least recently used is deleted first. Evidence has
	// at most a quarter, and makes room only for other evidence: an attacker who can push
	// can attach any amount. A file that is being served stays until that ends. Zero: 64
	// GiB.
	MaxBytes int64
	// AlwaysVerify hashes content each time it is read: for disks that others can write to.
	// False: content is hashed before its first use by this process and after its file
	// changed, and the kernel copies it, which is faster.
	AlwaysVerify bool
}

// Store keeps manifests and blobs on disk by digest, as an OCI image layout does. It is
// safe for concurrent use. One Store at a time may use a directory, which it locks until
// Close or the end of the process.
//
// Content is written to a temporary file, hashed, synced and renamed: a file under a
// digest's name had that digest. What a crash leaves behind is deleted when the directory
// is opened.
//
// A Store stays in the directory that it opened, even if that is moved, and follows no
// symbolic link out of it.
type Store struct {
	dir  string
	root *os.Root // dir as it was opened
	lock *os.File // held until Close
	o    Options

	closing sync.Once
	closed  error

	// held are the files, by the hex of their digests.
	held *lru.Cache[string, stored]
	// looking shares the hashing of what is there.
	looking singleflight.Group[string, fingerprint]
}

// Part is a part of a store. Evidence displaces no image.
type Part int

// The parts of a store.
const (
	Images Part = iota
	// Evidence has at most a quarter of Options.MaxBytes.
	Evidence
)

// evidenceShare: evidence has at most one part in so many.
const evidenceShare = 4

// stored is a file of the store.
type stored struct {
	size int64
	in   Part
	// seen is the file's fingerprint when it was last hashed; zero: not by this process.
	seen fingerprint
}

// fingerprint changes when a file does, unless its writer prevents that.
type fingerprint struct {
	size     int64
	modified time.Time
}

func fingerprintOf(i fs.FileInfo) fingerprint { return fingerprint{i.Size(), i.ModTime()} }

// The owner's right to write tells after a restart what is evidence. On systems without
// such rights, evidence counts as an image's after a restart.
const (
	imageMode    fs.FileMode = 0o600
	evidenceMode fs.FileMode = 0o400
)

func partOf(info fs.FileInfo) Part {
	if info.Mode().Perm()&0o200 == 0 {
		return Evidence
	}
	return Images
}

const (
	blobsDir = "blobs/sha256"
	tempDir  = "ingest"
	// lockName is also what layout.Layout locks before it writes.
	lockName = ".hallmark/lock"
)

var (
	// ErrInUse is the error of Open if another Store, of this or another process, has the
	// directory open. Close that Store, or use a directory for each gate.
	ErrInUse = errors.New("the store is in use")
	// ErrForeign is the error of Open if the directory, or a part of it, belongs to another
	// user, who could change what is served.
	ErrForeign = errors.New("the store belongs to another user")
)

// Open opens and locks a directory, and makes it if it is missing. Errors are ErrInUse,
// ErrForeign, and those of files.
//
//   - A mode that lets others write is changed; if that fails, it is an error.
//   - Nothing is deleted before the directory is locked.
//   - The lock is the system's: it ends with the process and leaves nothing to remove.
func Open(dir string, o Options) (*Store, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 30
	}
	s := &Store{dir: dir, o: o}
	s.held = lru.Make(lru.Options[string, stored]{
		Weight: func(f stored) int64 { return f.size }, Shelves: []int64{Images: 0, Evidence: o.MaxBytes / evidenceShare}, Total: o.MaxBytes,
		Evicted: func(hex string, _ stored) { _ = s.root.Remove(s.name(hex)) }, // what stays is found at the next start
	})
	for _, step := range []func() error{s.enter, s.prepare, s.scan} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.Close())
		}
	}
	return s, nil
}

// Close lets another Store open the directory. Call it when no gate uses the store:
// afterwards content is neither found nor kept. Content that is being served is served to
// its end. Closing again does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		if s.root != nil {
			s.closed = s.root.Close()
		}
		if s.lock != nil { // last: until then, the directory was ours
			s.closed = errors.Join(s.closed, s.lock.Close())
		}
	})
	return s.closed
}

// enter opens the directory and locks it.
func (s *Store) enter() (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return err
	}
	for _, d := range []string{".", filepath.Dir(lockName)} {
		if err := s.own(d); err != nil {
			return err
		}
	}
	if s.lock, err = s.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE|nonBlocking, 0o600); err != nil {
		return err
	}
	info, err := s.lock.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", lockName, file.ErrNotRegular)
	}
	if err != nil {
		return err
	}
	locked, err := filelock.Try(s.lock)
	if err != nil {
		return fmt.Errorf("the directory cannot be locked: %w", err)
	}
	// A file that has taken its place has a lock of its own.
	now, err := s.root.Lstat(lockName)
	if err != nil || !locked || !os.SameFile(info, now) {
		return fmt.Errorf("%w by another gate; stop it, or give this one a directory of its own", ErrInUse)
	}
	return nil
}

// own makes a directory that no other user may change.
func (s *Store) own(dir string) error {
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := s.root.Stat(dir)
	if err != nil {
		return err
	}
	if !isOurs(info) {
		return fmt.Errorf("%s: %w; give this gate a directory of its own", filepath.Join(s.dir, dir), ErrForeign)
	}
	return tighten(s.root, dir, info)
}

func (s *Store) prepare() error {
	for _, d := range []string{"blobs", blobsDir, tempDir} {
		if err := s.own(d); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
	} {
		// A pipe would hold up who reads it or writes to it.
		if info, err := s.root.Stat(name); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s: %w", name, file.ErrNotRegular)
		}
		if held, err := s.root.ReadFile(name); err == nil && json.Valid(held) {
			continue
		}
		if err := s.root.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	left, err := fs.ReadDir(s.root.FS(), tempDir)
	for _, e := range left {
		err = errors.Join(err, s.root.Remove(tempDir+"/"+e.Name()))
	}
	return err
}

// scan finds the content, oldest first.
func (s *Store) scan() error {
	entries, err := fs.ReadDir(s.root.FS(), blobsDir)
	if err != nil {
		return err
	}
	var all []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || len(e.Name()) != 64 || !isHex(e.Name()) {
			continue // not ours; nothing asks for it
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range all {
		s.add(info.Name(), stored{size: info.Size(), in: partOf(info)})
	}
	return nil
}

// add counts a file, and deletes others where there are too many.
func (s *Store) add(hex string, f stored) { s.held.PutOn(int(f.in), hex, f) }

// name is where content is, in the store's directory.
func (s *Store) name(hex string) string { return blobsDir + "/" + hex }

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func isHex(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}
