package gate

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/seal"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/verify"
)

// role is what a digest is asked for as. What holds for one role says nothing about
// the others: that evidence lists a digest as its blob does not let a manifest of
// that digest pass.
type role string

const (
	asManifest role = "manifest"
	asBlob     role = "blob"
	// asImage is evidence that a tag names, and that was judged by itself.
	asImage role = "image"
	// asList is a list of referrers that the gate has written.
	asList role = "list"
)

// permitKey names a decision about a digest. policy is Verifier.Generation.
type permitKey struct {
	policy, repo, digest string
	as                   role
}

// parts are what a decision is about.
func (k permitKey) parts() []string { return []string{k.policy, k.repo, k.digest, string(k.as)} }

// permit is what was decided about a manifest, or what a blob rests on.
type permit struct {
	// Allowed is the decision until Until. It was reached at At, or what it rests on
	// was.
	Allowed bool      `json:"allowed,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	// Size is the blob's, as the manifest says; -1 for manifests.
	Size int64 `json:"size"`
	// Evidence: it passes for what it is about, and must be evidence.
	Evidence bool `json:"evidence,omitempty"`
	// Kinds are what a blob of evidence may be.
	Kinds kinds.Set `json:"kinds,omitempty"`
	// Looks says by which rules it is evidence: another gate's may be others.
	Looks string `json:"looks,omitempty"`
	Rule  string `json:"rule,omitempty"`
	// Warning is the denial that a rule which only warns did not enforce.
	Warning string `json:"warning,omitempty"`

	// result is the decision itself, where this process made it.
	result *verify.Result
	// denied is the refusal, where the decision is negative.
	denied *verify.Error
	// depth, where the decision is negative, is from how far away it was asked for that
	// something which might have vouched for it was too far away to count. Who asks
	// from nearer has it decided anew. 0: it holds for everybody.
	depth int
	// about is what it is evidence about, where it does not say so itself.
	about string
	// linked is how much had been forgotten of links when those of this manifest
	// were known to be there; see gate.relink. Nil: it has none.
	linked *atomic.Int64
}

// DecisionStore shares decisions between gates.
type DecisionStore = verify.DecisionStore

// permits are the decisions that are known. Three kinds are bounded apart: those
// that allow, those that deny, so that no flood of refused names drives out what is
// good, and those about evidence, of which whoever can push can attach as much as
// there is room for.
type permits struct {
	allowed, refused, evidence *lru.Cache[permitKey, permit]
	shared                     DecisionStore
	box                        seal.Box
}

func newPermits(c *Config) *permits {
	held := func() *lru.Cache[permitKey, permit] {
		return lru.New[permitKey](permit.weight, int64(c.MaxDecisions)*decisionBytes)
	}
	return &permits{
		allowed: held(), refused: held(), evidence: held(),
		shared: c.Decisions, box: seal.Box{Kind: "hallmark-gate-1", Key: c.DecisionKey},
	}
}

// decisionBytes is what a decision weighs at least, and all of them on average at most:
// so there are no more than Config.MaxDecisions, and their memory is bounded.
const decisionBytes = 512

// weight is about how many bytes a decision holds in memory, with its key.
func (d permit) weight() int64 {
	const each, result, denial, unmet = 400, 400, 700, 300
	n := int64(each + len(d.Looks) + len(d.Rule) + len(d.Warning) + len(d.about))
	if d.result != nil {
		n += result
		if d.result.Warning != nil {
			n += denial + int64(unmet*len(d.result.Warning.Unmet))
		}
	}
	if d.denied != nil {
		n += denial + int64(unmet*len(d.denied.Unmet))
	}
	return max(decisionBytes, n)
}

// get returns what is known. It may be out of date; Until says.
func (p *permits) get(ctx context.Context, key permitKey) (permit, bool) {
	if known, ok := p.allowed.Get(key); ok {
		return known, true
	}
	if known, ok := p.evidence.Get(key); ok {
		return known, true
	}
	if known, ok := p.refused.Get(key); ok {
		return known, true
	}
	known, ok := fromShared[permit](ctx, p.shared, p.box, key.parts())
	if ok {
		known.linked = linkedAt(-1)
		p.of(known).Put(key, known)
	}
	return known, ok
}

// put remembers a decision.
func (p *permits) put(key permitKey, v permit) {
	to := p.of(v)
	for _, other := range []*lru.Cache[permitKey, permit]{p.allowed, p.refused, p.evidence} {
		if other != to {
			other.Remove(key)
		}
	}
	to.Put(key, v)
}

// share lets other gates find a decision for a while.
func (p *permits) share(ctx context.Context, key permitKey, v permit, keep time.Duration) {
	if v.Allowed {
		toShared(ctx, p.shared, p.box, key.parts(), v, keep)
	}
}

// of is where a decision is kept.
func (p *permits) of(v permit) *lru.Cache[permitKey, permit] {
	switch {
	case !v.Allowed:
		return p.refused
	case v.Evidence:
		return p.evidence
	}
	return p.allowed
}

// fromShared reads what a shared store has under a name. An old entry that was put
// back is no more than it was: what ends says so itself, and what it is about is
// part of its name.
func fromShared[T any](ctx context.Context, shared DecisionStore, box seal.Box, about []string) (v T, ok bool) {
	if shared == nil {
		return v, false
	}
	value, ok := shared.Get(ctx, box.Name(about...))
	if !ok {
		return v, false
	}
	text, ok := box.Open(value, about...)
	if !ok || json.Unmarshal(text, &v) != nil {
		var none T
		return none, false
	}
	return v, true
}

func toShared[T any](ctx context.Context, shared DecisionStore, box seal.Box, about []string, v T, keep time.Duration) {
	if shared == nil || keep <= 0 {
		return
	}
	if text, err := json.Marshal(v); err == nil {
		shared.Put(ctx, box.Name(about...), box.Seal(text, about...), keep)
	}
}
