package gate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/hallmark-oci/hallmark/internal/fair"
)

// limits bound the requests that are served at once, in all and for each client.
type limits struct {
	each   int
	places *fair.Pool
}

func newLimits(most, each int) *limits {
	return &limits{each, fair.NewShares(int64(most), int64(each))}
}

// enter lets a request in, or says why not. leave must be called when it was served.
func (l *limits) enter(client string) (leave func(), refused *refusal) {
	leave, err := l.places.Try(fair.With(context.Background(), client), 1)
	switch {
	case errors.Is(err, fair.ErrShare):
		refused = refuse(http.StatusTooManyRequests, codeTooMany, "this client has %d requests under way, which is as many as one may have", l.each)
	case err != nil:
		refused = refuse(http.StatusServiceUnavailable, codeUnavailable, "the gate serves as many requests as it may")
	default:
		return leave, nil
	}
	refused.retryAfter = time.Second
	return nil, refused
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

// partyOf is whom a client's address is taken to be where clients are bounded: each
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
