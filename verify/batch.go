package verify

import (
	"context"
	"iter"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

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
// context ends, the references not judged yet get its error.
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
		var wg sync.WaitGroup
		// Once broken off, nobody receives: cancel and let go of all senders.
		defer wg.Wait()
		defer cancel()
		defer close(broken)

		var workers sync.WaitGroup
		for range o.Concurrency {
			workers.Add(1)
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer workers.Done()
				for ref := range todo {
					var j judged
					j.ref = ref
					if j.out.Err = ctx.Err(); j.out.Err == nil {
						j.out.Result, j.out.Err = v.Image(ctx, r, ref)
					}
					select {
					case done <- j:
					case <-broken:
					}
				}
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer close(done)
			defer workers.Wait()
			defer close(todo)
			for ref := range refs {
				select {
				case todo <- ref:
				case <-broken:
					return
				}
			}
		}()
		for j := range done {
			if !yield(j.ref, j.out) {
				return
			}
		}
	}
}
