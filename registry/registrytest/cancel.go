package registrytest

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// TestCancellation calls do several times, each time on a new store. It cancels call n at
// its nth read or write, and stops when do makes fewer. Each call must succeed, or return
// an error that is context.Canceled. newStore makes a store with the content that do
// needs.
//
// TestCancellation returns how many reads and writes there were.
func TestCancellation(t *testing.T, newStore func() registry.Store, do func(context.Context, registry.Store) error) int {
	t.Helper()
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		c := &cancelling{inner: newStore(), at: int64(n), cancel: cancel}
		err := do(ctx, c)
		cancel()
		if c.calls.Load() < c.at {
			if err != nil {
				t.Errorf("not cancelled: %v", err)
			}
			return n - 1
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at read or write %d: %v, want context.Canceled", n, err)
		}
	}
}

// cancelling is a store whose call number at calls cancel, and waits for its
// context to end.
type cancelling struct {
	inner  registry.Store
	at     int64
	cancel func()
	calls  atomic.Int64
}

// wait is nil for all calls but the nth.
func (c *cancelling) wait(ctx context.Context) error {
	if c.calls.Add(1) != c.at {
		return nil
	}
	c.cancel()
	<-ctx.Done()
	return ctx.Err()
}

func (c *cancelling) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	if err := c.wait(ctx); err != nil {
		return v1.Descriptor{}, err
	}
	return c.inner.Resolve(ctx, ref)
}

func (c *cancelling) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if err := c.wait(ctx); err != nil {
		return registry.Manifest{}, err
	}
	return c.inner.Manifest(ctx, ref)
}

func (c *cancelling) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	return c.inner.Blob(ctx, ref, size)
}

func (c *cancelling) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		if err := c.wait(ctx); err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		c.inner.Referrers(ctx, subject)(yield)
	}
}

func (c *cancelling) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	if err := c.wait(ctx); err != nil {
		return false, err
	}
	return c.inner.HasBlob(ctx, ref)
}

func (c *cancelling) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	if err := c.wait(ctx); err != nil {
		return err
	}
	return c.inner.PushBlob(ctx, ref, size, open)
}

func (c *cancelling) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	if err := c.wait(ctx); err != nil {
		return registry.PushReport{}, err
	}
	return c.inner.PushManifest(ctx, ref, m, o)
}
