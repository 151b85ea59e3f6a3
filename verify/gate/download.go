package gate

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// downloads are the blobs that are being fetched. Concurrent clients of a blob read one
// file while it grows.
type downloads struct {
	store   *store.Store // nil: none
	tempDir string
	// maxKept and maxEvidence are Config.MaxSpoolBytes and Config.MaxEvidenceBytes.
	maxKept, maxEvidence int64
	forms                *forms
	report               *reporter
	// chunks are for reading from upstreams; buffers are small.
	chunks, buffers *sync.Pool

	mu sync.Mutex
	by map[downloadKey]*download
	// kept are complete downloads that stay for a while after their last client, the one
	// that was complete first in front, and keptBytes their size.
	kept      []*download
	keptBytes int64
	// paused counts downloads that have no client now.
	paused atomic.Int64
	// large counts the large buffers in use.
	large atomic.Int64
}

// downloadKey names a download. A slow upstream delays no client of another upstream. A
// manifest that lies about a size delays no client of a manifest with the true one.
type downloadKey struct {
	address name.Registry
	digest  string
	// size is what a manifest says; unknownSize: what it is, up to MaxEvidenceBytes.
	size int64
	// by limits who may join: requests for the same repository with the same credentials.
	// Zero: all.
	by pull
}

// unknownSize is that of a blob of evidence: an attacker who attaches some can claim any
// other.
const unknownSize = -1

// download is a blob on its way from an upstream to a file. The registry's client hashes
// it, and the last byte is withheld until the whole blob has its digest.
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
	joined  chan struct{} // closed when a client joins
	users   int
	used    time.Time // when the last client came or went
	// evidence: no client wants it as an image's.
	evidence bool
	ending   bool // it had no client for long: none may join any more
	// partly: a client wanted a part of it, or went away before the end. kept: it is, or
	// was, among downloads.kept. stored: it is in the store.
	partly, kept, stored bool
}

var (
	// errSpool says that the file failed, not the content.
	errSpool = errors.New("the temporary file cannot be written")
	// errStored says that the blob is in the store.
	errStored = errors.New("the blob is in the store")
	// errOthers says that a download failed which another client began: from a
	// repository that lacks the blob, or with credentials that have ended.
	errOthers = errors.New("another client's download has failed")
)

// join returns the download of a blob, begun where there is none. Each who joins
// must leave.
func (d *downloads) join(ctx context.Context, p pull, key downloadKey, evidence bool) (*download, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.store; s != nil && s.Has(key.digest) {
		return nil, errStored // it came between the caller's look and now
	}
	if l := d.by[key]; l != nil && l.enter(evidence) {
		fair.Join(l.ctx, ctx) // who waits must not wait in another one's queue
		return l, nil
	}
	file, stays, err := d.file(key, evidence)
	if err != nil {
		return nil, errors.Join(errSpool, err)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &download{all: d, key: key, digest: key.digest, size: key.size, p: p, file: file, stays: stays, ctx: own, cancel: cancel, grown: make(chan struct{}), joined: make(chan struct{}), users: 2, used: time.Now(), evidence: evidence}
	if d.by == nil {
		d.by = make(map[downloadKey]*download)
	}
	d.by[key] = l
	go d.run(own, l)
	return l, nil
}

// forget lets no client join any more.
func (d *downloads) forget(l *download) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by[l.key] == l {
		delete(d.by, l.key)
	}
}

// file makes the file: in the store, where it can stay there. The store knows content by
// SHA-256 alone.
func (d *downloads) file(key downloadKey, evidence bool) (file *os.File, stays bool, err error) {
	if s := d.store; s != nil && strings.HasPrefix(key.digest, "sha256:") && s.Fits(max(key.size, 0), partOf(evidence)) {
		file, err = s.Create()
		return file, true, err
	}
	file, err = unnamed(d.tempDir)
	return file, false, err
}

func (d *downloads) run(ctx context.Context, l *download) {
	err := panics.Caught(func() error { return l.fetch(ctx) })
	l.finish(err)
	d.report.survive(ctx, func() { d.report.fetched(ctx, l, err) })
	stored := false
	d.report.survive(ctx, func() { stored = err == nil && d.keep(ctx, l) })
	if err != nil || stored {
		d.forget(l)
	} // Otherwise others may join as long as the file has a reader, or is kept.
	l.mu.Lock()
	l.stored = stored
	l.mu.Unlock()
	l.leaveKept()
}

// left is leave for a client, with whether it has taken all. One that has not, and
// others, may want another part.
func (l *download) left(whole bool) {
	if !whole {
		l.mu.Lock()
		l.partly = true
		l.mu.Unlock()
	}
	l.leaveKept()
}

// leaveKept leaves a download, or keeps it for clients that want another part.
func (l *download) leaveKept() {
	l.mu.Lock()
	keep := l.partly && l.done && l.err == nil && !l.stored && !l.kept
	l.kept = l.kept || keep
	l.mu.Unlock()
	if !keep {
		l.leave()
		return
	}
	l.all.retain(l)
}

// Downloads without a client. A client that asks for a byte, goes away, and does so again
// must not have the upstream send a blob as often: a download that is under way waits,
// without reading on, and one that is complete is kept, each for a while.
const (
	pauseFor  = 3 * time.Second
	idleTTL   = time.Minute
	maxPaused = 64
)

