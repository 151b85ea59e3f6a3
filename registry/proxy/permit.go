package proxy

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/seal"
	"github.com/hallmark-oci/hallmark/verify"
)

// permitKey names a decision about a digest. policy is Verifier.Generation.
type permitKey struct {
	policy, repo, digest string
}

// permit is what was decided about a manifest, or what a blob rests on.
type permit struct {
	// Allowed is the decision until Until. Parents alone decide nothing.
	Allowed bool      `json:"allowed,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// Parents are manifests that list this digest, or that it is evidence about,
	// the latest first, but evidence after images: while one of them is allowed,
	// this is.
	Parents []string `json:"parents,omitempty"`
	// Size is the blob's, as the manifest says; -1 for manifests.
	Size int64 `json:"size"`
	// Evidence: it passes for what it is about, and must look like evidence.
	Evidence bool   `json:"evidence,omitempty"`
	Rule     string `json:"rule,omitempty"`
	// Warning is the denial that a rule which only warns did not enforce.
	Warning string `json:"warning,omitempty"`

	// result is the decision itself, where this process made it.
	result *verify.Result
	// denied is the refusal, where the decision is negative.
	denied *verify.Error
}

// maxParents bounds what is remembered of manifests that share a blob.
const maxParents = 4

// DecisionStore shares decisions between gates.
type DecisionStore = verify.DecisionStore

// permits are the decisions that are known. Those that allow and those that deny
// are bounded apart: no flood of refused names drives out what is good.
type permits struct {
	allowed, refused *lru.Cache[permitKey, permit]
	shared           DecisionStore
	box              seal.Box
}

func newPermits(c *Config) *permits {
	most := int64(c.MaxDecisions)
	return &permits{
		allowed: lru.New[permitKey, permit](most, nil), refused: lru.New[permitKey, permit](most, nil),
		shared: c.Decisions, box: seal.Box{Kind: "hallmark-gate-1", Key: c.DecisionKey},
	}
}

// get returns what is known. It may be out of date; Until says.
func (p *permits) get(ctx context.Context, key permitKey) (permit, bool) {
	if known, ok := p.allowed.Get(key); ok {
		return known, true
	}
	if known, ok := p.refused.Get(key); ok {
		return known, true
	}
	if p.shared == nil {
		return permit{}, false
	}
	value, ok := p.shared.Get(ctx, p.box.Name(key.parts()...))
	if !ok {
		return permit{}, false
	}
	known, ok := p.open(key, value)
	if ok {
		p.allowed.Put(key, known)
	}
	return known, ok
}

// put remembers a decision. keep is how long others may find it.
func (p *permits) put(ctx context.Context, key permitKey, v permit, keep time.Duration) {
	if v.denied != nil {
		p.allowed.Remove(key)
		p.refused.Put(key, v)
		return
	}
	p.refused.Remove(key)
	p.allowed.Put(key, v)
	if p.shared != nil && keep > 0 {
		if text, err := json.Marshal(v); err == nil {
			p.shared.Put(ctx, p.box.Name(key.parts()...), p.box.Seal(text, key.parts()...), keep)
		}
	}
}

// link remembers that a manifest lists a digest. What images list is not changed by
// evidence that lists it too: whoever can attach that could have it taken for
// evidence, or for something of another size.
func (p *permits) link(ctx context.Context, key permitKey, parent string, v permit, keep time.Duration) {
	if v.Evidence {
		if known, ok := p.get(ctx, key); ok && known.Size >= 0 && !known.Evidence && len(known.Parents) > 0 {
			if len(known.Parents) < maxParents && !slices.Contains(known.Parents, parent) {
				known.Parents = append(slices.Clone(known.Parents), parent)
				p.put(ctx, key, known, keep)
			}
			return
		}
	}
	known, _ := p.allowed.Get(key)
	parents := []string{parent}
	for _, other := range known.Parents {
		if other != parent && len(parents) < maxParents {
			parents = append(parents, other)
		}
	}
	if known.Allowed && known.result != nil {
		// It was judged by itself; that stays what it rests on.
		known.Parents = parents
		v = known
	}
	v.Parents = parents
	p.put(ctx, key, v, keep)
}

// parts are what a decision is about.
func (k permitKey) parts() []string { return []string{k.policy, k.repo, k.digest} }

// open reads what a shared store gave back. An old entry that is put back is no
// more than it was: Until still ends it, and its policy is part of its key.
func (p *permits) open(key permitKey, value []byte) (permit, bool) {
	text, ok := p.box.Open(value, key.parts()...)
	if !ok {
		return permit{}, false
	}
	var v permit
	if err := json.Unmarshal(text, &v); err != nil {
		return permit{}, false
	}
	return v, true
}
