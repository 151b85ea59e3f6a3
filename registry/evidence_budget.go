package registry

import (
	"context"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
)

// Within a budget (internal/budget) evidence is read ahead in small pieces only. What is
// larger is read when its turn comes, once there is room for it, and held until it was
// looked at: many judgements at once hold no more than a few pieces.

// Bounds of what one judgement reads at once, and holds before its turn, within a budget.
const (
	maxReadsInBudget = 8
	maxAheadEach     = 256 << 10
	maxAheadFree     = 64 << 10
	maxLargeFree     = 100
)

// holds is what one judgement holds of payloads before their turn.
type holds struct {
	mu   sync.Mutex
	free int64 // bytes that no budget was asked for
	all  []func()
}

// ahead takes room for a layer's payload, and reports whether there was some. leave gives
// it back; so does giveBack.
func (h *holds) ahead(ctx context.Context, layer v1.Descriptor) (leave func(), ok bool) {
	if !budget.In(ctx) {
		return nil, true
	}
	if layer.Size > maxAheadEach {
		return nil, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.free+layer.Size <= maxAheadFree {
		h.free += layer.Size
		return func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.free -= layer.Size
		}, true
	}
	leave, ok = budget.Ahead(ctx, layer.Size)
	if ok {
		h.all = append(h.all, leave)
	}
	return leave, ok
}

// giveBack gives back what was read ahead and not looked at.
func (g *gatherer) giveBack() {
	g.holds.mu.Lock()
	defer g.holds.mu.Unlock()
	for _, leave := range g.holds.all {
		leave()
	}
	g.holds.all = nil
}

// fetchLarge reads a manifest once the judgement may hold large ones.
func (g *gatherer) fetchLarge(ctx context.Context, ref name.Reference) (Manifest, error) {
	if err := budget.Large(ctx); err != nil {
		return Manifest{}, err
	}
	return g.fetchManifest(ctx, ref)
}

// readInTurn reads a payload whose turn has come. done gives back what it took.
func (g *gatherer) readInTurn(ctx context.Context, item Item) (payload []byte, done func(), err error) {
	size := min(item.Layer.Size, g.limits.MaxPayloadBytes)
	if done, err = budget.Payload(ctx, size); err != nil {
		return nil, nil, err
	}
	reading := g.reading
	if budget.In(ctx) {
		var cancel context.CancelFunc
		reading, cancel = context.WithTimeout(reading, budget.Time(size))
		defer cancel()
	}
	payload, err = g.readPayload(ctx, reading, item)
	return payload, done, err
}
