package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

const (
	// maxIndexDepth is how deep indexes may nest.
	maxIndexDepth = 4
	// maxHeldBytes bounds the manifests of an image, which are held until they
	// are written.
	maxHeldBytes = 256 << 20
	// ofImage bounds no blob: one of an image may have any size.
	ofImage = math.MaxInt64
)

// tree is a manifest with what it leads to.
type tree struct {
	Manifest
	doc      *oci.Document
	children []*tree         // of an index
	blobs    []v1.Descriptor // everything else that it lists

	store    sync.Once // several indexes may list it
	storeErr error
}

// all returns the tree's manifests, each once.
func (t *tree) all() []*tree {
	seen := map[*tree]bool{t: true}
	list := []*tree{t}
	for i := 0; i < len(list); i++ {
		for _, child := range list[i].children {
			if !seen[child] {
				seen[child] = true
				list = append(list, child)
			}
		}
	}
	return list
}

// load reads all manifests that root leads to, level by level.
func (c *copier) load(ctx context.Context, root Manifest) (*tree, error) {
	top := &tree{Manifest: root}
	if err := c.parse(top); err != nil {
		return nil, err
	}
	known := map[v1.Hash]*tree{root.Descriptor.Digest: top}
	bound := bounds{c: c, top: root.Descriptor.Digest, seen: map[v1.Hash]bool{root.Descriptor.Digest: true}, held: root.Descriptor.Size}
	if err := bound.add(top.doc); err != nil {
		return nil, err
	}
	level := []*tree{top}
	for depth := 0; len(level) > 0; depth++ {
		fresh, err := c.listed(level, known)
		if err != nil {
			return nil, err
		}
		if len(fresh) > 0 && depth >= maxIndexDepth {
			return nil, sourceError{c.fail(bound.top, ErrTooMany, fmt.Sprintf("its indexes nest deeper than %d", maxIndexDepth), nil)}
		}
		err = forEach(ctx, c, fresh, func(ctx context.Context, t *tree) error {
			if err := c.fill(ctx, t); err != nil {
				return err
			}
			return bound.add(t.doc)
		})
		if err != nil {
			return nil, err
		}
		level = fresh
	}
	return top, nil
}

// bounds counts the manifests that an image leads to, as soon as they are listed:
// a few indexes can list more than fits in memory.
type bounds struct {
	c   *copier
	top v1.Hash

	mu   sync.Mutex
	seen map[v1.Hash]bool
	held int64
}

// add counts what an index lists, and fails where that is too much in all.
func (b *bounds) add(doc *oci.Document) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range doc.Manifests {
		if b.seen[d.Digest] || !oci.IsManifestType(string(d.MediaType)) {
			continue
		}
		b.seen[d.Digest] = true
		b.held += d.Size
		switch {
		case len(b.seen) > b.c.o.MaxManifests:
			return sourceError{b.c.fail(b.top, ErrTooMany, fmt.Sprintf("it has more than %d manifests", b.c.o.MaxManifests), nil)}
		case b.held > maxHeldBytes || b.held < 0:
			return sourceError{b.c.fail(b.top, ErrTooLarge, fmt.Sprintf("its manifests exceed %d bytes", maxHeldBytes), nil)}
		}
	}
	return nil
}

// listed links the indexes of a level to what they list, and returns what has
// not been met before, with descriptors alone.
func (c *copier) listed(level []*tree, known map[v1.Hash]*tree) (fresh []*tree, err error) {
	for _, t := range level {
		for _, d := range t.doc.Manifests {
			if !oci.IsManifestType(string(d.MediaType)) {
				t.blobs = append(t.blobs, d) // an index may list content of any type
				continue
			}
			child := known[d.Digest]
			if child == nil {
				child = &tree{Manifest: Manifest{Descriptor: d}}
				known[d.Digest] = child
				fresh = append(fresh, child)
			}
			if !oci.SameContent(child.Descriptor, d) {
				return nil, sourceError{c.fail(d.Digest, ErrMalformed, "it is described in different ways", nil)}
			}
			t.children = append(t.children, child)
		}
	}
	return fresh, nil
}

