package proxy

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/registry"
)

// downloads are the blobs that are being fetched. All who want one at the same time
// read from one file while it grows.
type downloads struct {
	g  *gate
	mu sync.Mutex
	by map[downloadKey]*download
}

// downloadKey names a download. An upstream that is slow holds up nobody who asks
// another one, and a manifest that lies about a size nobody who has the true one.
type downloadKey struct {
	address name.Registry
	digest  string
	// size is what a manifest says; unknownSize: what it is, up to MaxEvidenceBytes.
	size int64
	// by are those who may join: who reads the same repository with the same login.
	// Zero: everybody.
	by pull
}

// unknownSize is that of a blob of evidence: whoever attaches some can claim any other.
const unknownSize = -1

// download is a blob on its way from an upstream to a file. The registry's client
// hashes it: until that has seen the whole blob, the last byte is withheld.
type download struct {
	all    *downloads
	key    downloadKey
	digest string
	size   int64
	// p is what its first client asked for: it is read from there.
	p    pull
	file *os.File
	// stays: the file is in the store, and can become part of it.
	stays  bool
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	written int64
	done    bool // with err
	err     error
	grown   chan struct{} // closed when any of these changes
	users   int
	// evidence: nobody wants it as an image's.
	evidence bool
	ending   bool // its last client has gone: nobody may join any more
}

var (
	// errSpool says that the file failed, not the content.
	errSpool = errors.New("the temporary file cannot be written")
	// errStored says that the blob is in the store.
	errStored = errors.New("the blob is in the store")
	// errOthers says that a download failed which somebody else began: from a
	// repository that lacks the blob, or with a login that has ended.
	errOthers = errors.New("somebody else's download has failed")
)

// join returns the download of a blob, begun where there is none. Each who joins
// must leave.
func (d *downloads) join(ctx context.Context, p pull, key downloadKey, evidence bool) (*download, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.g.c.Store; s != nil && s.has(key.digest) {
		return nil, errStored // it came between the caller's look and now
	}
	if l := d.by[key]; l != nil && l.enter(evidence) {
		fair.Join(l.ctx, ctx) // who waits must not wait in another one's queue
		return l, nil
	}
	file, stays, err := d.file(key.size, evidence)
	if err != nil {
		return nil, errors.Join(errSpool, err)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &download{all: d, key: key, digest: key.digest, size: key.size, p: p, file: file, stays: stays, ctx: own, cancel: cancel, grown: make(chan struct{}), users: 2, evidence: evidence}
	if d.by == nil {
		d.by = make(map[downloadKey]*download)
	}
	d.by[key] = l
	go d.run(own, l)
	return l, nil
}

// forget lets nobody join any more.
func (d *downloads) forget(l *download) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by[l.key] == l {
		delete(d.by, l.key)
	}
}

// file makes the file: in the store, where it can stay there.
func (d *downloads) file(size int64, evidence bool) (file *os.File, stays bool, err error) {
	if s := d.g.c.Store; s != nil && s.fits(max(size, 0), evidence) {
		file, err = s.create()
		return file, true, err
	}
	f, err := os.CreateTemp(d.g.c.TempDir, "hallmark-gate-*")
	if err == nil {
		// Where an open file can be deleted, a crash leaves nothing behind.
		_ = os.Remove(f.Name())
	}
	return f, false, err
}

func (d *downloads) run(ctx context.Context, l *download) {
	defer l.leave()
	err := panics.Caught(func() error { return l.fetch(ctx) })
	l.finish(err)
	d.g.survive(ctx, func() { d.g.fetched(ctx, l, err) })
	stored := false
	d.g.survive(ctx, func() { stored = err == nil && d.keep(ctx, l) })
	if err != nil || stored {
		d.forget(l)
	} // Otherwise others may join as long as somebody reads the file.
}

