package gate

import (
	"bytes"
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/filelock"
	"github.com/hallmark-oci/hallmark/internal/share"
)

// StoreOptions say how content is kept. The zero value is usable.
type StoreOptions struct {
	// MaxBytes bounds what is kept; what was used longest ago goes first. Evidence has
	// a quarter of it at most, and makes room for other evidence: anybody who can push
	// can attach any amount. Zero: 64 GiB. A file that is being served stays until that
	// ends.
	MaxBytes int64
	// AlwaysVerify hashes content each time it is read, and not only before its
	// first use by this process and after its file has changed: for disks that
	// others can write to. False: the kernel copies, which is faster.
	AlwaysVerify bool
}

// Store keeps manifests and blobs on disk by their digest, as an OCI image layout
// does. One Store at a time may use a directory, which it locks until Close or the
// end of the process. It is safe for concurrent use.
//
// Content is written to a temporary file, hashed, synced and renamed: what bears a
// digest's name has had that digest. What a crash leaves behind is deleted when the
// directory is opened. Nothing in a store is a decision: content in it is served
// only where a decision about it holds.
//
// A Store stays in the directory that it has opened, wherever that is moved to, and
// follows no symbolic link out of it: another one under its name is never looked at.
//
// Source: OCI Image Format Specification v1.1, image-layout.md.
type Store struct {
	dir  string
	root *os.Root // dir as it was opened
	lock *os.File // held until Close
	o    StoreOptions

	closing sync.Once
	closed  error

	mu               sync.Mutex
	images, evidence shelf
	byHex            map[string]*list.Element

	// looking shares the hashing of what is there.
	looking share.Group[string, fingerprint]
}

// stored is a file of the store.
type stored struct {
	hex  string
	size int64
	// evidence: no image was seen to have it.
	evidence bool
	// seen is what the file was when it was last hashed; zero: not by this
	// process.
	seen fingerprint
}

// fingerprint changes when a file does, unless somebody takes care that it does
// not.
type fingerprint struct {
	size     int64
	modified time.Time
}

func fingerprintOf(i fs.FileInfo) fingerprint { return fingerprint{i.Size(), i.ModTime()} }

const (
	blobsDir = "blobs/sha256"
	tempDir  = "ingest"
	// lockName is also what layout.Layout locks before it writes.
	lockName = ".hallmark/lock"
)

var (
	// ErrStoreInUse is the error of OpenStore where a Store, of this process or of
	// another, has the directory open. Close that, or give each gate a directory of
	// its own.
	ErrStoreInUse = errors.New("the store is in use")
	// ErrStoreForeign is the error of OpenStore where the directory, or a part of it,
	// belongs to another user, who could change what is served.
	ErrStoreForeign = errors.New("the store belongs to another user")
)

// OpenStore opens a directory, which is made where it is missing, and locks it. Where
// its mode lets others write to it, that is changed; where it cannot be, it is an
// error. Other errors are ErrStoreInUse, ErrStoreForeign, and those of files.
// Nothing is deleted before the directory is locked. The lock is the system's: it
// ends with the process, and leaves nothing behind that must be removed.
func OpenStore(dir string, o StoreOptions) (*Store, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 30
	}
	s := &Store{dir: dir, o: o, images: shelf{order: list.New()}, evidence: shelf{order: list.New()}, byHex: make(map[string]*list.Element)}
	for _, step := range []func() error{s.enter, s.prepare, s.scan} {
		if err := step(); err != nil {
			return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.Close())
		}
	}
	return s, nil
}

// Close lets another Store open the directory. Call it once no gate uses the store:
// then content is neither found nor kept. Content that is being served is served to
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
		return fmt.Errorf("%w by another gate; stop it, or give this one a directory of its own", ErrStoreInUse)
	}
	return nil
}

// own makes a directory of the store, which no other user may change.
func (s *Store) own(dir string) error {
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := s.root.Stat(dir)
	if err != nil {
		return err
	}
	if !isOurs(info) {
		return fmt.Errorf("%s: %w; give this gate a directory of its own", filepath.Join(s.dir, dir), ErrStoreForeign)
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

// scan finds what is there, the oldest first.
func (s *Store) scan() error {
	entries, err := fs.ReadDir(s.root.FS(), blobsDir)
	if err != nil {
		return err
	}
	type found struct {
		stored
		at time.Time
	}
	var all []found
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || len(e.Name()) != 64 || !isHex(e.Name()) {
			continue // not ours; nothing asks for it
		}
		all = append(all, found{stored{hex: e.Name(), size: info.Size(), evidence: isEvidenceFile(info)}, info.ModTime()})
	}
	slices.SortFunc(all, func(a, b found) int { return a.at.Compare(b.at) })
	for _, f := range all {
		s.add(f.stored)
	}
	return nil
}

// name is where content is, in the store's directory.
func (s *Store) name(hex string) string { return blobsDir + "/" + hex }

// open opens content that is what its digest says, as far as its options have it
// looked at. image: it is wanted as an image's.
func (s *Store) open(ctx context.Context, digest string, image bool) (*os.File, int64, bool) {
	hex := strings.TrimPrefix(digest, "sha256:")
	known, ok := s.use(hex, image)
	if !ok {
		return nil, 0, false
	}
	f, now, err := s.file(hex)
	if err == nil && known.seen != now {
		if err = s.verify(ctx, hex, now); err != nil {
			_ = f.Close() // it was not read
		}
	}
	if err != nil {
		// Too many open files, for one, or a disk that cannot be read now, say nothing
		// about what is stored.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errForeign) {
			s.drop(digest)
		}
		return nil, 0, false
	}
	return f, now.size, true
}

