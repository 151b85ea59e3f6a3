package verify

import (
	"context"
	"reflect"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/registry"
)

// CacheKey names a decision.
type CacheKey struct {
	// Policy is Verifier.PolicyDigest: a decision of one policy never serves
	// another.
	Policy string
	// Trust is that of the authorities behind the policy's identities, now, and names
	// Options.EvidenceRepository. Empty: no authority changes (ChangingAuthority), and
	// that is not set.
	Trust string
	// Repository is the full name of the repository asked about, Digest that of
	// the manifest. Which store was read is no part of it: what evidence allows, it
	// allows wherever it was found, and a denial is used only for the Reader that
	// it was reached with, unless it comes from a SharedCache (which says for whom not).
	Repository, Digest string
}

// Decision is a definite answer: Result or Denied is set, never both.
type Decision struct {
	// Result is a positive answer, Denied a negative one.
	Result *Result
	Denied *Error
	// Made is when it was reached, Until when it must no longer be used.
	Made, Until time.Time

	// reader is whose evidence a denial rests on: what one store lacks, another
	// may have. Nil: a SharedCache has read it.
	reader registry.Reader
}

// Cache keeps decisions. It is safe for concurrent use. It may forget at any time, and
// must give back exactly what was put under that key, or nothing. An attacker who can
// write to it can allow anything: a store outside of this process must authenticate what
// it gives back. It is asked with the context of the decision, and should give up before
// it takes longer than a decision would. A denial that it makes of the exported fields of
// the one that was put is used for every Reader (CacheKey).
type Cache interface {
	Get(ctx context.Context, key CacheKey) (Decision, bool)
	Put(ctx context.Context, key CacheKey, d Decision)
}

// MemoryCacheOptions bound a MemoryCache.
type MemoryCacheOptions struct {
	// MaxEntries bounds the positive decisions, and apart from them the negative
	// ones: no flood of denied images drives out the others. Zero: 10,000.
	MaxEntries int
	// MaxBytes bounds what statements and records of evidence in the positive
	// ones weigh, and apart from them in the negative ones. Zero: 128 MiB.
	MaxBytes int64
}

// MemoryCache keeps decisions in this process, those that were used last.
type MemoryCache struct {
	held *lru.Cache[CacheKey, Decision]
}

// The shelves of a MemoryCache.
const (
	allowedShelf = iota
	refusedShelf
)

// NewMemoryCache makes an empty cache.
func NewMemoryCache(o MemoryCacheOptions) *MemoryCache {
	if o.MaxEntries <= 0 {
		o.MaxEntries = 10_000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 128 << 20
	}
	// Where each weighs at least its share, there are no more than MaxEntries.
	share := max(1, o.MaxBytes/int64(o.MaxEntries))
	weigh := func(d Decision) int64 { return max(share, d.weight()) }
	most := share * int64(o.MaxEntries)
	return &MemoryCache{lru.New[CacheKey](weigh, most, most)}
}

// recordWeight is about what one record holds, and the digests in it.
const recordWeight = 256

// weight is about how many bytes a decision holds in memory.
func (d Decision) weight() int64 {
	const each = recordWeight
	if e := d.Denied; e != nil {
		n := each*int64(4+len(e.Unmet)) + evidenceWeight(e.Evidence)
		for _, u := range e.Unmet {
			n += int64(len(u.Title) + len(u.Detail))
		}
		return n
	}
	var n int64
	for r := d.Result; r != nil; r = r.Index {
		n += each*int64(4+len(r.Requirements)+2*len(r.DeniedChildren)) + evidenceWeight(r.Evidence)
		for _, k := range r.Keys {
			n += each
			for name, value := range k.Annotations {
				n += int64(len(name) + len(value))
			}
		}
		for _, s := range r.Statements {
			n += each + int64(len(s.Predicate))
		}
	}
	return n
}

func evidenceWeight(all []Evidence) int64 {
	n := recordWeight * int64(len(all))
	for _, e := range all {
		n += int64(len(e.Detail))
	}
	return n
}

// Get implements Cache.
func (c *MemoryCache) Get(_ context.Context, key CacheKey) (Decision, bool) { return c.held.Get(key) }

// Put implements Cache.
func (c *MemoryCache) Put(_ context.Context, key CacheKey, d Decision) {
	on := allowedShelf
	if d.Denied != nil {
		on = refusedShelf
	}
	c.held.PutOn(on, key, d)
}