// fill reads a manifest of which the descriptor alone is known.
func (c *copier) fill(ctx context.Context, t *tree) error {
	want := t.Descriptor
	m, err := c.readSource(ctx, c.from.Digest(want.Digest.String()))
	if err != nil {
		return sourceError{c.fail(want.Digest, KindOf(err), "a manifest that the index lists", err)}
	}
	if !oci.SameContent(m.Descriptor, want) {
		return sourceError{c.fail(want.Digest, ErrMalformed, fmt.Sprintf("the index lists it as %s of %d bytes, it is %s of %d",
			safe(string(want.MediaType)), want.Size, safe(string(m.Descriptor.MediaType)), m.Descriptor.Size), nil)}
	}
	t.Manifest = m
	return c.parse(t)
}

func (c *copier) parse(t *tree) error {
	doc, err := oci.Parse(string(t.Descriptor.MediaType), t.Bytes)
	if err != nil {
		return sourceError{c.fail(t.Descriptor.Digest, KindOf(err), "", err)}
	}
	t.doc = doc
	if doc.Config != nil {
		t.blobs = append(t.blobs, *doc.Config)
	}
	t.blobs = append(t.blobs, doc.Layers...)
	return nil
}

// store copies a tree: its blobs, of at most bound bytes each, then its manifests
// by digest, each after what it lists.
func (c *copier) store(ctx context.Context, t *tree, bound int64) error {
	var blobs []listedBlob
	for _, m := range t.all() {
		for _, d := range m.blobs {
			blobs = append(blobs, listedBlob{d, m.Descriptor.Digest})
			c.task(d)
		}
		c.progress.expect(m.Descriptor)
	}
	err := forEach(ctx, c, blobs, func(ctx context.Context, b listedBlob) error { return c.blob(ctx, b, bound) })
	if err != nil {
		return err
	}
	return c.storeManifests(ctx, t)
}

func (c *copier) storeManifests(ctx context.Context, t *tree) error {
	t.store.Do(func() {
		if t.storeErr = forEach(ctx, c, t.children, c.storeManifests); t.storeErr == nil {
			t.storeErr = c.storeManifest(ctx, t)
		}
	})
	return t.storeErr
}

func (c *copier) storeManifest(ctx context.Context, t *tree) error {
	at := c.to.Digest(t.Descriptor.Digest.String())
	there, err := c.hasManifest(ctx, t)
	if err != nil {
		return err
	}
	if there {
		c.progress.end(CopyPresent, t.Descriptor, "")
		return nil
	}
	report, err := slotted(ctx, c, func() (PushReport, error) { return c.dst.PushManifest(ctx, at, t.Manifest, PushOptions{}) })
	if err != nil {
		return err
	}
	c.written(manifestCheck(c.dst, c.to, t.Descriptor))
	c.progress.end(CopyDone, t.Descriptor, "")
	if t.doc.Subject != nil {
		c.listAtDestination(t, report.SubjectIndexed)
	}
	return nil
}

// hasManifest reads a manifest at the destination, and reports whether it is there
// and, if it refers to another, is listed: a copy may have been interrupted in
// between.
func (c *copier) hasManifest(ctx context.Context, t *tree) (bool, error) {
	_, err := slotted(ctx, c, func() (struct{}, error) { return struct{}{}, confirmManifest(ctx, c.dst, c.to, t.Descriptor) })
	switch {
	case Unreadable(err) && !errors.Is(err, ErrNotConfirmed):
		return false, err
	case err != nil:
		return false, nil // absent, or damaged: to be written
	case t.doc.Subject == nil:
		return true, nil
	}
	return c.destinationLists(ctx, t)
}

// listedBlob is a blob and the manifest that lists it.
type listedBlob struct {
	v1.Descriptor
	by v1.Hash
}

