// Package parallel runs functions side by side.
//
// No more than a bound run at once. A panic becomes an error. When a call returns, none
// of its functions still runs.
package parallel

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/hallmark-oci/hallmark/internal/panics"
)

// Each calls f for every element, for at most so many at once, and begins in their
// order. The first error cancels the context of the other calls, no further one begins,
// and Each returns the error once all have ended. Where ctx ends first, and cut
// elements off, its error is returned. A panic of f is an error, a [*panics.Error].
//
// Only the goroutine that calls Each iterates over all.
func Each[T any](ctx context.Context, most int, all iter.Seq[T], f func(context.Context, T) error) error {
	inner, cancel := context.WithCancel(ctx)
	var (
		running sync.WaitGroup
		once    sync.Once
		first   error
	)
	fail := func(err error) { once.Do(func() { first = err; cancel() }) }
	defer func() { // also where all panics
		cancel()
		running.Wait()
	}()
	slots := make(chan struct{}, max(1, most))
	for v := range all {
		select {
		case slots <- struct{}{}:
		case <-inner.Done():
		}
		if err := inner.Err(); err != nil {
			fail(err)
			break
		}
		running.Go(func() {
			defer func() { <-slots }()
			if err := panics.Caught(func() error { return f(inner, v) }); err != nil {
				fail(err)
			}
		})
	}
	running.Wait()
	return first
}

// Map calls f for every element as [Each] does, and returns what it returned in the
// order of the elements. With an error, some of them are missing.
func Map[T, R any](ctx context.Context, most int, all []T, f func(context.Context, T) (R, error)) ([]R, error) {
	results := make([]R, len(all))
	err := Each(ctx, most, indexes(all), func(ctx context.Context, i int) (err error) {
		results[i], err = f(ctx, all[i])
		return err
	})
	return results, err
}

func indexes[T any](all []T) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range all {
			if !yield(i) {
				return
			}
		}
	}
}

// Together calls all functions at once, and returns as [Each] does.
func Together(ctx context.Context, fs ...func(context.Context) error) error {
	return Each(ctx, len(fs), slices.Values(fs), func(ctx context.Context, f func(context.Context) error) error { return f(ctx) })
}

// Start calls f in the background. The function returned waits for what f returns. A
// panic of f is an error, a [*panics.Error].
func Start[T any](f func() (T, error)) (wait func() (T, error)) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = panics.Caught(func() (err error) {
			v, err = f()
			return err
		})
	}()
	return func() (T, error) {
		<-done
		return v, err
	}
}
