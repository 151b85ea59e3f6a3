package gate

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// limits bound the requests that are served at once, in all and for each client.
type limits struct {
	most, each int

	mu      sync.Mutex
	all     int
	clients map[string]int
}

func newLimits(most, each int) *limits {
	return &limits{most: most, each: each, clients: make(map[string]int)}
}

// enter lets a request in, or says why not.
func (l *limits) enter(client string) *refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.clients[client] >= l.each:
		r := refuse(http.StatusTooManyRequests, codeTooMany, "this client has %d requests under way, which is as many as one may have", l.each)
		r.retryAfter = time.Second
		return r
	case l.all >= l.most:
		r := refuse(http.StatusServiceUnavailable, codeUnavailable, "the gate serves as many requests as it may")
		r.retryAfter = time.Second
		return r
	}
	l.all++
	l.clients[client]++
	return nil
}

func (l *limits) leave(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
}

// clientOf is the address of the peer. Headers that claim another one are not
// believed.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// partyOf is who a client's address is taken to be where clients are bounded: each
// has at least a /64 of IPv6 (RFC 6177), and can use all of it.
func partyOf(client string) string {
	address, err := netip.ParseAddr(client)
	if err != nil || address.Is4() || address.Is4In6() {
		return client
	}
	network, err := address.Prefix(64)
	if err != nil {
		return client
	}
	return network.String()
}
