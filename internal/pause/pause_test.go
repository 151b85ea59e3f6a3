package pause_test

import (
	"context"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/pause"
)

func TestFor_WaitsUntilTheContextEnds(t *testing.T) {
	if err := pause.For(t.Context(), time.Millisecond); err != nil {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause.For(ctx, time.Hour); err != context.Canceled {
		t.Errorf("%v", err)
	}
}
