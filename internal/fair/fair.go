// Package fair shares out a number of places so that no party has all of them.
package fair

import (
	"context"
	"sync"
)

// With says on whose behalf what is done with a context is done. An empty party is
// nobody in particular.
func With(ctx context.Context, party string) context.Context {
	if party == "" {
		return ctx
	}
	return context.WithValue(ctx, partyKey{}, party)
}

type partyKey struct{}

// Places are as many as may be taken at once: in all, and, of them, by one party.
type Places struct {
	all  chan struct{}
	each int

	mu sync.Mutex
	by map[string]*share
}

// share is what one party has taken and is waiting for.
type share struct {
	taken chan struct{}
	users int
}

// NewPlaces makes places, of which one party may have a quarter.
func NewPlaces(n int) *Places {
	return &Places{all: make(chan struct{}, n), each: max(1, n/4), by: make(map[string]*share)}
}

// Take waits for a place. leave gives it back.
func (p *Places) Take(ctx context.Context) (leave func(), err error) {
	party, _ := ctx.Value(partyKey{}).(string)
	if party == "" {
		return p.take(ctx)
	}
	own := p.enter(party)
	select {
	case own.taken <- struct{}{}:
	case <-ctx.Done():
		p.exit(party)
		return nil, ctx.Err()
	}
	release, err := p.take(ctx)
	back := func() {
		<-own.taken
		p.exit(party)
	}
	if err != nil {
		back()
		return nil, err
	}
	return func() { release(); back() }, nil
}

func (p *Places) take(ctx context.Context) (leave func(), err error) {
	select {
	case p.all <- struct{}{}:
		return func() { <-p.all }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *Places) enter(party string) *share {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.by[party]
	if own == nil {
		own = &share{taken: make(chan struct{}, p.each)}
		p.by[party] = own
	}
	own.users++
	return own
}

func (p *Places) exit(party string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.by[party]; own.users == 1 {
		delete(p.by, party)
	} else {
		own.users--
	}
}
