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

func TestAsked_ReadsSecondsAndDates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, "9223372036854775807": 1 << 30 * time.Second,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if wait, ok := pause.Asked(header, now); wait != want || !ok {
			t.Errorf("%q: %s, %v", header, wait, ok)
		}
	}
	for _, header := range []string{"", "soon", "-1", "1.5", "1s"} {
		if wait, ok := pause.Asked(header, now); wait != 0 || ok {
			t.Errorf("%q: %s, %v", header, wait, ok)
		}
	}
}
