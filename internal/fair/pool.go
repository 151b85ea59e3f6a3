package fair

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
)

// Pool is an amount that is shared between clients. One client has a share of it at
// most, unless a single piece is larger. A piece that is larger than the whole takes
// the whole. Those that wait are served in turns: the client that was served longest ago
// first, each client's own in their order.
type Pool struct {
	total, each int64

	mu      sync.Mutex
	used    int64
	clients map[string]*client
	// waiting are the clients that wait, the one that was served longest ago in front.
	waiting *list.List
}

// client is what one client has taken, and what it waits for.
type client struct {
	name  string
	used  int64
	queue []*waiter
	at    *list.Element // in Pool.waiting; nil: it does not wait
}

// waiter is a piece that is waited for. It stands in the queues of all its clients, and
// is given to the one that has room first. ready is closed then.
type waiter struct {
	n     int64
	by    []*client
	to    *client // nil: it was not given
	ready chan struct{}
}

// NewPool makes a pool of an amount. One client may have a quarter of it.
func NewPool(total int64) *Pool { return NewShares(total, total/4) }

// NewShares makes a pool of an amount. One client may have each of it, and 1 at least.
func NewShares(total, each int64) *Pool {
	return &Pool{total: total, each: max(1, each), clients: make(map[string]*client), waiting: list.New()}
}

// Take waits for a piece, on behalf of any of the context's clients. leave gives it
// back; further calls of it do nothing.
func (p *Pool) Take(ctx context.Context, n int64) (leave func(), err error) {
	n = min(n, p.total)
	for {
		names, more := Of(ctx)
		w, given := p.enter(names, n)
		if given {
			return p.leaver(w), nil
		}
		select {
		case <-w.ready:
			return p.leaver(w), nil
		case <-ctx.Done():
			if p.giveUp(w) {
				p.leaver(w)() // it came at the same time
			}
			return nil, ctx.Err()
		case <-more: // another client may have room
			if p.giveUp(w) {
				return p.leaver(w), nil
			}
		}
	}
}

var (
	// ErrShare says that a client has its share already.
	ErrShare = errors.New("the client has its share")
	// ErrFull says that the amount is not there now.
	ErrFull = errors.New("the amount is taken")
)

// Try takes a piece if it is there now. The error is ErrShare or ErrFull.
func (p *Pool) Try(ctx context.Context, n int64) (leave func(), err error) {
	if n > p.total {
		return nil, ErrFull
	}
	names, _ := Of(ctx)
	w, given := p.enter(names, n)
	if given {
		return p.leaver(w), nil
	}
	full := p.full(w)
	if p.giveUp(w) {
		return p.leaver(w), nil
	}
	return nil, full
}

// full says why a piece has to wait.
func (p *Pool) full(w *waiter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, by := range w.by {
		if !by.exceeds(w.n, p.each) {
			return ErrFull
		}
	}
	return ErrShare
}

// exceeds reports whether one more piece is too much for a client.
func (by *client) exceeds(n, each int64) bool {
	return by.name != "" && by.used > 0 && by.used+n > each
}

// enter queues a piece, first for the client that has taken least, and serves who can be
// served.
func (p *Pool) enter(names []string, n int64) (w *waiter, given bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w = &waiter{n: n}
	for _, name := range names {
		known := p.clients[name]
		if known == nil {
			known = &client{name: name}
			p.clients[name] = known
		}
		w.by = append(w.by, known)
	}
	slices.SortStableFunc(w.by, func(a, b *client) int { return cmp.Compare(a.used, b.used) })
	for _, by := range w.by {
		by.queue = append(by.queue, w)
		if by.at == nil {
			by.at = p.waiting.PushBack(by)
		}
	}
	p.serve()
	if w.to == nil {
		w.ready = make(chan struct{})
	}
	return w, w.to != nil
}

// serve gives pieces to those whose turn it is. One that has to wait only until more is
// given back is not overtaken: otherwise a large piece would never get its turn.
func (p *Pool) serve() {
	for e := p.waiting.Front(); e != nil; {
		by := e.Value.(*client)
		w := by.queue[0]
		if by.exceeds(w.n, p.each) {
			e = e.Next()
			continue
		}
		if p.used+w.n > p.total {
			return
		}
		p.used += w.n
		by.used += w.n
		w.to = by
		if w.ready != nil {
			close(w.ready)
		}
		p.unqueue(w)
		if by.at != nil { // others go first
			p.waiting.MoveToBack(by.at)
		}
		e = p.waiting.Front()
	}
}

// unqueue takes a piece from the queues of its clients.
func (p *Pool) unqueue(w *waiter) {
	for _, by := range w.by {
		if by.queue[0] == w {
			by.queue = by.queue[1:]
		} else {
			by.queue = slices.DeleteFunc(by.queue, func(other *waiter) bool { return other == w })
		}
		if len(by.queue) == 0 {
			p.waiting.Remove(by.at)
			by.at, by.queue = nil, nil
		}
		p.forget(by)
	}
}

// giveUp ends waiting, and reports whether the piece was given before.
func (p *Pool) giveUp(w *waiter) (given bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.to != nil {
		return true
	}
	p.unqueue(w)
	p.serve() // it may have kept others waiting
	return false
}

// leaver gives back a piece that was given.
func (p *Pool) leaver(w *waiter) func() {
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.used -= w.n
		w.to.used -= w.n
		p.forget(w.to)
		p.serve()
	})
}

func (p *Pool) forget(by *client) {
	if by.used == 0 && by.at == nil {
		delete(p.clients, by.name)
	}
}

// Used is how much is taken now.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}