// blobKey tells blobs apart. The size belongs to it: who lists a blob of evidence
// with a wrong size must not spoil it for the others.
type blobKey struct {
	digest v1.Hash
	size   int64
}

// blobTask is a blob that several manifests may list; one copies it.
type blobTask struct {
	mu     sync.Mutex
	done   bool
	absent bool // and need not be there
}

// task returns the one task for a blob, and counts it when it is first met.
func (c *copier) task(d v1.Descriptor) *blobTask {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := blobKey{d.Digest, d.Size}
	task := c.blobs[key]
	if task == nil {
		task = &blobTask{}
		c.blobs[key] = task
		c.progress.expect(d)
	}
	return task
}

// elsewhere reports whether a layer need not be in a registry.
//
// Source: OCI Image Format Specification v1.1, layer.md, "Non-Distributable
// Layers"; descriptor.md, "urls".
func elsewhere(d v1.Descriptor) bool {
	return len(d.URLs) > 0 || !d.MediaType.IsDistributable()
}

func (c *copier) blob(ctx context.Context, b listedBlob, bound int64) error {
	if b.Size > bound {
		return sourceError{c.fail(b.Digest, ErrTooLarge, fmt.Sprintf("%d bytes; the limit is %d", b.Size, bound), nil)}
	}
	task := c.task(b.Descriptor)
	task.mu.Lock()
	defer task.mu.Unlock()
	if !task.done {
		whole := b.Size <= smallBlob || bound != ofImage && b.Size <= maxReadBack
		_, err := slotted(ctx, c, func() (struct{}, error) { return struct{}{}, c.copyBlob(ctx, b.Descriptor, whole) })
		switch {
		case err == nil:
		case elsewhere(b.Descriptor) && rubbish(err) && errors.Is(err, ErrNotFound):
			task.absent = true
			c.progress.end(CopyIgnored, b.Descriptor, "the source does not have it, and it need not be in a registry")
		default:
			return c.blobError(b, err)
		}
		task.done = true
	}
	if task.absent && !elsewhere(b.Descriptor) {
		return sourceError{c.fail(b.Digest, ErrNotFound, "a blob of "+b.by.String(), nil)}
	}
	return nil
}

// blobError says of which manifest the blob is.
func (c *copier) blobError(b listedBlob, err error) error {
	named := c.fail(b.Digest, KindOf(err), "a blob of "+b.by.String(), err)
	if rubbish(err) {
		return sourceError{named}
	}
	return named
}

// copyBlob copies a blob that the destination lacks. whole: the destination's word
// for it is not enough, before or after.
func (c *copier) copyBlob(ctx context.Context, d v1.Descriptor, whole bool) error {
	at := c.to.Digest(d.Digest.String())
	there, err := c.hasBlob(ctx, at, d, whole)
	if err != nil {
		return err
	}
	if there {
		c.progress.end(CopyPresent, d, "")
		return nil
	}
	// A mount that fails, for whatever reason, is no loss: then the bytes are sent.
	if m, ok := c.dst.(Mounter); ok && c.from.RegistryStr() == c.to.RegistryStr() && c.from != c.to {
		if mounted, err := m.MountBlob(ctx, at, c.from); mounted && err == nil {
			c.written(blobCheck(c.dst, c.to, d, whole))
			c.progress.end(CopyMounted, d, "")
			return nil
		}
	}
	if err := c.sendBlob(ctx, at, d); err != nil {
		return err
	}
	c.written(blobCheck(c.dst, c.to, d, whole))
	return nil
}

func (c *copier) hasBlob(ctx context.Context, at name.Digest, d v1.Descriptor, whole bool) (bool, error) {
	if !whole {
		return c.dst.HasBlob(ctx, at)
	}
	err := confirmBlob(ctx, c.dst, c.to, d)
	if Unreadable(err) {
		return false, err
	}
	return err == nil, nil // absent, or damaged: to be sent
}

