package budget_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/fair"
)

func as(t *testing.T, party string) context.Context { return fair.With(t.Context(), party) }

// taken takes a piece that must be there.
func taken(t *testing.T, p *budget.Pool, ctx context.Context, n int64) func() {
	t.Helper()
	leave, ok := p.Try(ctx, n)
	if !ok {
		t.Fatalf("%d of %d are taken, and there is no room for %d", p.Used(), 100, n)
	}
	return leave
}

func TestAttack_P17_OnePartyHasAQuarterOfABudget(t *testing.T) {
	p := budget.NewPool(100)
	a, b := as(t, "a"), as(t, "b")
	leave := taken(t, p, a, 20)
	if _, ok := p.Try(a, 10); ok {
		t.Error("a party has more than a quarter")
	}
	taken(t, p, b, 25)()
	leave()
	leave()              // once is enough
	taken(t, p, a, 60)() // a single piece may be larger
	if p.Used() != 0 {
		t.Errorf("%d are left", p.Used())
	}
	// What is done for no party in particular may have all of it.
	one, two := taken(t, p, t.Context(), 50), taken(t, p, t.Context(), 50)
	one()
	two()
}

func TestAPieceLargerThanTheWholeTakesTheWhole(t *testing.T) {
	p := budget.NewPool(100)
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

// A crowd of one party does not go before a party that comes later, and small pieces do
// not go before a large one for ever.
func TestAttack_P17_PartiesTakeTurns(t *testing.T) {
	p := budget.NewPool(100)
	first := taken(t, p, as(t, "crowd"), 100)
	var order []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	wait := func(party string, n int64) {
		began := make(chan struct{})
		wg.Go(func() {
			close(began)
			leave, err := p.Take(as(t, party), n)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, party)
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
	p := budget.NewPool(100)
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
	p := budget.NewPool(100)
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

func TestWithoutABudgetNothingWaits(t *testing.T) {
	ctx := t.Context()
	own, end := budget.Session(ctx)
	defer end()
	if budget.In(ctx) || budget.Large(own) != nil || budget.TooLarge(budget.Small(ctx), 1<<40) {
		t.Error("there is a bound without a budget")
	}
	for range 100 {
		if _, err := budget.Work(ctx); err != nil {
			t.Error(err)
		}
		if _, err := budget.Payload(ctx, 1<<40); err != nil {
			t.Error(err)
		}
		if _, err := budget.Message(ctx, 1<<40); err != nil {
			t.Error(err)
		}
		if _, err := budget.Parse(ctx, []byte(strings.Repeat("[", 1<<20))); err != nil {
			t.Error(err)
		}
	}
}

// One processor is left to those who want what is there already.
func TestAttack_P17_WorkLeavesAProcessor(t *testing.T) {
	ctx := budget.With(t.Context(), budget.New())
	var all []func()
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		leave, err := budget.Work(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, leave)
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := budget.Work(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	for _, leave := range all {
		leave()
	}
	if leave, err := budget.Work(ctx); err != nil {
		t.Error(err)
	} else {
		leave()
	}
}

func TestAScopeKeepsWhatAMessageTook(t *testing.T) {
	b := budget.New()
	ctx := budget.With(t.Context(), b)
	own, end := budget.Scope(ctx)
	for _, ok := range []bool{false, true} {
		read, err := budget.Message(own, 4<<20)
		if err != nil {
			t.Fatal(err)
		}
		read(ok)
	}
	// The one that failed was given back at once.
	if got := b.Messages(); got != 4<<20 {
		t.Errorf("%d", got)
	}
	end()
	if got := b.Messages(); got != 0 {
		t.Errorf("%d are left", got)
	}
	if _, err := budget.Message(budget.Small(ctx), 4<<20); !errors.Is(err, budget.ErrLater) {
		t.Error(err)
	}
}

func TestASessionIsLargeOnce(t *testing.T) {
	ctx := budget.With(t.Context(), budget.New())
	one, endOne := budget.Session(ctx)
	two, endTwo := budget.Session(ctx)
	for range 3 {
		for _, session := range []context.Context{one, two} {
			if err := budget.Large(session); err != nil {
				t.Fatal(err)
			}
		}
	}
	three, endThree := budget.Session(ctx)
	defer endThree()
	soon, cancel := context.WithTimeout(three, 10*time.Millisecond)
	defer cancel()
	if err := budget.Large(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	endOne()
	if err := budget.Large(three); err != nil {
		t.Error(err)
	}
	endTwo()
	if err := budget.Large(two); err == nil {
		t.Error("a session that has ended became large")
	}
}
