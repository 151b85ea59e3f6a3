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
	// Policy is Verifier.PolicyDigest. A decision of one policy never serves another.
	Policy string
	// Trust identifies what the policy's authorities trust now, and names
	// Options.EvidenceRepository. Empty: no authority is a ChangingAuthority, and that is
	// not set.
	Trust string
	// Repository is the full name of the repository, Digest that of the manifest. The store
	// is not part of the key: evidence allows wherever it was found. A denial is used only
	// for the Reader that it was reached with, or by the rules of SharedCache.
	Repository, Digest string
}

// Decision is an answer: Result or Denied is set, never both.
type Decision struct {
	// Result allows, Denied denies.
	Result *Result
	Denied *Error
	// Made is when the decision was reached, Until when it must no longer be used.
	Made, Until time.Time

	// reader is the Reader that a denial was reached with: another store may have what this
	// one lacks. Nil: a SharedCache returned the denial.
	reader registry.Reader
}

// Cache keeps decisions. A Cache:
//
//   - is safe for concurrent use;
//   - may forget at any time;
//   - returns exactly what was put under a key, or nothing;
//   - authenticates what it keeps outside this process: an attacker who can write to a
//     Cache can allow anything;
//   - gives up before it takes longer than a judgement.
//
// A denial that a Cache rebuilds from exported fields is used for every Reader (CacheKey).
type Cache interface {
	Get(ctx context.Context, key CacheKey) (Decision, bool)
	Put(ctx context.Context, key CacheKey, d Decision)
}

// MemoryCacheOptions bound a MemoryCache.
type MemoryCacheOptions struct {
	// MaxEntries bounds the decisions that allow and, separately, those that deny: a flood
	// of denied images displaces no others. Zero: 10,000.
	MaxEntries int
	// MaxBytes bounds the memory of decisions that allow and, separately, of those that
	// deny. Zero: 128 MiB.
	MaxBytes int64
}

// MemoryCache keeps the most recently used decisions in this process.
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

// recordWeight is about how many bytes one record holds, with its digests.
const recordWeight = 256

// weight is about how many bytes a decision holds in memory.
func (d Decision) weight() int64 {
	const each = recordWeight
	if e := d.Denied; e != nil {
		return each*int64(4+len(e.Unmet)) + evidenceWeight(e.Evidence) + unmetWeight(e.Unmet)
	}
	var n int64
	for r := d.Result; r != nil; r = r.Index {
		n += each*int64(4+len(r.Requirements)+2*len(r.DeniedChildren)) + evidenceWeight(r.Evidence)
		for _, x := range r.Exemptions {
			n += each*int64(1+len(x.Unmet)) + int64(len(x.Reason)+len(x.By)) + unmetWeight(x.Unmet)
		}
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

func unmetWeight(all []Unmet) (n int64) {
	for _, u := range all {
		n += int64(len(u.Title) + len(u.Detail) + len(u.Found))
		for _, w := range u.Wanted {
			n += int64(len(w)) + recordWeight/16
		}
		if u.Exemption != nil {
			n += recordWeight + int64(len(u.Exemption.Reason)+len(u.Exemption.By))
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

// TTLs are Options.AllowedTTL and Options.DeniedTTL. What follows from a decision is used
// no longer.
func (v *Verifier) TTLs() (allowed, denied time.Duration) { return v.o.AllowedTTL, v.o.DeniedTTL }

// Shared is Options.Cache if that is a SharedCache; otherwise nil.
func (v *Verifier) Shared() *SharedCache {
	shared, _ := v.o.Cache.(*SharedCache)
	return shared
}

// Age is how long ago the judgement of a Result began. Options.Cache may have kept it
// since.
func (v *Verifier) Age(r *Result) time.Duration { return max(0, v.o.Now().Sub(r.JudgedAt)) }

// question is what callers share the answer to. Readers are not mixed: one may read what
// another may not.
type question struct {
	reader registry.Reader
	key    CacheKey
}

// decide answers from the cache (cached), or judges once for all concurrent callers. Only decisions
// are kept, and none longer than what it rests on.
func (v *Verifier) decide(ctx context.Context, r registry.Reader, key CacheKey, judge func(context.Context) (*Result, error)) (result *Result, cached bool, err error) {
	if v.o.Cache != nil {
		if d, ok := v.o.Cache.Get(ctx, key); ok && v.current(d) && v.usable(d, r, key) {
			result, err = v.adopt(d)
			return result, true, err
		}
	}
	if !reflect.ValueOf(r).Comparable() {
		result, err = v.judgeAndKeep(ctx, r, key, judge)
		return result, false, err
	}
	result, err = v.sharing.Do(ctx, question{r, key}, func(ctx context.Context) (*Result, error) {
		return v.judgeAndKeep(ctx, r, key, judge)
	})
	return result, false, err
}

// current reports whether a decision may still be used. Another process with a longer TTL
// may have made it. A decision from the future, or one that would hold too long, was made
// with a wrong clock or comes from a store that lies.
func (v *Verifier) current(d Decision) bool {
	now, most := v.o.Now(), v.o.AllowedTTL
	if d.Denied != nil {
		most = v.o.DeniedTTL
	}
	return now.Before(d.Until) && !d.Until.After(now.Add(most)) &&
		now.Before(d.Made.Add(most)) && !d.Made.After(now.Add(v.policy.skew))
}

// usable checks again that a cache returned a decision about the key.
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

// isOf reports whether a denial may be used for a caller with this Reader.
func (d Decision) isOf(r registry.Reader) bool {
	if d.reader == nil {
		return !deniesApart(r)
	}
	return reflect.ValueOf(r).Comparable() && d.reader == r
}

// deniesApart reports whether denials reached with a Reader are never shared; see
// SharedCache.
func deniesApart(r registry.Reader) bool {
	_, apart := r.(interface{ DeniesApart() })
	return apart
}

// names reports whether a digest is that of a key, in its repository.
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