func (c *copier) sendBlob(ctx context.Context, at name.Digest, d v1.Descriptor) error {
	in := &blobSource{c: c, ctx: ctx, d: d}
	err := c.dst.PushBlob(ctx, at, d.Size, in.open)
	if err == nil {
		c.progress.sent(d, d.Size-in.sent.Load())
		c.progress.endSent(d)
		return nil
	}
	cause := in.failed.Load()
	in.restart()
	if cause != nil {
		return *cause
	}
	if errors.Is(err, ErrDigestMismatch) {
		return c.blame(ctx, d, err)
	}
	return err
}

// blame finds out whose fault it is that a destination has refused the bytes of a
// blob: the source may have sent others and not noticed, which is the only reason
// to pass over evidence.
func (c *copier) blame(ctx context.Context, d v1.Descriptor, refused error) error {
	body, err := c.src.Blob(ctx, c.from.Digest(d.Digest.String()), d.Size)
	if err != nil {
		return sourceError{err}
	}
	defer func() { _ = body.Close() }() // only read from
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(body, d.Size+1))
	switch {
	case err != nil:
		return sourceError{err}
	case n != d.Size || hex.EncodeToString(sum.Sum(nil)) != d.Digest.Hex:
		return sourceError{refused}
	}
	return refused
}

// blobSource reads a blob from the source for the destination, once for each
// attempt, and remembers what went wrong on this side.
type blobSource struct {
	c      *copier
	ctx    context.Context
	d      v1.Descriptor
	failed atomic.Pointer[sourceError]
	sent   atomic.Int64 // in this attempt
}

func (s *blobSource) open() (io.ReadCloser, error) {
	s.restart()
	body, err := s.c.src.Blob(s.ctx, s.c.from.Digest(s.d.Digest.String()), s.d.Size)
	if err != nil {
		s.failed.Store(&sourceError{err})
		return nil, err
	}
	return &blobBody{body, s}, nil
}

func (s *blobSource) restart() {
	s.failed.Store(nil)
	s.c.progress.sent(s.d, -s.sent.Swap(0))
}

// blobBody is one attempt.
type blobBody struct {
	io.ReadCloser
	s *blobSource
}

func (b *blobBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.s.sent.Add(int64(n))
	b.s.c.progress.sent(b.s.d, int64(n))
	if err != nil && err != io.EOF {
		b.s.failed.Store(&sourceError{err})
	}
	return n, err
}

// progress counts, and tells one listener, by one call at a time.
type progress struct {
	report func(CopyEvent)

	mu          sync.Mutex
	done, total CopyCount
	told        int64 // of done.Bytes, at the last event
}

// tellEvery is how many bytes are sent between two events about them.
const tellEvery = 1 << 20

// expect counts what has to be dealt with.
func (p *progress) expect(d v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.Items++
	p.total.Bytes += d.Size
}

// sent counts bytes of a blob on their way; a negative number takes back those of
// an attempt that failed.
func (p *progress) sent(d v1.Descriptor, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Bytes += n
	if p.done.Bytes-p.told >= tellEvery {
		p.tell(CopyEvent{Action: CopyStarted, Content: d})
	}
}

// end counts something as dealt with that was not sent in parts.
func (p *progress) end(action CopyAction, d v1.Descriptor, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Items++
	p.done.Bytes += d.Size
	p.tell(CopyEvent{Action: action, Content: d, Detail: detail})
}

// endSent counts a blob as dealt with whose bytes have been counted.
func (p *progress) endSent(d v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Items++
	p.tell(CopyEvent{Action: CopyDone, Content: d})
}

// note tells of something that is not counted.
func (p *progress) note(action CopyAction, d v1.Descriptor, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(CopyEvent{Action: action, Content: d, Detail: detail})
}

// tell is called with mu held, so that the calls come one by one.
func (p *progress) tell(e CopyEvent) {
	e.Done, e.Total = p.done, p.total
	p.told = p.done.Bytes
	if p.report != nil {
		p.report(e)
	}
}
