package fair

import (
	"context"
	"errors"
	"testing"
)

func TestAttack_P11_OnePartyNeverHasAllPlaces(t *testing.T) {
	p := NewPool(8)
	greedy, other := With(t.Context(), "greedy"), With(t.Context(), "other")
	gone, cancel := context.WithCancel(greedy)
	cancel()
	var leave []func()
	take := func(ctx context.Context) {
		t.Helper()
		l, err := p.Take(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	take(greedy)
	take(greedy)
	if _, err := p.Take(gone, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a third place of eight: %v", err)
	}
	take(other)
	for range 5 {
		take(t.Context()) // no client in particular
	}
	if _, err := p.Take(gone, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("all are taken: %v", err)
	}
	leave[1]()
	take(greedy)
	leave[1] = func() {}
	for _, l := range leave {
		l()
	}
	if len(p.clients) != 0 || p.used != 0 {
		t.Errorf("%d clients and %d places are left", len(p.clients), p.used)
	}
}

// Who waits for a place of all gives back what is kept of the client's own.
func TestAWaitThatEndsLeavesNothingBehind(t *testing.T) {
	p := NewPool(1)
	leave, err := p.Take(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(With(t.Context(), "a"))
	ended := make(chan error)
	go func() { _, err := p.Take(ctx, 1); ended <- err }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	leave()
	if len(p.clients) != 0 {
		t.Error("the client is remembered")
	}
	if With(t.Context(), "") != t.Context() {
		t.Error("no client in particular needs no mark")
	}
}
