package share

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
		n := g.flights["a"].callers
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
