package gate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/lru"
)

// maxJudgements bounds the judgements at once before one upstream. Others wait. Requests
// about other upstreams, and those that need no judgement, are served.
const maxJudgements = 32

// maxInspections bounds the referrers that are read at once from one upstream. Each holds
// about 100 KiB.
const maxInspections = 32

// maxUpstreams bounds the upstreams whose bounds are remembered. A transport meets as many
// as its client names.
const maxUpstreams = 1000

// bounds are those of the work before one upstream: a slow one delays no other.
type bounds struct {
	judgements *fair.Pool
	// inspections are of manifests that lists of referrers name.
	inspections *fair.Pool
	budget      *budget.Budget
}

// upstreamBounds are the bounds of each upstream.
type upstreamBounds struct {
	all   *budget.Budget
	alone bool // there is one upstream

	mu sync.Mutex
	by *lru.Cache[name.Registry, *bounds]
}

func newUpstreamBounds(upstreams int) *upstreamBounds {
	return &upstreamBounds{all: budget.New(), alone: upstreams == 1, by: lru.New[name.Registry, *bounds](nil, maxUpstreams)}
}

func (u *upstreamBounds) of(address name.Registry) *bounds {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known, ok := u.by.Get(address); ok {
		return known
	}
	fresh := &bounds{judgements: fair.NewPool(maxJudgements), inspections: fair.NewPool(maxInspections), budget: u.all}
	if !u.alone {
		fresh.budget = u.all.Own()
	}
	u.by.Put(address, fresh)
	return fresh
}

// limits bound the requests that are served at once, in all and for each client.
type limits struct {
	each   int
	places *fair.Pool
}

func newLimits(most, each int) *limits {
	return &limits{each, fair.NewShares(int64(most), int64(each))}
}

// enter admits a request, or says why not. leave must be called after it was served.
func (l *limits) enter(client string) (leave func(), refused *refusal) {
	// A client without an address is one, too.
	leave, err := l.places.Try(fair.With(context.Background(), "client "+client), 1)
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

// addressOf is the address of the peer. Headers that claim another one are not
// believed.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// clientOf is the client that an address belongs to, where clients are bounded: a
// client has at least a /64 of IPv6 (RFC 6177), and can use all of it.
func clientOf(address string) string {
	parsed, err := netip.ParseAddr(address)
	if err != nil || parsed.Is4() || parsed.Is4In6() {
		return address
	}
	network, err := parsed.Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}
