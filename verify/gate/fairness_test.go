package gate_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// stalling is an upstream that never answers below a path, and counts who waits.
type stalling struct {
	below   string
	rest    http.Handler
	waiting atomic.Int64
}

func (s *stalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, s.below) {
		s.rest.ServeHTTP(w, r)
		return
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	<-r.Context().Done()
}

// crowd asks for things that never come, until the test ends.
func (s *scene) crowd(prefix string) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	for i := range 80 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+prefix+"/manifests/t"+itoa(i), nil)
			if err != nil {
				s.t.Error(err)
				return
			}
			if resp, err := s.server.Client().Do(req); err == nil {
				_ = resp.Body.Close() // it was given up
			}
		})
	}
	s.t.Cleanup(func() { cancel(); wg.Wait() })
}

// patient waits longer for upstreams than a test looks.
func patient(c *gate.Config) { c.Client.Timeout = 0 }

func TestAttack_P11_AnUpstreamThatStallsHoldsUpNoOther(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	slow := &stalling{below: "/"}
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		patient(c)
		c.Client.MaxInFlight = 8
		c.Upstreams = append(c.Upstreams, gate.Upstream{Registry: "slow.example.test", Address: registrytest.Start(t, slow)})
	})
	s.crowd("/v2/slow.example.test/a/b")
	eventually(t, "the crowd waits", func() bool { return slow.waiting.Load() > 0 })
	began := time.Now()
	for _, ref := range []string{"signed", s.signed.DigestStr()} {
		s.serves("/v2/" + known + "/team/app/manifests/" + ref)
	}
	if took := time.Since(began); took > 20*time.Second { // the crowd is told after 30 that it waits in vain
		t.Errorf("they were held up for %v", took)
	}
}

// One client asks for very much that its upstream is slow to give; others of the same
// upstream are served.
func TestAttack_P11_AClientThatAsksForMuchHoldsUpNoOther(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	slow := &stalling{below: "/v2/slow/", rest: s.hosted}
	s.start(registrytest.Start(t, slow), func(c *gate.Config) {
		patient(c)
		c.Client.MaxInFlight = 8
	})
	s.crowd("/v2/slow/app")
	eventually(t, "the crowd waits", func() bool { return slow.waiting.Load() == 2 })
	for i, path := range []string{"/v2/team/app/manifests/signed", blobPath(s.parts(s.signed)[1]), "/v2/team/app/tags/list"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		req.RemoteAddr = "[2001:db8::" + itoa(i+1) + "]:1000"
		w := httptest.NewRecorder()
		s.gate.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if n := slow.waiting.Load(); n != 2 {
		t.Errorf("%d requests of one client wait for an upstream; it may have 2 of 8", n)
	}
}

// A host of IPv6 has as many addresses as it likes.
func TestAttack_P11_ClientsOfIPv6AreBoundedByTheirNetwork(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	slow := &stalling{below: "/"}
	s.start(registrytest.Start(t, slow), func(c *gate.Config) {
		patient(c)
		c.MaxRequests, c.MaxPerClient = 8, 2
	})
	ask := func(ctx context.Context, method, address, tag string) int {
		req := httptest.NewRequestWithContext(ctx, method, "/v2/team/app/manifests/"+tag, nil)
		req.RemoteAddr = address
		w := httptest.NewRecorder()
		s.gate.ServeHTTP(w, req)
		return w.Code
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { ask(ctx, http.MethodGet, "[2001:db8::"+itoa(i+1)+"]:1000", "t"+itoa(i)) })
	}
	eventually(t, "both wait", func() bool { return slow.waiting.Load() == 2 })
	for address, want := range map[string]int{
		"[2001:db8::ffff:1:2:3]:1": http.StatusTooManyRequests, "[2001:db8:0:1::1]:1": http.StatusMethodNotAllowed, "192.0.2.1:1": http.StatusMethodNotAllowed,
		"[::ffff:192.0.2.1]:1": http.StatusMethodNotAllowed, "[fe80::1%eth0]:1": http.StatusMethodNotAllowed, "@": http.StatusMethodNotAllowed,
	} {
		if got := ask(t.Context(), http.MethodPut, address, "x"); got != want {
			t.Errorf("%s: %d, want %d", address, got, want)
		}
	}
	cancel()
	wg.Wait()
}

// Work is shared with the client that asked first. Where that one's places are taken, by what
// it asked for besides, those who came later lend theirs.
func TestAttack_P11_WhoWaitsForAnothersWorkDoesNotWaitInItsQueue(t *testing.T) {
	for _, kind := range []string{"manifest", "blob", "token"} {
		t.Run(kind, func(t *testing.T) {
			o := registrytest.Options{}
			if kind == "token" {
				o.Auth = &registrytest.TokenAuth{AnonymousPull: true, Lifetime: time.Second}
			}
			s := newScene(t, o, nil)
			slow := &stalling{below: "/v2/slow/", rest: s.hosted}
			s.start(registrytest.Start(t, slow), func(c *gate.Config) {
				patient(c)
				c.Client.MaxInFlight = 8 // each client has two
				c.TagTTL = time.Millisecond
			})
			path, theirs := "/v2/team/app/manifests/signed", "/v2/team/app/manifests/signed"
			if kind != "manifest" {
				s.passes("signed")
			}
			switch kind {
			case "blob":
				path = blobPath(s.parts(s.signed)[1])
				theirs = path
			case "token":
				theirs = "/v2/team/app/manifests/nothing"
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			for i := range 20 {
				wg.Go(func() { s.askFrom(ctx, "192.0.2.66:1", "/v2/slow/app/manifests/t"+itoa(i)) })
			}
			eventually(t, "the crowd waits", func() bool { return slow.waiting.Load() == 2 })
			time.Sleep(50 * time.Millisecond)
			wg.Go(func() { s.askFrom(ctx, "192.0.2.66:1", theirs) })
			time.Sleep(100 * time.Millisecond)
			soon, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			if w := s.askFrom(soon, "198.51.100.1:1", path); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// askFrom asks the gate as a client of this address. An answer that is broken off
// has what was sent before.
func (s *scene) askFrom(ctx context.Context, address, path string) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	req.RemoteAddr = address
	w := httptest.NewRecorder()
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
			panic(cause)
		}
	}()
	s.gate.ServeHTTP(w, req)
	return w
}
