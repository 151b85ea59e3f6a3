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
	held    bool // it stays while it has callers, and not only until it is done
	value   V
	err     error
}

// Do returns what work returns, for the caller or for another one who asked
// before. A caller's context ends that caller's wait alone; the work is cancelled
// once no caller waits for it. What the contexts of later callers carry does not
// reach the work.
func (s *Group[K, V]) Do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	f := s.join(ctx, key, work, false)
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		s.leave(key, f)
		var none V
		return none, ctx.Err()
	}
}

// join begins the work where no other caller has. A key that cannot be a map's panics,
// and must leave no lock behind.
func (s *Group[K, V]) join(ctx context.Context, key K, work func(context.Context) (V, error), held bool) *flight[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[key]
	if f == nil {
		f = s.begin(ctx, key, work, held)
	} else {
		fair.Join(f.ctx, ctx) // who waits must not wait in another one's queue
	}
	f.callers++
	return f
}

func (s *Group[K, V]) begin(ctx context.Context, key K, work func(context.Context) (V, error), held bool) *flight[V] {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight[V]{done: make(chan struct{}), ctx: own, cancel: cancel, held: held}
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
		if !f.held || f.err != nil {
			s.forget(key, f)
		}
		close(f.done)
	}()
	return f
}

// leave cancels the work with its last caller, and reports whether this was the last.
// The next caller begins new work.
func (s *Group[K, V]) leave(key K, f *flight[V]) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.callers--; f.callers > 0 {
		return false
	}
	// Within the lock: no caller may join what is about to be cancelled.
	s.forgetLocked(key, f)
	f.cancel()
	return true
}

// Hold is Do for a value that is used for longer than it takes to make: all who ask
// share it while it is held. release gives it back, and the last release drops it.
// Further calls of one release do nothing.
func (s *Group[K, V]) Hold(ctx context.Context, key K, work func(context.Context) (V, error), drop func(V)) (value V, release func(), err error) {
	f := s.join(ctx, key, work, true)
	release = sync.OnceFunc(func() {
		if s.leave(key, f) {
			<-f.done
			if f.err == nil {
				drop(f.value)
			}
		}
	})
	select {
	case <-f.done:
		if err = f.err; err == nil {
			return f.value, release, nil
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	release()
	return value, nil, err
}

// Len is how many keys there is work under way for, or a value held.
func (s *Group[K, V]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.flights)
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
