package verify

import (
	"context"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/registry"
)

// Outcome is what Image returned for one reference: Result or Err, never both.
type Outcome struct {
	Result *Result
	Err    error
}

// BatchOptions configure Images.
type BatchOptions struct {
	// Concurrency is how many images are judged at once. Zero: 16.
	Concurrency int
}

// Images judges many references concurrently and yields each outcome when it is known, in
// no particular order.
//
//   - Every reference gets exactly one outcome, as Image returns it.
//   - If the loop ends early, Images cancels what is under way and waits for it.
//   - If the context ends, the references not yet judged get its error.
//   - If r, the cache or an authority panics, the outcome of that reference is an error.
//   - If refs panics, the iteration ends with that panic.
//
// refs is iterated over in its own goroutine.
func (v *Verifier) Images(ctx context.Context, r registry.Reader, refs iter.Seq[name.Reference], o BatchOptions) iter.Seq2[name.Reference, Outcome] {
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	type judged struct {
		ref name.Reference
		out Outcome
	}
	return func(yield func(name.Reference, Outcome) bool) {
		ctx, cancel := context.WithCancel(ctx)
		todo, done, broken := make(chan name.Reference), make(chan judged), make(chan struct{})
		// Once broken off, no goroutine receives: cancel, release all senders, and wait for
		// the judgements under way.
		defer func() {
			close(broken)
			cancel()
			for range done {
			}
		}()
		var panicked error // of refs; read once done is closed
		go func() {
			defer close(todo)
			panicked = panics.Caught(func() error {
				for ref := range refs {
					if !send(todo, ref, broken) {
						return nil
					}
				}
				return nil
			})
		}()
		go func() {
			defer close(done)
			// The end of the context is an outcome, and stops nothing here.
			_ = parallel.Each(context.WithoutCancel(ctx), o.Concurrency, received(todo, broken), func(_ context.Context, ref name.Reference) error {
				j := judged{ref: ref}
				if j.out.Err = ctx.Err(); j.out.Err == nil {
					j.out = outcomeOf(ctx, v, r, ref)
				}
				send(done, j, broken)
				return nil
			})
		}()
		for j := range done {
			if !yield(j.ref, j.out) {
				return
			}
		}
		if panicked != nil {
			panic(panicked) // where the caller, who gave refs, can recover it
		}
	}
}

// send reports whether v was received before the iteration was broken off.
func send[T any](to chan<- T, v T, broken <-chan struct{}) bool {
	select {
	case to <- v:
		return true
	case <-broken:
		return false
	}
}

// received yields the values of a channel until the iteration is broken off.
func received[T any](from <-chan T, broken <-chan struct{}) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			select {
			case v, more := <-from:
				if !more || !yield(v) {
					return
				}
			case <-broken:
				return
			}
		}
	}
}

// outcomeOf is what Image returns. A panic of foreign code in a goroutine of this package
// would end the process.
func outcomeOf(ctx context.Context, v *Verifier, r registry.Reader, ref name.Reference) (out Outcome) {
	err := panics.Caught(func() (err error) {
		out.Result, err = v.Image(ctx, r, ref)
		return err
	})
	out.Err = err
	return out
}
