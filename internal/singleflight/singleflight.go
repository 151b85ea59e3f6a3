// Package singleflight lets callers that ask the same at the same time share the work.
package singleflight

import (
	"context"
	"sync"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/panics"
)

// Group lets callers that ask the same question at the same time share one
// answer. The zero value is ready.
type Group[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
}

// call is work that is under way.
type call[V any] struct {
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
	c := s.join(ctx, key, work, false)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		s.leave(key, c)
		var none V
		return none, ctx.Err()
	}
}

// join begins the work where no other caller has. A key that cannot be a map's panics,
// and must leave no lock behind.
func (s *Group[K, V]) join(ctx context.Context, key K, work func(context.Context) (V, error), held bool) *call[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[key]
	if c == nil {
		c = s.begin(ctx, key, work, held)
	} else {
		fair.Join(c.ctx, ctx) // who waits must not wait in another one's queue
	}
	c.callers++
	return c
}

func (s *Group[K, V]) begin(ctx context.Context, key K, work func(context.Context) (V, error), held bool) *call[V] {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &call[V]{done: make(chan struct{}), ctx: own, cancel: cancel, held: held}
	if s.calls == nil {
		s.calls = make(map[K]*call[V])
	}
	s.calls[key] = c
	go func() {
		defer cancel()
		c.err = panics.Caught(func() (err error) {
			c.value, err = work(own)
			return err
		})
		if !c.held || c.err != nil {
			s.forget(key, c)
		}
		close(c.done)
	}()
	return c
}

// leave cancels the work with its last caller, and reports whether this was the last.
// The next caller begins new work.
func (s *Group[K, V]) leave(key K, c *call[V]) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.callers--; c.callers > 0 {
		return false
	}
	// Within the lock: no caller may join what is about to be cancelled.
	s.forgetLocked(key, c)
	c.cancel()
	return true
}

// Hold is Do for a value that is used for longer than making it takes. All callers that
// ask share the value while one holds it. release gives it back; the last release drops
// it. Further calls of one release do nothing.
func (s *Group[K, V]) Hold(ctx context.Context, key K, work func(context.Context) (V, error), drop func(V)) (value V, release func(), err error) {
	c := s.join(ctx, key, work, true)
	release = sync.OnceFunc(func() {
		if s.leave(key, c) {
			<-c.done
			if c.err == nil {
				drop(c.value)
			}
		}
	})
	select {
	case <-c.done:
		if err = c.err; err == nil {
			return c.value, release, nil
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
	return len(s.calls)
}

func (s *Group[K, V]) forget(key K, c *call[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(key, c)
}

func (s *Group[K, V]) forgetLocked(key K, c *call[V]) {
	if s.calls[key] == c {
		delete(s.calls, key)
	}
}
