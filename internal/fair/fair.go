// Package fair shares out a number of places so that no party has all of them.
package fair

import (
	"context"
	"reflect"
	"slices"
	"sync"
)

// With says on whose behalf what is done with a context is done. An empty party is
// nobody in particular.
func With(ctx context.Context, party string) context.Context {
	if party == "" {
		return ctx
	}
	return context.WithValue(ctx, partiesKey{}, &parties{names: []string{party}, more: make(chan struct{})})
}

// Join says that what is done with the context work is done on behalf of caller's
// parties too, which wait for it: it may use their places from now on.
func Join(work, caller context.Context) {
	of, _ := work.Value(partiesKey{}).(*parties)
	by, _ := caller.Value(partiesKey{}).(*parties)
	if of == nil || of == by {
		return
	}
	names := []string{""} // nobody in particular has all places
	if by != nil {
		names, _ = by.now()
	}
	of.add(names)
}

// Of are the parties on whose behalf what is done with a context is done; the one party
// "" where it is done for none in particular. more is closed when there are more of them.
func Of(ctx context.Context) (names []string, more <-chan struct{}) {
	of, _ := ctx.Value(partiesKey{}).(*parties)
	if of == nil {
		return none, nil
	}
	names, more = of.now()
	if len(names) >= everybody || slices.Contains(names, "") {
		return none, nil
	}
	return names, more
}

// none is no party in particular.
var none = []string{""}

type partiesKey struct{}

// parties are those on whose behalf something is done.
type parties struct {
	mu    sync.Mutex
	names []string
	more  chan struct{} // closed when there are more
}

// everybody is of how many parties a thing is that is nobody's in particular: each
// has a quarter of the places.
const everybody = 4

func (w *parties) now() (names []string, more <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names, w.more
}

func (w *parties) add(names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.names)
	for _, name := range names {
		if len(w.names) < everybody && !slices.Contains(w.names, name) {
			w.names = append(slices.Clip(w.names), name)
		}
	}
	if len(w.names) > before {
		close(w.more)
		w.more = make(chan struct{})
	}
}

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

// Take waits for a place, of any of the parties. leave gives it back.
func (p *Places) Take(ctx context.Context) (leave func(), err error) {
	of, _ := ctx.Value(partiesKey{}).(*parties)
	for of != nil {
		names, more := of.now()
		if len(names) >= everybody || slices.Contains(names, "") {
			break
		}
		back, err := p.own(ctx, names, more)
		if err != nil {
			return nil, err
		}
		if back == nil {
			continue // there are more parties
		}
		release, err := p.take(ctx)
		if err != nil {
			back()
			return nil, err
		}
		return func() { release(); back() }, nil
	}
	return p.take(ctx)
}

// own takes one of the parties' own places; nil: there are more parties now.
func (p *Places) own(ctx context.Context, names []string, more <-chan struct{}) (back func(), err error) {
	cases := []reflect.SelectCase{
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}, {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(more)},
	}
	shares := make([]*share, len(names))
	for i, name := range names {
		shares[i] = p.enter(name)
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectSend, Chan: reflect.ValueOf(shares[i].taken), Send: reflect.ValueOf(struct{}{})})
	}
	chosen, _, _ := reflect.Select(cases)
	chosen -= 2
	for i, name := range names {
		if i != chosen {
			p.exit(name)
		}
	}
	switch chosen {
	case -2:
		return nil, ctx.Err()
	case -1:
		return nil, nil
	}
	return func() { <-shares[chosen].taken; p.exit(names[chosen]) }, nil
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
