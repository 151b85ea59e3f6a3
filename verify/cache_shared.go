package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/seal"
	"github.com/hallmark-oci/hallmark/registry"
)

// DecisionStore keeps values outside this process, for example in Redis, for several
// processes. A DecisionStore:
//
//   - is safe for concurrent use;
//   - may forget at any time;
//   - need not be trusted: values are authenticated and checked. An attacker who can write
//     to the store can only make decisions forgotten;
//   - gives up after some milliseconds: an image is then judged.
type DecisionStore interface {
	Get(ctx context.Context, key string) (value []byte, ok bool)
	Put(ctx context.Context, key string, value []byte, keep time.Duration)
}

// maxSharedBytes bounds a decision in a DecisionStore. A larger one is not shared.
const maxSharedBytes = 1 << 20

// SharedCache is a Cache in a DecisionStore. Processes with the same policy, key and
// authorities share decisions. It is safe for concurrent use.
//
// A denial is used for every Reader. Use one SharedCache, or one key, for each store that
// may hold different evidence, such as a mirror or a layout. For a Reader with a method
// DeniesApart(), as a gate's, no denial is kept or used.
type SharedCache struct {
	store        DecisionStore
	box, derived seal.Box
}

// NewSharedCache makes a Cache of a store. key authenticates what the store returns and has
// at least 32 bytes. An attacker with the key can allow anything.
func NewSharedCache(store DecisionStore, key []byte) (*SharedCache, error) {
	if store == nil || len(key) < seal.MinKeyBytes {
		return nil, fmt.Errorf("a shared cache needs a store, and a key of at least %d bytes", seal.MinKeyBytes)
	}
	return &SharedCache{store, seal.Box{Kind: "hallmark-decision-1", Key: key}, seal.Box{Kind: "hallmark-derived-1", Key: key}}, nil
}

// Derived returns the value that PutDerived kept about the same words. A store can return
// an old value: the value must say itself when it ends.
func (c *SharedCache) Derived(ctx context.Context, about ...string) (value []byte, ok bool) {
	sealed, ok := c.store.Get(ctx, c.derived.Name(about...))
	if !ok || len(sealed) > maxSharedBytes {
		return nil, false
	}
	return c.derived.Open(sealed, about...)
}

// PutDerived keeps a value that follows from decisions, such as which blobs a gate may
// serve. A value is never taken for a decision, nor for a value about other words. The
// first word of about names the kind of value.
func (c *SharedCache) PutDerived(ctx context.Context, value []byte, keep time.Duration, about ...string) {
	if sealed := c.derived.Seal(value, about...); len(sealed) <= maxSharedBytes {
		c.store.Put(ctx, c.derived.Name(about...), sealed, keep)
	}
}

func (k CacheKey) parts() []string { return []string{k.Policy, k.Trust, k.Repository, k.Digest} }

// Get implements Cache.
func (c *SharedCache) Get(ctx context.Context, key CacheKey) (Decision, bool) {
	sealed, ok := c.store.Get(ctx, c.box.Name(key.parts()...))
	if !ok || len(sealed) > maxSharedBytes {
		return Decision{}, false
	}
	text, ok := c.box.Open(sealed, key.parts()...)
	if !ok {
		return Decision{}, false
	}
	var w wireDecision
	if err := json.Unmarshal(text, &w); err != nil {
		return Decision{}, false
	}
	d, err := w.decision()
	return d, err == nil
}

// Put implements Cache.
func (c *SharedCache) Put(ctx context.Context, key CacheKey, d Decision) {
	text, err := json.Marshal(newWireDecision(d))
	if err != nil {
		return // it is judged again
	}
	if sealed := c.box.Seal(text, key.parts()...); len(sealed) <= maxSharedBytes {
		c.store.Put(ctx, c.box.Name(key.parts()...), sealed, time.Until(d.Until))
	}
}

// wireDecision is a decision as a store holds it.
type wireDecision struct {
	Result *wireResult `json:"result,omitempty"`
	Denied *wireError  `json:"denied,omitempty"`
	Made   time.Time   `json:"made"`
	Until  time.Time   `json:"until"`
}

// wireResult is a Result of Image, which never rests on an index.
type wireResult struct {
	Reference, Digest, PolicyDigest, Rule, Team string
	JudgedAt, ValidUntil                        time.Time
	Requirements                                []Met
	Keys                                        []Principal
	Statements                                  []wireStatement
	Evidence                                    []Evidence
	DeniedChildren                              []DeniedChild
	Exemptions                                  []Exempted
	Warning                                     *wireError
}

type wireStatement struct {
	Statement
	Predicate []byte
}

type wireError struct {
	Reason                                              Reason
	Reference, Digest, Detail, PolicyDigest, Rule, Team string
	Limit                                               *registry.ReachedLimit
	Unmet                                               []Unmet
	Evidence                                            []Evidence
}

func newWireDecision(d Decision) wireDecision {
	w := wireDecision{Denied: newWireError(d.Denied), Made: d.Made, Until: d.Until}
	if r := d.Result; r != nil {
		w.Result = &wireResult{
			Reference: r.Reference, Digest: r.Digest.String(), PolicyDigest: r.PolicyDigest, Rule: r.Rule, Team: r.Team, JudgedAt: r.JudgedAt, ValidUntil: r.ValidUntil,
			Requirements: r.Requirements, Keys: r.Keys, Evidence: r.Evidence, DeniedChildren: r.DeniedChildren, Exemptions: r.Exemptions, Warning: newWireError(r.Warning),
		}
		for _, s := range r.Statements {
			w.Result.Statements = append(w.Result.Statements, wireStatement{s, s.Predicate})
		}
	}
	return w
}

func newWireError(e *Error) *wireError {
	if e == nil {
		return nil
	}
	return &wireError{e.Reason, e.Reference, e.Digest.String(), e.Detail, e.PolicyDigest, e.Rule, e.Team, e.Limit, e.Unmet, e.Evidence}
}

func (w *wireDecision) decision() (d Decision, err error) {
	d.Made, d.Until = w.Made, w.Until
	if d.Denied, err = w.Denied.decision(); err != nil || w.Result == nil {
		return d, err
	}
	d.Result, err = w.Result.result()
	return d, err
}

func (w *wireResult) result() (*Result, error) {
	digest, err := name.NewDigest(w.Digest)
	if err != nil {
		return nil, err
	}
	warning, err := w.Warning.decision()
	if err != nil {
		return nil, err
	}
	r := &Result{
		Reference: w.Reference, Digest: digest, PolicyDigest: w.PolicyDigest, Rule: w.Rule, Team: w.Team, JudgedAt: w.JudgedAt, ValidUntil: w.ValidUntil,
		Requirements: w.Requirements, Keys: w.Keys, Evidence: w.Evidence, DeniedChildren: w.DeniedChildren, Exemptions: w.Exemptions, Warning: warning, shared: true,
	}
	for _, s := range w.Statements {
		s.Statement.Predicate = s.Predicate
		r.Statements = append(r.Statements, s.Statement)
	}
	return r, nil
}

func (w *wireError) decision() (*Error, error) {
	if w == nil {
		return nil, nil
	}
	digest, err := name.NewDigest(w.Digest)
	if err != nil {
		return nil, err
	}
	return &Error{
		Reason: w.Reason, Reference: w.Reference, Digest: digest, Detail: w.Detail, PolicyDigest: w.PolicyDigest, Rule: w.Rule, Team: w.Team,
		Limit: w.Limit, Unmet: w.Unmet, Evidence: w.Evidence,
	}, nil
}
