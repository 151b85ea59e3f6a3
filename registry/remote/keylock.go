package remote

import (
	"context"
	"sync"
)

// keyLock is one lock for each key that is held or waited for. The zero
// keyLock is ready.
type keyLock struct {
	mu   sync.Mutex
	held map[string]*keyTurn
}

type keyTurn struct {
	turn  chan struct{} // holds one token while the lock is free
	users int
}

// lock waits for the key, or for the end of the context.
func (l *keyLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[string]*keyTurn)
	}
	t := l.held[key]
	if t == nil {
		t = &keyTurn{turn: make(chan struct{}, 1)}
		t.turn <- struct{}{}
		l.held[key] = t
	}
	t.users++
	l.mu.Unlock()
	select {
	case <-t.turn:
		return func() { t.turn <- struct{}{}; l.leave(key, t) }, nil
	case <-ctx.Done():
		l.leave(key, t)
		return nil, ctx.Err()
	}
}

func (l *keyLock) leave(key string, t *keyTurn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(l.held, key)
	}
}
