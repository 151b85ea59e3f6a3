package proxy

import (
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
)

// maxJudgements bounds the judgements that are under way before one upstream. The others
// wait: before another upstream, or from what is known already, requests are answered.
const maxJudgements = 32

// upstreamPools are the places of judgements, of each upstream its own: one that is slow
// holds up no other.
type upstreamPools struct {
	mu sync.Mutex
	by map[name.Registry]*budget.Pool
}

func (u *upstreamPools) of(address name.Registry) *budget.Pool {
	u.mu.Lock()
	defer u.mu.Unlock()
	known := u.by[address]
	if known == nil {
		if u.by == nil {
			u.by = make(map[name.Registry]*budget.Pool)
		}
		known = budget.NewPool(maxJudgements)
		u.by[address] = known
	}
	return known
}
