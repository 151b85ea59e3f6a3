// Package fair shares out an amount between clients. None gets all of it.
package fair

import (
	"context"
	"slices"
	"sync"
)

// With says on whose behalf what is done with a context is done. An empty client is
// none in particular.
func With(ctx context.Context, client string) context.Context {
	if client == "" {
		return ctx
	}
	return context.WithValue(ctx, clientsKey{}, &clients{names: []string{client}, more: make(chan struct{})})
}

// Join says that the work done with one context is done for caller's clients too, which
// wait for it. The work may use their places from now on.
func Join(work, caller context.Context) {
	of, _ := work.Value(clientsKey{}).(*clients)
	by, _ := caller.Value(clientsKey{}).(*clients)
	if of == nil || of == by {
		return
	}
	names := []string{""} // none in particular may have all
	if by != nil {
		names, _ = by.now()
	}
	of.add(names)
}

// Of returns the clients for which the work with a context is done; the one client ""
// where no client is named. more is closed when others join.
func Of(ctx context.Context) (names []string, more <-chan struct{}) {
	of, _ := ctx.Value(clientsKey{}).(*clients)
	if of == nil {
		return none, nil
	}
	names, more = of.now()
	if len(names) >= mostClients || slices.Contains(names, "") {
		return none, nil
	}
	return names, more
}

// none stands for work that names no client.
var none = []string{""}

type clientsKey struct{}

// clients are those on whose behalf something is done.
type clients struct {
	mu    sync.Mutex
	names []string
	more  chan struct{} // closed when there are more
}

// mostClients is how many clients one thing is done for. What more wait for is done for
// none in particular: four have all there is, with a quarter each.
const mostClients = 4

func (w *clients) now() (names []string, more <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names, w.more
}

func (w *clients) add(names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.names)
	for _, name := range names {
		if len(w.names) < mostClients && !slices.Contains(w.names, name) {
			w.names = append(slices.Clip(w.names), name)
		}
	}
	if len(w.names) > before {
		close(w.more)
		w.more = make(chan struct{})
	}
}
