package remote_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// pauseFor makes one answer for a manifest ask for a pause.
func pauseFor(h *hosted, status int, headers ...string) {
	do := registrytest.Status(status, headers...)
	if status == http.StatusOK {
		do = registrytest.Chain(registrytest.SetHeader(headers[0], headers[1]), registrytest.SetHeader(headers[2], headers[3]))
	}
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Times: 1, Do: do})
}

func TestQuota_APauseHoldsForAllRequestsOfTheClient(t *testing.T) {
	for label, pause := range map[string]func(*hosted){
		"Retry-After":          func(h *hosted) { pauseFor(h, 429, "Retry-After", "1") },
		"RateLimit-Reset":      func(h *hosted) { pauseFor(h, 429, "RateLimit-Remaining", "0", "RateLimit-Reset", "1") },
		"RateLimit":            func(h *hosted) { pauseFor(h, 429, "RateLimit", `"default";r=0;t=1`) },
		"unavailable":          func(h *hosted) { pauseFor(h, 503, "Retry-After", "1") },
		"a quota that is used": func(h *hosted) { pauseFor(h, 200, "RateLimit-Remaining", "0", "RateLimit-Reset", "1") },
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{}, remote.Options{})
			pause(h)
			first := make(chan struct{})
			var all sync.WaitGroup
			all.Go(func() {
				_, err := h.client.Manifest(context.Background(), h.tag)
				must(t, err)
			})
			go func() {
				for len(h.Requests()) == 0 || h.Requests()[0].End.IsZero() {
					time.Sleep(time.Millisecond)
				}
				close(first)
			}()
			<-first
			time.Sleep(50 * time.Millisecond) // for the answer to arrive
			for range 8 {
				all.Go(func() {
					_, err := h.client.Manifest(context.Background(), h.image)
					must(t, err)
				})
			}
			all.Wait()
			told := h.Requests()[0].End
			for _, q := range h.Requests()[1:] {
				if early := q.Start.Sub(told); early < 900*time.Millisecond {
					t.Errorf("%s %s was sent after %v", q.Method, q.Ref, early)
				}
			}
		})
	}
}

func TestQuota_ALongPauseIsAnErrorAndNoRequest(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	pauseFor(h, 429, "Retry-After", "3600")
	for range 3 {
		_, err := h.client.Manifest(t.Context(), h.tag)
		if e := wantError(t, "asked to wait an hour", err, registry.ErrRateLimited); e.RetryAfter < 50*time.Second || !registry.Unreadable(err) {
			t.Errorf("%v, %v", e.RetryAfter, err)
		}
	}
	if n := len(h.Requests()); n != 1 {
		t.Errorf("%d requests were sent, want 1", n)
	}
	other := host(t, registrytest.Options{}, remote.Options{})
	_, err := h.client.Manifest(t.Context(), other.tag)
	must(t, err) // another registry has not asked for anything
}

func TestQuota_TheEndOfAContextEndsTheWait(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	pauseFor(h, 429, "Retry-After", "8")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := h.client.Manifest(ctx, h.tag)
	_, again := h.client.Manifest(ctx, h.tag)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(again, context.DeadlineExceeded) || time.Since(start) > 4*time.Second {
		t.Errorf("%v, %v after %v", err, again, time.Since(start))
	}
}

// Docker Hub says how much is left of six hours, and not when they end.
func TestQuota_ACountWithoutATimeAsksForNothing(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	pauseFor(h, 200, "RateLimit-Limit", "100;w=21600", "RateLimit-Remaining", "0;w=21600")
	start := time.Now()
	for range 3 {
		_, err := h.client.Manifest(t.Context(), h.tag)
		must(t, err)
	}
	if time.Since(start) > 2*time.Second {
		t.Errorf("it waited for %v", time.Since(start))
	}
}
