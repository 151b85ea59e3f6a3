// Package pause waits, and reads how long another party asks to wait.
package pause

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// For waits so long, or until the context ends, whose error it then returns.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Asked reads how long a Retry-After header asks to wait (RFC 9110, section 10.2.3):
// seconds or a date. A date in the past asks for no wait. False: the header is malformed.
func Asked(header string, now time.Time) (wait time.Duration, ok bool) {
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		return time.Duration(max(0, min(seconds, 1<<30))) * time.Second, seconds >= 0
	}
	at, err := http.ParseTime(header)
	return max(0, at.Sub(now)), err == nil
}