// keep moves a complete file into the store, and reports whether it is there.
func (d *downloads) keep(ctx context.Context, l *download) bool {
	if !l.stays {
		return false
	}
	l.mu.Lock()
	evidence, size := l.evidence, l.written
	l.mu.Unlock()
	if !d.g.c.Store.fits(size, evidence) {
		return false
	}
	if evidence { // what is none is not kept
		seen, err := d.g.form(ctx, l.digest, io.NewSectionReader(l.file, 0, size))
		if err != nil || seen.kinds == 0 {
			return false
		}
	}
	if err := d.g.c.Store.commit(l.file, l.digest, evidence); err != nil {
		d.g.c.Logger.WarnContext(ctx, "blob not stored", "digest", l.digest, "error", err)
		return false
	}
	return true
}

// chunk is how much is read from an upstream at once.
const chunk = 256 << 10

// fetch copies the blob to the file. Its end is reached only where the content is
// the blob.
func (l *download) fetch(ctx context.Context) error {
	body, err := l.p.from.Blob(ctx, l.p.digest(l.digest), l.size)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	buffer := l.all.g.chunks.Get().(*[]byte)
	defer l.all.g.chunks.Put(buffer)
	for {
		n, err := io.ReadAtLeast(body, *buffer, chunk)
		if n > 0 {
			if _, err := l.file.Write((*buffer)[:n]); err != nil {
				return errors.Join(errSpool, err)
			}
			l.grow(int64(n))
		}
		if l.size == unknownSize && l.written > l.all.g.c.MaxEvidenceBytes {
			return noEvidence()
		}
		// Compared, not asked with errors.Is: a connection that broke off is an error
		// that wraps io.ErrUnexpectedEOF. ReadAtLeast's own follows on the io.EOF that
		// means verified content.
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

func (l *download) grow(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written += n
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *download) finish(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done, l.err = true, err
	close(l.grown)
	l.grown = make(chan struct{})
}

// enter joins, unless everybody has left already.
func (l *download) enter(evidence bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 || l.err != nil || l.ending {
		return false
	}
	l.users++
	l.evidence = l.evidence && evidence
	return true
}

// leave ends the download with the last who wants it. The download itself counts
// as one until it has ended.
func (l *download) leave() {
	l.mu.Lock()
	l.users--
	alone, none := l.users == 1 && !l.done, l.users == 0
	l.ending = l.ending || alone
	l.mu.Unlock()
	if alone {
		l.cancel()
	}
	if none {
		l.all.forget(l)
		l.cancel()
		_ = l.file.Close()           // nobody reads it any more
		_ = os.Remove(l.file.Name()) // renamed or deleted before, mostly
	}
}

// available waits until there is content from an offset that may be given out, and
// says how far it goes.
func (l *download) available(ctx context.Context, from int64) (int64, error) {
	for {
		l.mu.Lock()
		written, done, err, grown := l.written, l.done, l.err, l.grown
		l.mu.Unlock()
		to := min(written, l.size-1)
		switch {
		case done && err == nil:
			return written, nil
		case done:
			return from, err
		case to > from:
			return to, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return from, ctx.Err()
		}
	}
}

// view is the file as one client reads it.
type view struct {
	own    *os.File // nil: it could not be opened again
	shared *os.File
}

func (l *download) view() view {
	own, err := openNow(l.file.Name())
	if err != nil {
		return view{nil, l.file}
	}
	// The name may be another file's by now: this one was renamed or deleted.
	mine, err := own.Stat()
	theirs, err2 := l.file.Stat()
	if err != nil || err2 != nil || !os.SameFile(mine, theirs) {
		_ = own.Close() // it was not read
		return view{nil, l.file}
	}
	return view{own, l.file}
}

func (v view) close() {
	if v.own != nil {
		_ = v.own.Close() // it was only read
	}
}

// isMismatch reports whether an upstream gave other content than it should.
func isMismatch(err error) bool {
	return errors.Is(err, registry.ErrDigestMismatch) || errors.Is(err, registry.ErrTooLarge)
}
