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

// BatchOptions say how Images works.
type BatchOptions struct {
	// Concurrency is how many images are judged at once. Zero: 16.
	Concurrency int
}

// Images judges many references side by side and yields each outcome as it
// comes, in no particular order. Every reference gets exactly one outcome,
// unless the iteration is broken off, which cancels what is under way. When the
// context ends, the references not judged yet get its error. refs is iterated over
// in a goroutine of its own, which ends once refs does, or asks whether to go on. A
// panic of r, of the cache or of an authority is the outcome of the reference that it
// happened for, and one of refs ends the iteration with that panic.
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
		// Once broken off, nobody receives: cancel, let go of all senders, and wait for
		// what is being judged.
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
					j.out = v.outcome(ctx, r, ref)
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

// received are the values of a channel, until the iteration is broken off.
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

// outcome is what Image returns. A panic of somebody else's code would end the whole
// process from a goroutine of ours.
func (v *Verifier) outcome(ctx context.Context, r registry.Reader, ref name.Reference) (out Outcome) {
	err := panics.Caught(func() (err error) {
		out.Result, err = v.Image(ctx, r, ref)
		return err
	})
	out.Err = err
	return out
}
