// Package fair shares out an amount between parties. None gets all of it.
package fair

import (
	"context"
	"slices"
	"sync"
)

// With says on whose behalf what is done with a context is done. An empty party is
// none in particular.
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
	names := []string{""} // none in particular may have all
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
	if len(names) >= mostParties || slices.Contains(names, "") {
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

// mostParties is how many parties one thing is done for. What more wait for is done for
// none in particular: four have all there is, with a quarter each.
const mostParties = 4

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
		if len(w.names) < mostParties && !slices.Contains(w.names, name) {
			w.names = append(slices.Clip(w.names), name)
		}
	}
	if len(w.names) > before {
		close(w.more)
		w.more = make(chan struct{})
	}
}
