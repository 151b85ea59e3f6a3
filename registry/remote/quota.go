package remote

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxQuotaPause is how long a registry can keep all requests of a client from being
// sent, by one answer. Then one is sent again, which tells.
const maxQuotaPause = time.Minute

// quota is the pause that a registry has asked for: all requests of a client to it wait
// until it has ended, and not only the one that got the answer.
type quota struct {
	mu    sync.Mutex
	until time.Time
}

// wait waits for the end of the pause. If that is further away than most, or the context
// ends before, it returns an error.
func (q *quota) wait(ctx context.Context, r *request, most time.Duration) error {
	for {
		q.mu.Lock()
		left := time.Until(q.until)
		q.mu.Unlock()
		switch {
		case left <= 0:
			return nil
		case left > most:
			err := r.fail(registry.ErrRateLimited, nil, "the registry has asked to wait, and the request was not sent").(*registry.Error)
			err.RetryAfter = left
			return err
		}
		if err := pause.For(ctx, left); err != nil {
			return r.fail(registry.ErrUnavailable, err, "")
		}
	}
}

// learn takes in the pause that an answer asks for.
func (q *quota) learn(resp *http.Response, now time.Time) {
	wait := pauseOf(resp, now)
	if wait <= 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if until := now.Add(min(wait, maxQuotaPause)); until.After(q.until) {
		q.until = until
	}
}

// pauseOf returns how long an answer asks to wait: by Retry-After, if it refuses the
// request for now, or because a quota is used up.
//
// Sources: RFC 9110, section 10.2.3; IETF draft "RateLimit header fields for HTTP", in
// its versions with RateLimit-Remaining and RateLimit-Reset and with RateLimit alone.
// Docker Hub sends RateLimit-Remaining without the time of its reset, which asks for
// nothing.
func pauseOf(resp *http.Response, now time.Time) time.Duration {
	asked := retryAfterOf(resp, now)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return asked
	}
	if remaining, reset := rateLimit(resp.Header); remaining == 0 {
		return reset
	}
	return 0
}

// retryAfterOf returns how long an answer that refuses a request asks to wait.
func retryAfterOf(resp *http.Response, now time.Time) time.Duration {
	if v := resp.Header.Get("Retry-After"); v != "" {
		wait, _ := pause.Asked(v, now) // what is malformed asks for none
		return min(wait, maxRetryAfter)
	}
	if resp.StatusCode != http.StatusTooManyRequests {
		return 0
	}
	_, reset := rateLimit(resp.Header)
	return reset
}

// rateLimit returns what is left of a quota, -1 where that is not said, and when the
// quota is renewed.
func rateLimit(h http.Header) (remaining int, reset time.Duration) {
	remaining, seconds := leadingNumber(h.Get("RateLimit-Remaining")), leadingNumber(h.Get("RateLimit-Reset"))
	for _, part := range strings.FieldsFunc(h.Get("RateLimit"), func(r rune) bool { return r == ';' || r == ',' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "r", "remaining":
			remaining = leadingNumber(value)
		case "t", "reset":
			seconds = leadingNumber(value)
		}
	}
	return remaining, min(time.Duration(max(seconds, 0))*time.Second, maxRetryAfter)
}

// leadingNumber reads the number before parameters, such as "100;w=21600"; -1: there is none.
func leadingNumber(v string) int {
	v, _, _ = strings.Cut(v, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
	if err != nil || n < 0 {
		return -1
	}
	return int(n)
}
