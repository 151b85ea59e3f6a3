package gate

import (
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/lru"
)

// maxJudgements bounds the judgements that are under way before one upstream. The others
// wait: before another upstream, or from what is known already, requests are answered.
const maxJudgements = 32

// maxUpstreams bounds the upstreams whose bounds are remembered. A transport meets as many
// as its client names.
const maxUpstreams = 1000

// bounds are those of the work before one upstream: one that is slow holds up no other.
type bounds struct {
	judgements *fair.Pool
	budget     *budget.Budget
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
	fresh := &bounds{judgements: fair.NewPool(maxJudgements), budget: u.all}
	if !u.alone {
		fresh.budget = u.all.Own()
	}
	u.by.Put(address, fresh)
	return fresh
}
