package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/registry"
)

// sender sends requests as often as it takes: through redirects, with what the registry
// wants to see, and again after what may pass.
type sender struct {
	o     Options
	hosts *hosts
	line  *line
	auth  *authorizer
}

// do sends a request, again where that may help, and returns the answer or a
// typed error.
func (s *sender) do(ctx context.Context, r *request, maxBody int64) (*answer, error) {
	for attempt := 1; ; attempt++ {
		if err := s.hosts.of(r.repo).quota.wait(ctx, r, s.o.MaxRetryDelay); err != nil {
			return nil, err
		}
		a, err := s.attempt(ctx, r, maxBody)
		if err == nil || r.body != nil || r.once {
			return a, err
		}
		if again, failed := s.pause(ctx, r, attempt, err); !again {
			return a, failed
		}
	}
}

// pause waits after some failed attempts, and reports whether to make another;
// otherwise it returns the error of them all.
func (s *sender) pause(ctx context.Context, r *request, attempts int, err error) (again bool, failed error) {
	wait, again := s.retryDelay(attempts, err)
	if !again || ctx.Err() != nil {
		return false, err
	}
	if err := pause.For(ctx, wait); err != nil {
		return false, r.fail(registry.ErrUnavailable, err, "")
	}
	return true, nil
}

// retryDelay is RetryDelay of Client.
func (s *sender) retryDelay(attempts int, err error) (time.Duration, bool) {
	var e *registry.Error
	if attempts >= s.o.MaxAttempts || !errors.As(err, &e) || e.RetryAfter > s.o.MaxRetryDelay {
		return 0, false
	}
	if e.Kind != registry.ErrRateLimited && (e.Kind != registry.ErrUnavailable || e.Status == http.StatusNotImplemented) {
		return 0, false
	}
	d := s.o.RetryDelay << min(attempts-1, 16)
	d = d/2 + rand.N(d/2+1)
	return min(max(d, e.RetryAfter), s.o.MaxRetryDelay), true
}

// attempt sends a request once, and once more for each thing that the registry
// wants to know about who asks.
func (s *sender) attempt(ctx context.Context, r *request, maxBody int64) (*answer, error) {
	h := s.hosts.of(r.repo)
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.o.Timeout, func() { cancel(errTimeout) })
	end := time.Now().Add(s.o.Timeout)
	sent := *r
	sent.hurry = func(most time.Duration) { timer.Reset(min(most, time.Until(end))) }
	if r.body != nil {
		// As long as the registry takes bytes, an upload may go on.
		sent.body = &watched{r.body, func() { timer.Reset(s.o.Timeout) }}
	}
	r = &sent
	done := func() { timer.Stop(); cancel(nil) }
	a, err := s.authenticated(ctx, h, r, maxBody)
	if err == nil && r.stream {
		if timer.Stop() {
			a.stream = newSteadyBody(ctx, a.stream, s.o.StallTimeout, cancel)
			return a, nil
		}
		err = r.fail(registry.ErrStalled, errTimeout, "")
		_ = a.stream.Close()
	}
	done()
	return a, stalled(ctx, r, err)
}

// watched tells of each read.
type watched struct {
	io.Reader
	told func()
}

func (w *watched) Read(p []byte) (int, error) {
	w.told()
	return w.Reader.Read(p)
}

var (
	errTimeout = errors.New("no answer in time")
	errStalled = errors.New("too little arrived in time")
)

// stalled gives an error the kind ErrStalled where our own timer caused it.
func stalled(ctx context.Context, r *request, err error) error {
	cause := context.Cause(ctx)
	if err != nil && (errors.Is(cause, errTimeout) || errors.Is(cause, errStalled)) {
		return r.fail(registry.ErrStalled, cause, "")
	}
	return err
}

func (s *sender) authenticated(ctx context.Context, h *host, r *request, maxBody int64) (*answer, error) {
	for try := 0; ; try++ {
		used, err := s.auth.authorize(ctx, h, r)
		if err != nil {
			return nil, err
		}
		a, err := s.follow(ctx, h, r, used.header, maxBody)
		refused, ok := err.(*unauthorized)
		if !ok {
			return a, err
		}
		if r.body != nil || try >= 2 || !h.auth.challenged(r.repo.RepositoryStr(), used, refused.challenges) {
			return nil, refused.Unwrap()
		}
	}
}

// follow sends a request and follows its redirects.
func (s *sender) follow(ctx context.Context, h *host, r *request, authorization string, maxBody int64) (*answer, error) {
	target := r.url
	for hop := 0; ; hop++ {
		local := h.is(target)
		header := authorization
		if !local {
			header = ""
		}
		a, location, err := s.line.exchange(ctx, h, r, target, local, header, maxBody)
		if location == "" {
			if refused, ok := err.(*unauthorized); ok && !local {
				return nil, refused.Unwrap() // what another host asks for is not the registry's wish
			}
			return a, err
		}
		if hop >= s.o.MaxRedirects {
			return nil, r.stray(registry.ErrTooMany, nil, fmt.Sprintf("more than %d redirects", s.o.MaxRedirects))
		}
		if target, err = h.redirect(r, target, location); err != nil {
			return nil, err
		}
	}
}
