package fair_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/fair"
)

func as(t *testing.T, client string) context.Context { return fair.With(t.Context(), client) }

func taken(t *testing.T, p *fair.Pool, ctx context.Context, n int64) func() {
	t.Helper()
	leave, err := p.Try(ctx, n)
	if err != nil {
		t.Fatalf("%d of %d are taken, and there is no room for %d", p.Used(), 100, n)
	}
	return leave
}

func TestAttack_P17_OnePartyHasAQuarterOfABudget(t *testing.T) {
	p := fair.NewPool(100)
	a, b := as(t, "a"), as(t, "b")
	leave := taken(t, p, a, 20)
	if _, err := p.Try(a, 10); err == nil {
		t.Error("a client has more than a quarter")
	}
	taken(t, p, b, 25)()
	leave()
	leave()              // once is enough
	taken(t, p, a, 60)() // a single piece may be larger
	if p.Used() != 0 {
		t.Errorf("%d are left", p.Used())
	}
	// What is done for no client in particular may have all of it.
	one, two := taken(t, p, t.Context(), 50), taken(t, p, t.Context(), 50)
	one()
	two()
}

func TestAPieceLargerThanTheWholeTakesTheWhole(t *testing.T) {
	p := fair.NewPool(100)
	leave, err := p.Take(as(t, "a"), 1000)
	if err != nil || p.Used() != 100 {
		t.Fatalf("%d, %v", p.Used(), err)
	}
	ctx, cancel := context.WithTimeout(as(t, "b"), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	leave()
	taken(t, p, as(t, "b"), 1)()
}

// A crowd of one client does not go before a client that comes later, and small pieces do
// not go before a large one for ever.
func TestAttack_P17_PartiesTakeTurns(t *testing.T) {
	p := fair.NewPool(100)
	first := taken(t, p, as(t, "crowd"), 100)
	var order []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	wait := func(client string, n int64) {
		began := make(chan struct{})
		wg.Go(func() {
			close(began)
			leave, err := p.Take(as(t, client), n)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, client)
			mu.Unlock()
			leave()
		})
		<-began
		time.Sleep(5 * time.Millisecond)
	}
	for range 20 {
		wait("crowd", 100)
	}
	wait("other", 100)
	first()
	wg.Wait()
	if len(order) != 21 || order[0] != "other" && order[1] != "other" {
		t.Errorf("%v", order)
	}
	if p.Used() != 0 {
		t.Errorf("%d are left", p.Used())
	}
}

// Who waits in another one's queue is served by its own share once that one joins.
func TestWhoJoinsLendsItsShare(t *testing.T) {
	p := fair.NewPool(100)
	defer taken(t, p, as(t, "crowd"), 25)()
	work, done := as(t, "crowd"), make(chan error)
	go func() {
		leave, err := p.Take(work, 25)
		if err == nil {
			leave()
		}
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	fair.Join(work, as(t, "other"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPoolsAreNeverOverdrawn(t *testing.T) {
	p := fair.NewPool(100)
	var used, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(as(t, string(rune('a'+i%7))), time.Duration(i)*time.Millisecond)
			defer cancel()
			n := int64(1 + i%60)
			leave, err := p.Take(ctx, n)
			if err != nil {
				return
			}
			most.Store(max(most.Load(), used.Add(n)))
			runtime.Gosched()
			used.Add(-n)
			leave()
		})
	}
	wg.Wait()
	if most.Load() > 100 || p.Used() != 0 {
		t.Errorf("%d were taken at once, %d are left", most.Load(), p.Used())
	}
}

func TestTry_SaysWhichBoundIsReached(t *testing.T) {
	p := fair.NewShares(3, 2)
	leave := taken(t, p, as(t, "a"), 2)
	if _, err := p.Try(as(t, "a"), 1); !errors.Is(err, fair.ErrShare) {
		t.Errorf("a third piece for one client: %v", err)
	}
	taken(t, p, as(t, "b"), 1)
	if _, err := p.Try(as(t, "b"), 1); !errors.Is(err, fair.ErrFull) {
		t.Errorf("a fourth piece: %v", err)
	}
	if _, err := p.Try(as(t, "a"), 1); !errors.Is(err, fair.ErrShare) {
		t.Errorf("a fourth piece, for who has its share: %v", err)
	}
	if _, err := p.Try(t.Context(), 4); !errors.Is(err, fair.ErrFull) {
		t.Errorf("more than there is: %v", err)
	}
	leave()
	taken(t, p, as(t, "b"), 1)
}

// What two clients wait for is given by the share of either: one that is full, and stays
// so, holds up no other client that has joined.
func TestAttack_P11_AFullPartyHoldsUpNoneThatHasJoined(t *testing.T) {
	p := fair.NewPool(8)
	greedy, other := as(t, "greedy"), as(t, "other")
	for range 2 {
		defer taken(t, p, greedy, 1)()
	}
	free := taken(t, p, other, 1)
	defer taken(t, p, other, 1)()
	work, done := as(t, "greedy"), make(chan error, 1)
	fair.Join(work, other)
	go func() {
		leave, err := p.Take(work, 1)
		if err == nil {
			leave()
		}
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	free()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for the client that is full")
	}
}