// retain keeps a complete download for a while. There may be one that is larger than all
// may be.
func (d *downloads) retain(l *download) {
	d.mu.Lock()
	d.kept = append(d.kept, l)
	d.keptBytes += l.written
	var gone []*download
	for d.keptBytes > d.maxKept && len(d.kept) > 1 {
		gone = append(gone, d.kept[0])
		d.dropped(0)
	}
	d.mu.Unlock()
	for _, old := range gone {
		old.leave()
	}
	time.AfterFunc(idleTTL, func() { d.release(l) })
}

// dropped forgets that the i-th download is kept.
func (d *downloads) dropped(i int) {
	d.keptBytes -= d.kept[i].written
	d.kept = slices.Delete(d.kept, i, i+1)
}

// release ends the keeping of a download that had no client for long.
func (d *downloads) release(l *download) {
	l.mu.Lock()
	left := idleTTL - time.Since(l.used)
	if l.users > 1 {
		left = idleTTL
	}
	l.mu.Unlock()
	d.mu.Lock()
	i := slices.Index(d.kept, l)
	if i >= 0 && left > 0 {
		d.mu.Unlock()
		time.AfterFunc(left, func() { d.release(l) })
		return
	}
	if i >= 0 {
		d.dropped(i)
	}
	d.mu.Unlock()
	if i >= 0 {
		l.leave()
	}
}

// wanted waits while a download has no client, and reports whether it has one.
func (l *download) wanted(ctx context.Context) bool {
	if l.now() > 1 {
		return true
	}
	if l.all.paused.Add(1) > maxPaused {
		l.all.paused.Add(-1)
		return !l.end()
	}
	defer l.all.paused.Add(-1)
	timer := time.NewTimer(pauseFor)
	defer timer.Stop()
	for {
		l.mu.Lock()
		users, joined := l.users, l.joined
		l.mu.Unlock()
		if users > 1 {
			return true
		}
		select {
		case <-joined:
		case <-ctx.Done():
			return true // reading on says so
		case <-timer.C:
			return !l.end()
		}
	}
}

func (l *download) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.users
}

// end closes a download to further clients, unless one has joined.
func (l *download) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = l.users == 1
	return l.ending
}

// errUnwanted says that a download had no client for long.
var errUnwanted = errors.New("its clients have left")

// keep moves a complete file into the store, and reports whether it is there.
func (d *downloads) keep(ctx context.Context, l *download) bool {
	if !l.stays {
		return false
	}
	l.mu.Lock()
	evidence, size := l.evidence, l.written
	l.mu.Unlock()
	if !d.store.Fits(size, partOf(evidence)) {
		return false
	}
	if evidence { // what is none is not kept
		seen, err := d.forms.of(ctx, l.digest, io.NewSectionReader(l.file, 0, size))
		if err != nil || seen.kinds == 0 {
			return false
		}
	}
	if err := d.store.Commit(l.file, l.digest, partOf(evidence)); err != nil {
		d.report.logger.WarnContext(ctx, "blob not stored", "digest", l.digest, "error", err)
		return false
	}
	return true
}

// chunk is how much is read from an upstream at once; by more than maxChunks downloads at
// a time, less.
const (
	chunk     = 256 << 10
	maxChunks = 32
)

// buffer is what a download reads into, and gives back.
func (d *downloads) buffer() (buffer *[]byte, back func()) {
	from := d.chunks
	large := d.large.Add(1) <= maxChunks
	if !large {
		from = d.buffers
	}
	buffer = from.Get().(*[]byte)
	return buffer, func() { d.large.Add(-1); from.Put(buffer) }
}

// fetch copies the blob to the file. Its end is reached only where the content is
// the blob.
func (l *download) fetch(ctx context.Context) error {
	body, err := l.p.from.Blob(ctx, l.p.digest(l.digest), l.size)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	for l.wanted(ctx) {
		err := l.fetchChunk(body)
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
	return errUnwanted
}

// fetchChunk copies some of the blob.
func (l *download) fetchChunk(body io.Reader) error {
	buffer, back := l.all.buffer()
	defer back()
	n, err := io.ReadAtLeast(body, *buffer, len(*buffer))
	if n > 0 {
		if _, err := l.file.Write((*buffer)[:n]); err != nil {
			return errors.Join(errSpool, err)
		}
		l.grow(int64(n))
	}
	if l.size == unknownSize && l.written > l.all.maxEvidence {
		l.all.forms.large.Put(blobAt{l.key.address, l.digest}, form{size: l.written}) // of no kind
		return noEvidence()
	}
	return err
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

// enter joins, unless all have left already.
func (l *download) enter(evidence bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 || l.err != nil || l.ending {
		return false
	}
	l.users++
	l.used = time.Now()
	l.evidence = l.evidence && evidence
	close(l.joined)
	l.joined = make(chan struct{})
	return true
}

// leave ends the download with the last who wants it. The download itself counts as one
// until it has ended, and who keeps it does until then.
func (l *download) leave() {
	l.mu.Lock()
	l.users--
	l.used = time.Now()
	none := l.users == 0
	l.mu.Unlock()
	if none {
		l.all.forget(l)
		l.cancel()
		_ = l.file.Close()           // it has no reader any more
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
	own, mine, err := file.Open(l.file.Name())
	if err != nil {
		return view{nil, l.file}
	}
	// The name may be another file's by now: this one was renamed or deleted.
	theirs, err := l.file.Stat()
	if err != nil || !os.SameFile(mine, theirs) {
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
