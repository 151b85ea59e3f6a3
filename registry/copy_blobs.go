package registry

import (
	"context"

	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// copyBlobs copies blobs, each once.
type copyBlobs struct {
	*copyRun
	mu    sync.Mutex
	tasks map[blobKey]*blobTask
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
func (c *copyBlobs) task(d v1.Descriptor) *blobTask {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := blobKey{d.Digest, d.Size}
	task := c.tasks[key]
	if task == nil {
		task = &blobTask{}
		c.tasks[key] = task
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

func (c *copyBlobs) copy(ctx context.Context, b listedBlob, bound int64) error {
	if b.Size > bound {
		return sourceError{c.fail(b.Digest, ErrTooLarge, fmt.Sprintf("%d bytes; the limit is %d", b.Size, bound), nil)}
	}
	task := c.task(b.Descriptor)
	task.mu.Lock()
	defer task.mu.Unlock()
	if !task.done {
		whole := b.Size <= smallBlob || bound != ofImage && b.Size <= maxReadBack
		_, err := slotted(ctx, c.copyRun, func() (struct{}, error) { return struct{}{}, c.transfer(ctx, b.Descriptor, whole) })
		switch {
		case err == nil:
		case elsewhere(b.Descriptor) && rubbish(err) && errors.Is(err, ErrNotFound):
			task.absent = true
			c.progress.end(CopyIgnored, b.Descriptor, "the source does not have it, and it need not be in a registry")
		default:
			return c.failed(b, err)
		}
		task.done = true
	}
	if task.absent && !elsewhere(b.Descriptor) {
		return sourceError{c.fail(b.Digest, ErrNotFound, "a blob of "+b.by.String(), nil)}
	}
	return nil
}

// failed says which manifest lists the blob.
func (c *copyBlobs) failed(b listedBlob, err error) error {
	named := c.fail(b.Digest, KindOf(err), "a blob of "+b.by.String(), err)
	if rubbish(err) {
		return sourceError{named}
	}
	return named
}

// transfer copies a blob that the destination lacks. whole: the destination's word
// for it is not enough, before or after.
func (c *copyBlobs) transfer(ctx context.Context, d v1.Descriptor, whole bool) error {
	at := c.to.Digest(d.Digest.String())
	there, err := c.has(ctx, at, d, whole)
	if err != nil {
		return err
	}
	if there {
		c.progress.end(CopyPresent, d, "")
		return nil
	}
	// Where a mount fails, for whatever reason, the bytes are sent.
	if m, ok := c.dst.(Mounter); ok && c.from.RegistryStr() == c.to.RegistryStr() && c.from != c.to {
		if mounted, err := m.MountBlob(ctx, at, c.from); mounted && err == nil {
			c.written(blobCheck(c.dst, c.to, d, whole))
			c.progress.end(CopyMounted, d, "")
			return nil
		}
	}
	if err := c.send(ctx, at, d); err != nil {
		return err
	}
	c.written(blobCheck(c.dst, c.to, d, whole))
	return nil
}

func (c *copyBlobs) has(ctx context.Context, at name.Digest, d v1.Descriptor, whole bool) (bool, error) {
	if !whole {
		there, err := c.dst.HasBlob(ctx, at)
		if Refused(err) {
			err = nil // it may be absent: sending it will tell
		}
		return there, err
	}
	err := confirmBlob(ctx, c.dst, c.to, d)
	if Unreadable(err) && !Refused(err) {
		return false, err
	}
	return err == nil, nil // absent, or damaged: to be sent
}

func (c *copyBlobs) send(ctx context.Context, at name.Digest, d v1.Descriptor) error {
	in := &blobSource{c: c.copyRun, ctx: ctx, d: d}
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
func (c *copyBlobs) blame(ctx context.Context, d v1.Descriptor, refused error) error {
	body, err := c.src.Blob(ctx, c.from.Digest(d.Digest.String()), d.Size)
	if err != nil {
		return sourceError{err}
	}
	defer func() { _ = body.Close() }() // only read from
	sum, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return err
	}
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
	c      *copyRun
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
