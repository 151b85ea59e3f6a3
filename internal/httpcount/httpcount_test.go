package httpcount_test

import (
	"sync"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/httpcount"
)

func TestCount_CountsInEveryCounterOfTheContext(t *testing.T) {
	httpcount.Add(t.Context()) // counts nowhere
	ctx, outer := httpcount.Count(t.Context())
	httpcount.Add(ctx)
	within, inner := httpcount.Count(ctx)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { httpcount.Add(within) })
	}
	all.Wait()
	if outer.Sent() != 11 || inner.Sent() != 10 {
		t.Errorf("%d and %d were counted, want 11 and 10", outer.Sent(), inner.Sent())
	}
}
