package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Fits reports whether content of a size can be kept in a part.
func (s *Store) Fits(size int64, in Part) bool {
	if in == Evidence {
		return size <= s.o.MaxBytes/evidenceShare
	}
	return size <= s.o.MaxBytes
}

// Has reports whether content of a digest exists, without reading it.
func (s *Store) Has(digest string) bool { return s.held.Has(hexOf(digest)) }

// AlwaysVerify is Options.AlwaysVerify: the reader of content must hash it.
func (s *Store) AlwaysVerify() bool { return s.o.AlwaysVerify }

// Get opens content, after hashing it as Options require. Content used as Images belongs to
// images from then on. Content of both parts is found as Evidence. The caller closes the
// file.
func (s *Store) Get(ctx context.Context, digest string, as Part) (f *os.File, size int64, ok bool) {
	hex := hexOf(digest)
	known, ok := s.use(hex, as)
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
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errAnother) {
			s.Drop(digest)
		}
		return nil, 0, false
	}
	return f, now.size, true
}

// use notes that content is used. Evidence that an image uses belongs to images from then
// on.
func (s *Store) use(hex string, as Part) (stored, bool) {
	promoted := false
	f, ok := s.held.Change(hex, func(f stored) (stored, int) {
		promoted = as == Images && f.in == Evidence
		if promoted {
			f.in = Images
		}
		return f, int(f.in)
	})
	if !promoted {
		return f, ok
	}
	if file, _, err := s.file(hex); err == nil {
		_ = file.Chmod(imageMode) // where it has none, it is evidence after a restart
		_ = file.Close()          // it was not written to
	}
	return f, ok
}

var (
	// errAnother says that a file is not what its name says.
	errAnother = errors.New("the file is not what its name says")
	// errChanged says that a file is another one than a moment ago.
	errChanged = errors.New("the file has changed since it was opened")
)

// file opens a file. A pipe in its place blocks no caller.
func (s *Store) file(hex string) (*os.File, fingerprint, error) {
	f, err := s.root.OpenFile(s.name(hex), os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, fingerprint{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errAnother
	}
	if err != nil {
		_ = f.Close() // it was not read
		return nil, fingerprint{}, err
	}
	return f, fingerprintOf(info), nil
}

// verify hashes a file, once for concurrent callers: it may be large.
func (s *Store) verify(ctx context.Context, hex string, now fingerprint) error {
	seen, err := s.looking.Do(ctx, hex, func(ctx context.Context) (fingerprint, error) { return s.look(ctx, hex) })
	if err == nil && seen != now {
		err = errChanged
	}
	return err
}

// look hashes a file, unless another caller did, and returns its fingerprint.
func (s *Store) look(ctx context.Context, name string) (fingerprint, error) {
	f, now, err := s.file(name)
	if err != nil {
		return fingerprint{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if known, ok := s.use(name, Evidence); ok && known.seen == now {
		return now, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &cancelled{ctx, f}); err != nil {
		return fingerprint{}, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != name {
		return fingerprint{}, errAnother
	}
	s.held.Change(name, func(f stored) (stored, int) {
		f.size, f.seen = now.size, now
		return f, int(f.in)
	})
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

// Drop deletes content.
func (s *Store) Drop(digest string) {
	hex := hexOf(digest)
	s.held.Remove(hex)
	_ = s.root.Remove(s.name(hex)) // what stays is hashed before it is served
}

// Create makes a file to write to. Commit keeps it. Otherwise the caller removes it. The
// caller closes it.
func (s *Store) Create() (*os.File, error) {
	return s.root.OpenFile(tempDir+"/blob-"+rand.Text(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// temporary is the name of a file of Create, in the store's directory.
func temporary(f *os.File) string { return tempDir + "/" + filepath.Base(f.Name()) }

// Commit keeps a file of Create. The caller hashed its content while writing it.
func (s *Store) Commit(f *os.File, digest string, in Part) error {
	hex := hexOf(digest)
	if known, ok := s.use(hex, Evidence); ok && known.in == Images {
		in = Images // an image's download has come first
	}
	if in == Evidence {
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
	s.add(hex, stored{size: info.Size(), in: in, seen: fingerprintOf(info)})
	return nil
}

// Put stores content that the caller hashed. Content that exists, or is too large for its
// part, is left alone.
func (s *Store) Put(digest string, content []byte, in Part) error {
	if _, ok := s.use(hexOf(digest), in); ok || !s.Fits(int64(len(content)), in) {
		return nil
	}
	f, err := s.Create()
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
	return s.Commit(f, digest, in)
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
