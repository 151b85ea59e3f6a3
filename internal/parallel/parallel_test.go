package parallel_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/parallel"
)

var errBad = errors.New("bad")

func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestEach_NoMoreAtOnceThanTheBound(t *testing.T) {
	for _, most := range []int{-1, 1, 3, 100} {
		var running, peak, calls atomic.Int64
		err := parallel.Each(t.Context(), most, upTo(50), func(context.Context, int) error {
			n := running.Add(1)
			defer running.Add(-1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			calls.Add(1)
			return nil
		})
		if err != nil || calls.Load() != 50 || peak.Load() > int64(max(1, most)) {
			t.Errorf("most %d: %d calls, %d at once, %v", most, calls.Load(), peak.Load(), err)
		}
	}
}

func TestEach_TheFirstErrorEndsTheOthers(t *testing.T) {
	var begun, running atomic.Int64
	err := parallel.Each(t.Context(), 4, upTo(1000), func(ctx context.Context, i int) error {
		begun.Add(1)
		running.Add(1)
		defer running.Add(-1)
		if i == 2 {
			return errBad
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err != errBad || running.Load() != 0 || begun.Load() > 10 {
		t.Errorf("%v, %d begun, %d left running", err, begun.Load(), running.Load())
	}
}

func TestEach_TheEndOfTheContextIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := parallel.Each(ctx, 2, upTo(10), func(_ context.Context, i int) error {
		if i == 1 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := parallel.Each(ctx, 2, upTo(0), func(context.Context, int) error { return errBad }); err != nil {
		t.Errorf("nothing was cut off: %v", err)
	}
}

func TestEach_APanicIsAnError(t *testing.T) {
	err := parallel.Each(t.Context(), 2, upTo(10), func(_ context.Context, i int) error {
		if i == 5 {
			panic("unforeseen")
		}
		return nil
	})
	if _, ok := errors.AsType[*panics.Error](err); !ok {
		t.Errorf("%v", err)
	}
}

func TestEach_APanicOfTheSequenceLeavesNothingRunning(t *testing.T) {
	var running atomic.Int64
	defer func() {
		if recover() == nil || running.Load() != 0 {
			t.Errorf("%d left running", running.Load())
		}
	}()
	begun := make(chan struct{})
	all := func(yield func(int) bool) {
		yield(1)
		<-begun
		panic("unforeseen")
	}
	_ = parallel.Each(t.Context(), 2, all, func(ctx context.Context, _ int) error {
		running.Add(1)
		defer running.Add(-1)
		close(begun)
		<-ctx.Done()
		return nil
	})
}

func TestMap_KeepsTheOrder(t *testing.T) {
	all := slices.Collect(upTo(100))
	got, err := parallel.Map(t.Context(), 8, all, func(_ context.Context, i int) (int, error) { return i, nil })
	if err != nil || !slices.Equal(got, all) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = parallel.Map(t.Context(), 1, all, func(_ context.Context, i int) (int, error) {
		if i == 3 {
			return 0, errBad
		}
		return i, nil
	})
	if err != errBad || !slices.Equal(got[:3], all[:3]) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTogether_AllAtOnce(t *testing.T) {
	meet := make(chan struct{})
	err := parallel.Together(t.Context(),
		func(context.Context) error { meet <- struct{}{}; return nil },
		func(context.Context) error { <-meet; return nil },
	)
	if err != nil {
		t.Errorf("%v", err)
	}
	if err := parallel.Together(t.Context()); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
}

func TestStart_GivesItsResultWhenAsked(t *testing.T) {
	wait := parallel.Start(func() (int, error) { return 1, errBad })
	for range 2 {
		if v, err := wait(); v != 1 || err != errBad {
			t.Errorf("%d, %v", v, err)
		}
	}
	_, err := parallel.Start(func() (int, error) { panic("unforeseen") })()
	if _, ok := errors.AsType[*panics.Error](err); !ok {
		t.Errorf("%v", err)
	}
}
