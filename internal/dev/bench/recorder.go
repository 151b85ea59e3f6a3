package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// recorder stands before a registry: it counts requests and delays answers.
type recorder struct {
	next    http.Handler
	latency atomic.Int64 // nanoseconds

	mu  sync.Mutex
	all []span
}

// span is when a request came, and when its answer had been sent.
type span struct{ start, end time.Time }

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s := span{start: time.Now()}
	// A round trip takes its time once, whatever the size of what it carries.
	if d := time.Duration(r.latency.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-req.Context().Done():
		}
	}
	r.next.ServeHTTP(w, req)
	s.end = time.Now()
	r.mu.Lock()
	r.all = append(r.all, s)
	r.mu.Unlock()
}

// forget starts counting from zero.
func (r *recorder) forget() {
	r.mu.Lock()
	r.all = nil
	r.mu.Unlock()
}

// count is how many requests came, and how many of them had to follow one
// another.
func (r *recorder) count() (requests, inSequence int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all), longestChain(r.all)
}

// slack is by how much a request may begin before the recorder has noted the end
// of the one that it waited for: an answer may arrive before its handler returns.
const slack = 5 * time.Millisecond

// longestChain is the length of the longest chain of requests in which each
// began when the one before had been answered. Requests that could have been sent
// earlier and were not count too, since they cost their time. It needs a latency well
// above slack.
func longestChain(all []span) int {
	deepest := 0
	depth := make([]int, len(all))
	// Those that end first are first in the list: what a request may have waited
	// for stands before it.
	for i, s := range all {
		depth[i] = 1
		for j, before := range all[:i] {
			if !before.end.Add(-slack).After(s.start) {
				depth[i] = max(depth[i], depth[j]+1)
			}
		}
		deepest = max(deepest, depth[i])
	}
	return deepest
}

// before makes a recorder for a registry at another address.
func before(address string) *recorder {
	return &recorder{next: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			// The registry must see the name that the client used, as it writes
			// it into the addresses of uploads.
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		ErrorLog:  log.New(io.Discard, "", 0), // clients may give up
	}}
}
