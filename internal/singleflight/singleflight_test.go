package singleflight

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAPanicIsAnErrorForThoseWhoAskedAndNobodyElse(t *testing.T) {
	var g Group[string, int]
	_, err := g.Do(t.Context(), "a", func(context.Context) (int, error) { panic("unforeseen") })
	if err == nil || !strings.Contains(err.Error(), "internal failure: unforeseen") {
		t.Errorf("%v", err)
	}
	if v, err := g.Do(t.Context(), "a", func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}

func TestAKeyThatIsNoMapKeyLeavesNoLockBehind(t *testing.T) {
	var g Group[any, int]
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a slice is no key")
			}
		}()
		_, _ = g.Do(t.Context(), []int{1}, func(context.Context) (int, error) { return 0, nil })
	}()
	if v, err := g.Do(t.Context(), "a", func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
}

func TestCallersShareWorkAndTheLastOneEndsIt(t *testing.T) {
	var g Group[string, int]
	started, ended := make(chan struct{}), make(chan struct{})
	work := func(ctx context.Context) (int, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return 0, ctx.Err()
	}
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	left := make(chan error, 2)
	go func() { _, err := g.Do(first, "a", work); left <- err }()
	<-started
	go func() { _, err := g.Do(second, "a", work); left <- err }() // closing started again would panic
	for {
		g.mu.Lock()
		n := g.calls["a"].callers
		g.mu.Unlock()
		if n == 2 {
			break
		}
	}
	cancelFirst()
	if err := <-left; err != context.Canceled {
		t.Errorf("%v", err)
	}
	select {
	case <-ended:
		t.Fatal("the work ended with one of two callers")
	default:
	}
	cancelSecond()
	<-left
	<-ended
}

// Callers who stay must not get the cancellation of those who left just before
// they came.
func TestNobodyJoinsWorkThatIsBeingCancelled(t *testing.T) {
	var g Group[string, int]
	work := func(ctx context.Context) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Microsecond):
			return 7, nil
		}
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				_, _ = g.Do(ctx, "a", work) // it has left, or not
				cancel()
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 500 {
				if _, err := g.Do(t.Context(), "a", work); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatIsHeldIsMadeOnceAndDroppedWithItsLastHolder(t *testing.T) {
	var g Group[string, int]
	made, dropped := 0, 0
	hold := func() func() {
		t.Helper()
		v, release, err := g.Hold(t.Context(), "a", func(context.Context) (int, error) { made++; return 7, nil }, func(int) { dropped++ })
		if v != 7 || err != nil {
			t.Fatalf("%d, %v", v, err)
		}
		return release
	}
	first := hold()
	second := hold()
	first()
	first()
	if made != 1 || dropped != 0 {
		t.Fatalf("made %d times, dropped %d times while it is held", made, dropped)
	}
	second()
	if dropped != 1 || len(g.calls) != 0 {
		t.Errorf("dropped %d times, %d left", dropped, len(g.calls))
	}
	hold()()
	if made != 2 || dropped != 2 {
		t.Errorf("made %d times, dropped %d times", made, dropped)
	}
}

func TestWhatCannotBeMadeIsNotHeld(t *testing.T) {
	var g Group[string, int]
	drop := func(int) { t.Error("it was dropped") }
	if _, release, err := g.Hold(t.Context(), "a", func(context.Context) (int, error) { panic("unforeseen") }, drop); err == nil || release != nil || len(g.calls) != 0 {
		t.Errorf("%v, %d left", err, len(g.calls))
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := func(ctx context.Context) (int, error) { cancel(); <-ctx.Done(); return 0, ctx.Err() }
	if _, release, err := g.Hold(ctx, "b", waits, drop); err != context.Canceled || release != nil || len(g.calls) != 0 {
		t.Errorf("%v, %d left", err, len(g.calls))
	}
}
