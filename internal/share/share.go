// Package share lets callers that want the same at the same time share the work.
package share

import (
	"context"
	"sync"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/panics"
)

// Group lets callers that ask the same question at the same time share one
// answer. The zero value is ready.
type Group[K comparable, V any] struct {
	mu      sync.Mutex
	flights map[K]*flight[V]
}

// flight is work that is under way.
type flight[V any] struct {
	done    chan struct{}
	ctx     context.Context // the work's
	cancel  context.CancelFunc
	callers int
	value   V
	err     error
}

// Do returns what work returns, for the caller or for another one who asked
// before. A caller's context ends that caller's wait alone; the work is cancelled
// once nobody waits for it. What the contexts of later callers carry does not
// reach the work.
func (s *Group[K, V]) Do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	f := s.join(ctx, key, work)
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		s.leave(key, f)
		var none V
		return none, ctx.Err()
	}
}

// join begins the work where nobody has yet. A key that cannot be a map's panics,
// and must leave no lock behind.
func (s *Group[K, V]) join(ctx context.Context, key K, work func(context.Context) (V, error)) *flight[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[key]
	if f == nil {
		f = s.begin(ctx, key, work)
	} else {
		fair.Join(f.ctx, ctx) // who waits must not wait in another one's queue
	}
	f.callers++
	return f
}

func (s *Group[K, V]) begin(ctx context.Context, key K, work func(context.Context) (V, error)) *flight[V] {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight[V]{done: make(chan struct{}), ctx: own, cancel: cancel}
	if s.flights == nil {
		s.flights = make(map[K]*flight[V])
	}
	s.flights[key] = f
	go func() {
		defer cancel()
		f.err = panics.Caught(func() (err error) {
			f.value, err = work(own)
			return err
		})
		s.forget(key, f)
		close(f.done)
	}()
	return f
}

// leave cancels the work with its last caller; who asks then begins anew.
func (s *Group[K, V]) leave(key K, f *flight[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.callers--; f.callers > 0 {
		return
	}
	// Within the lock: nobody may join what is about to be cancelled.
	s.forgetLocked(key, f)
	f.cancel()
}

func (s *Group[K, V]) forget(key K, f *flight[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(key, f)
}

func (s *Group[K, V]) forgetLocked(key K, f *flight[V]) {
	if s.flights[key] == f {
		delete(s.flights, key)
	}
}