// TTLs are how long decisions that allow and that deny are kept at most
// (Options.AllowedTTL, Options.DeniedTTL). What follows from one is used for no longer.
func (v *Verifier) TTLs() (allowed, denied time.Duration) { return v.o.AllowedTTL, v.o.DeniedTTL }

// Shared is where processes share decisions: Options.Cache where that is a SharedCache;
// otherwise nil.
func (v *Verifier) Shared() *SharedCache {
	shared, _ := v.o.Cache.(*SharedCache)
	return shared
}

// Age is how long ago the judgement of a Result began, which Options.Cache may have kept.
func (v *Verifier) Age(r *Result) time.Duration { return max(0, v.o.Now().Sub(r.JudgedAt)) }

// question is what callers share the answer to. Readers are not mixed: what one
// may read another may not.
type question struct {
	reader registry.Reader
	key    CacheKey
}

// decide answers from the cache, or judges, once for all who ask at the same
// time. Only definite decisions are kept, and none longer than what it rests on.
func (v *Verifier) decide(ctx context.Context, r registry.Reader, key CacheKey, judge func(context.Context) (*Result, error)) (*Result, error) {
	if v.o.Cache != nil {
		if d, ok := v.o.Cache.Get(ctx, key); ok && v.current(d) && v.usable(d, r, key) {
			return v.adopt(d)
		}
	}
	if !reflect.ValueOf(r).Comparable() {
		return v.judgeAndKeep(ctx, r, key, judge)
	}
	return v.sharing.Do(ctx, question{r, key}, func(ctx context.Context) (*Result, error) {
		return v.judgeAndKeep(ctx, r, key, judge)
	})
}

// current reports whether a decision may still be used. Another process may have made
// it, which keeps decisions for longer than this one. One that would hold for longer
// than any is kept, or that is of the future, was made while the clock was ahead, or
// comes from a store that says what it wants.
func (v *Verifier) current(d Decision) bool {
	now, most := v.o.Now(), v.o.AllowedTTL
	if d.Denied != nil {
		most = v.o.DeniedTTL
	}
	return now.Before(d.Until) && !d.Until.After(now.Add(most)) &&
		now.Before(d.Made.Add(most)) && !d.Made.After(now.Add(v.policy.skew))
}

// usable checks again that a cache gave back what was asked for.
func (v *Verifier) usable(d Decision, r registry.Reader, key CacheKey) bool {
	switch {
	case (d.Result == nil) == (d.Denied == nil):
		return false
	case d.Denied != nil:
		return d.Denied.PolicyDigest == key.Policy && names(d.Denied.Digest, key) && d.isOf(r)
	}
	result := d.Result
	return (result.by == v || result.shared && result.PolicyDigest == key.Policy) && result.ValidAt(v.o.Now()) && names(result.Digest, key)
}

// isOf reports whether a denial may be used for who asks with a Reader.
func (d Decision) isOf(r registry.Reader) bool {
	if d.reader == nil {
		return !deniesApart(r)
	}
	return reflect.ValueOf(r).Comparable() && d.reader == r
}

// deniesApart reports whether no denial is shared that is reached with a Reader; see
// SharedCache.
func deniesApart(r registry.Reader) bool {
	_, apart := r.(interface{ DeniesApart() })
	return apart
}

// names reports whether a digest is the one of a key, in its repository.
func names(d name.Digest, key CacheKey) bool {
	return d.DigestStr() == key.Digest && d.Context().Name() == key.Repository
}

// adopt returns a usable decision as this verifier's own.
func (v *Verifier) adopt(d Decision) (*Result, error) {
	switch {
	case d.Denied != nil:
		return nil, d.Denied
	case d.Result.by == v:
		return d.Result, nil
	}
	own := *d.Result
	own.by, own.shared = v, false
	return &own, nil
}

func (v *Verifier) judgeAndKeep(ctx context.Context, r registry.Reader, key CacheKey, judge func(context.Context) (*Result, error)) (*Result, error) {
	result, err := judge(ctx)
	if v.o.Cache == nil {
		return result, err
	}
	now := v.o.Now()
	if denied, ok := err.(*Error); ok {
		if v.Shared() != nil && deniesApart(r) {
			return result, err
		}
		v.o.Cache.Put(ctx, key, Decision{Denied: denied, reader: r, Made: now, Until: now.Add(v.o.DeniedTTL)})
	} else if err == nil {
		v.o.Cache.Put(ctx, key, Decision{Result: result, Made: now, Until: earlier(result.ValidUntil, now.Add(v.o.AllowedTTL))})
	}
	return result, err
}