var (
	// errForeign says that a file is not what its name says.
	errForeign = errors.New("the file is not what its name says")
	// errChanged says that a file is another one than a moment ago.
	errChanged = errors.New("the file has changed meanwhile")
)

// openNow opens a file for reading. A pipe that somebody has put in its place holds
// up nobody: what was opened is looked at before it is read.
func openNow(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|nonBlocking, 0) }

// file opens a file.
func (s *Store) file(hex string) (*os.File, fingerprint, error) {
	f, err := s.root.OpenFile(s.name(hex), os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, fingerprint{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errForeign
	}
	if err != nil {
		_ = f.Close() // it was not read
		return nil, fingerprint{}, err
	}
	return f, fingerprintOf(info), nil
}

// verify hashes a file, once for all who want it now: it may be large.
func (s *Store) verify(ctx context.Context, hex string, now fingerprint) error {
	seen, err := s.looking.Do(ctx, hex, func(ctx context.Context) (fingerprint, error) { return s.look(ctx, hex) })
	if err == nil && seen != now {
		err = errChanged
	}
	return err
}

// look hashes a file, unless that was done meanwhile, and says what it was then.
func (s *Store) look(ctx context.Context, hex string) (fingerprint, error) {
	f, now, err := s.file(hex)
	if err != nil {
		return fingerprint{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if known, ok := s.use(hex, false); ok && known.seen == now {
		return now, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &cancelled{ctx, f}); err != nil {
		return fingerprint{}, err
	}
	if hexOf(sum.Sum(nil)) != hex {
		return fingerprint{}, errForeign
	}
	s.seen(hex, now)
	return now, nil
}

// cancelled is content that is read until its context ends.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// has reports whether content is there, unseen.
func (s *Store) has(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byHex[strings.TrimPrefix(digest, "sha256:")]
	return ok
}

// drop deletes content.
func (s *Store) drop(digest string) {
	hex := strings.TrimPrefix(digest, "sha256:")
	s.mu.Lock()
	s.forget(hex)
	s.mu.Unlock()
	_ = s.root.Remove(s.name(hex)) // what stays is hashed before it is served
}

// create makes a file to write to.
func (s *Store) create() (*os.File, error) {
	return s.root.OpenFile(tempDir+"/blob-"+rand.Text(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// temporary is the name in the store's directory of a file that create has made.
func temporary(f *os.File) string { return tempDir + "/" + filepath.Base(f.Name()) }

// commit takes over a file whose content was hashed while it was written.
func (s *Store) commit(f *os.File, digest string, evidence bool) error {
	hex := strings.TrimPrefix(digest, "sha256:")
	if known, ok := s.use(hex, false); ok && !known.evidence {
		evidence = false // an image's download has come first
	}
	if evidence {
		_ = f.Chmod(evidenceMode) // where it has none, it is an image's after a restart
	}
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := s.root.Rename(temporary(f), s.name(hex)); err != nil {
		return err
	}
	if err := s.syncDir(blobsDir); err != nil {
		return err
	}
	s.add(stored{hex: hex, size: info.Size(), evidence: evidence, seen: fingerprintOf(info)})
	return nil
}

// putBytes stores content that was hashed.
func (s *Store) putBytes(digest string, content []byte, evidence bool) error {
	if _, ok := s.use(strings.TrimPrefix(digest, "sha256:"), !evidence); ok || !s.fits(int64(len(content)), evidence) {
		return nil
	}
	f, err := s.create()
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()                   // it was synced, or is of no use
		_ = s.root.Remove(temporary(f)) // renamed, where all went well
	}()
	if _, err := io.Copy(f, bytes.NewReader(content)); err != nil {
		return err
	}
	return s.commit(f, digest, evidence)
}

// syncDir makes a rename last. Where directories cannot be synced, the file
// system decides.
func (s *Store) syncDir(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}
