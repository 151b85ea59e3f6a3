package budget_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/budget"
)

// taken takes a piece that must be there.
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
