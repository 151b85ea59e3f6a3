package verify_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/seal"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// shelf is a store outside of the process that anybody can write to.
type shelf struct {
	mu   sync.Mutex
	held map[string][]byte
}

func (s *shelf) Get(_ context.Context, key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.held[key]
	return bytes.Clone(v), ok
}

func (s *shelf) Put(_ context.Context, key string, value []byte, keep time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = make(map[string][]byte)
	}
	if keep > 0 {
		s.held[key] = bytes.Clone(value)
	}
}

// tamper replaces every value.
func (s *shelf) tamper(with func(value []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, value := range s.held {
		s.held[key] = with(bytes.Clone(value))
	}
}

var sharedKey = bytes.Repeat([]byte{7}, 32)

// process is a verifier as another process would have it.
func process(t *testing.T, p *policy.Policy, store verify.DecisionStore, o verify.Options) *verify.Verifier {
	t.Helper()
	cache, err := verify.NewSharedCache(store, sharedKey)
	if err != nil {
		t.Fatal(err)
	}
	o.Cache = cache
	v, err := verify.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestProcessesShareDecisionsThroughAStore(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	p := loaded(t, policyText+"      - attestation: {type: "+testType+", by: builder, acceptAnyContent: true}\n", a, b, c)
	w.sign(w.image, sign.ImageOptions{Annotations: map[string]string{"env": "prod"}}, a)
	if _, err := attest.Image(t.Context(), w.store, w.image, predicate.Raw{Type: testType, JSON: []byte(`{"x":1}`)}, attest.Options{}, c); err != nil {
		t.Fatal(err)
	}
	unsigned := w.push()
	store, read := &shelf{}, &counting{Store: w.store}
	first, second := process(t, p, store, verify.Options{}), process(t, p, store, verify.Options{})
	judged, err := first.Image(t.Context(), read, w.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Image(t.Context(), read, unsigned); err == nil {
		t.Fatal("allowed")
	}
	n := read.gathered.Load()
	shared, err := second.Image(t.Context(), read, w.image)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := judged.MarshalJSON()
	two, _ := shared.MarshalJSON()
	if !bytes.Equal(one, two) || len(shared.Statements) != 1 || string(shared.Statements[0].Predicate) != `{"x":1}` || shared.Digest != w.image {
		t.Errorf("shared %s\njudged %s", two, one)
	}
	_, err = second.Image(t.Context(), read, unsigned)
	isDenied(t, nil, err, verify.ReasonNoSignature)
	if now := read.gathered.Load(); now != n {
		t.Errorf("evidence was gathered %d times for what is known", now-n)
	}
	// What was shared can be rested on, as what was judged here.
	var denied *verify.Error
	if _, err := second.Child(t.Context(), w.store, shared, unsigned); !errors.As(err, &denied) || denied.Reason != verify.ReasonNotIndex {
		t.Errorf("a shared result: %v", err)
	}
}

const testType = "https://example.test/predicate/v1"

func TestAttack_P8_SharedStoreIsBelievedOnlyAsItWasPut(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	evil := w.push()
	at := now
	clock := verify.Options{Now: func() time.Time { return at }, AllowedTTL: 100 * 365 * 24 * time.Hour}
	store := &shelf{}
	if _, err := process(t, p, store, clock).Image(t.Context(), w.store, w.image); err != nil {
		t.Fatal(err)
	}
	good := maps.Clone(store.held)
	if len(good) != 1 {
		t.Fatalf("%d values", len(good))
	}
	var value []byte
	for _, value = range good {
		if !strings.Contains(string(value), w.image.DigestStr()) {
			t.Fatalf("%q", value)
		}
	}
	isJudged := func(label string, v *verify.Verifier) {
		t.Helper()
		read := &counting{Store: w.store}
		if _, err := v.Image(t.Context(), read, w.image); err != nil {
			t.Errorf("%s: %v", label, err)
		}
		if read.gathered.Load() != 1 {
			t.Errorf("%s: it was believed", label)
		}
	}
	for label, with := range map[string]func([]byte) []byte{
		"a bit is changed": func(v []byte) []byte { v[len(v)-10] ^= 1; return v },
		"it is cut":        func(v []byte) []byte { return v[:len(v)-1] },
		"it is longer":     func(v []byte) []byte { return append(v, ' ') },
		"it is gone":       func([]byte) []byte { return nil },
		"it is huge":       func(v []byte) []byte { return append(v, make([]byte, 2<<20)...) },
	} {
		store.held = maps.Clone(good)
		store.tamper(with)
		isJudged(label, process(t, p, store, clock))
	}
	// The good value under every name that is asked for allows nothing else.
	moved := lying{value}
	res, err := process(t, p, moved, clock).Image(t.Context(), w.store, evil)
	isDenied(t, res, err, verify.ReasonNoSignature)
	// Of another policy, whose people are others.
	other := policy.Signatures{Keys: []policy.PublicKey{newPerson(t).key}, Threshold: 1}.Policy()
	res, err = process(t, other, moved, clock).Image(t.Context(), w.store, w.image)
	isDenied(t, res, err, verify.ReasonNoTrustedSignature)
	// An old value, put back.
	store.held = good
	at = at.Add(101 * 365 * 24 * time.Hour)
	isJudged("it has ended", process(t, p, store, clock))
}

// An owner of the key may have written in another form, as programs of another
// version do: what is not understood is judged.
func TestASharedValueThatIsNoDecisionIsJudged(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	v := process(t, p, &shelf{}, verify.Options{})
	until := `"made":"` + time.Now().Format(time.RFC3339) + `","until":"` + time.Now().Add(time.Minute).Format(time.RFC3339) + `"`
	named := func(digest string) string {
		return `{"digest":"` + digest + `","policyDigest":"` + v.PolicyDigest() + `"}`
	}
	good := named(w.image.String())
	for label, c := range map[string]struct {
		value    string
		believed bool
	}{
		"a result":                   {`{"result":` + good + `,` + until + `}`, true},
		"no JSON":                    {`{`, false},
		"a list":                     {`[]`, false},
		"neither":                    {`{` + until + `}`, false},
		"a result of no time":        {`{"result":` + good + `,` + until[strings.Index(until, `,`)+1:] + `}`, false},
		"both":                       {`{"result":` + good + `,"denied":` + good + `,` + until + `}`, false},
		"a result about no digest":   {`{"result":` + named("latest") + `,` + until + `}`, false},
		"a denial about no digest":   {`{"denied":` + named("") + `,` + until + `}`, false},
		"a warning about no digest":  {`{"result":` + strings.TrimSuffix(good, "}") + `,"warning":` + named("") + `},` + until + `}`, false},
		"a result of another policy": {`{"result":` + strings.Replace(good, v.PolicyDigest(), "sha256:x", 1) + `,` + until + `}`, false},
	} {
		box := seal.Box{Kind: "hallmark-decision-1", Key: sharedKey}
		sealed := box.Seal([]byte(c.value), v.PolicyDigest(), "", w.repo.Name(), w.image.DigestStr())
		read := &counting{Store: w.store}
		if _, err := process(t, p, lying{sealed}, verify.Options{}).Image(t.Context(), read, w.image); err != nil {
			t.Errorf("%s: %v", label, err)
		}
		if judged := read.gathered.Load() == 1; judged == c.believed {
			t.Errorf("%s: judged %v", label, judged)
		}
	}
}

func TestADecisionThatCannotBeWrittenIsNotShared(t *testing.T) {
	store := &shelf{}
	cache, err := verify.NewSharedCache(store, sharedKey)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for year, kept := range map[int]int{time.Now().Year() + 1: 1, 10_000: 0} { // which RFC 3339 cannot write
		store.held = nil
		cache.Put(t.Context(), verify.CacheKey{}, verify.Decision{Denied: &verify.Error{Digest: w.image}, Until: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)})
		if len(store.held) != kept {
			t.Errorf("year %d: %d values are held, want %d", year, len(store.held), kept)
		}
	}
}

// A process that keeps decisions for long does so for itself.
func TestAttack_T5_DecisionIsUsedNoLongerThanItIsKept(t *testing.T) {
	w, a, b, c := newWorld(t), newPerson(t), newPerson(t), newPerson(t)
	p, at, store := loaded(t, policyText, a, b, c), time.Now(), &shelf{}
	w.sign(w.image, sign.ImageOptions{}, a)
	unsigned, read := w.push(), &counting{Store: w.store}
	keeping := func(d time.Duration) *verify.Verifier {
		return process(t, p, store, verify.Options{Now: func() time.Time { return at }, AllowedTTL: d, DeniedTTL: d})
	}
	long, short := keeping(24*time.Hour), keeping(time.Minute)
	ask := func(v *verify.Verifier) {
		t.Helper()
		if _, err := v.Image(t.Context(), read, w.image); err != nil {
			t.Error(err)
		}
		res, err := v.Image(t.Context(), read, unsigned)
		isDenied(t, res, err, verify.ReasonNoSignature)
	}
	ask(long)
	at = at.Add(24*time.Hour - 30*time.Second) // for half a minute, it is within what short keeps
	before := read.gathered.Load()
	ask(long)
	if n := read.gathered.Load() - before; n != 0 {
		t.Errorf("who keeps decisions for so long has judged %d again", n)
	}
	ask(short)
	if n := read.gathered.Load() - before; n != 2 {
		t.Errorf("who keeps decisions for a minute has judged %d of 2 again", n)
	}
}

// lying gives the same value for every key.
type lying struct{ value []byte }

func (l lying) Get(context.Context, string) ([]byte, bool)         { return l.value, true }
func (l lying) Put(context.Context, string, []byte, time.Duration) {}

// renewing is an authority whose trust changes.
type renewing struct {
	*houseCA
	generation string
}

func (r *renewing) Generation() string { return r.generation }

func TestAttack_T5_DecisionsOfAnEarlierTrustAreNotUsed(t *testing.T) {
	for label, cache := range map[string]verify.Cache{"here": verify.NewMemoryCache(verify.MemoryCacheOptions{}), "shared": sharedOf(t)} {
		t.Run(label, func(t *testing.T) {
			w, a, jane := newWorld(t), newPerson(t), newPerson(t)
			authority := &renewing{newHouseCA(t), "1"}
			w.attach(w.image, w.certified(authority.issue(t, jane, "jane@house.example", time.Now().Add(time.Hour)), jane))
			linked := map[string]policy.Authority{"house": authority}
			p, err := policy.Load(written(t, identityPolicy, a), policy.ParseOptions{Authorities: linked})
			if err != nil {
				t.Fatal(err)
			}
			v, err := verify.New(p, verify.Options{Authorities: linked, Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			read := &counting{Store: w.store}
			for range 2 {
				if _, err := v.Image(t.Context(), read, w.image); err != nil {
					t.Fatal(err)
				}
			}
			before := v.Generation()
			authority.generation = "2"
			*authority.houseCA = *newHouseCA(t)
			res, err := v.Image(t.Context(), read, w.image)
			isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonCertificate)
			if n := read.gathered.Load(); v.Generation() == before || !strings.HasPrefix(before, v.PolicyDigest()) || n != 2 {
				t.Errorf("generations %s and %s, evidence gathered %d times", before, v.Generation(), n)
			}
		})
	}
}

func sharedOf(t *testing.T) verify.Cache {
	t.Helper()
	c, err := verify.NewSharedCache(&shelf{}, sharedKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASharedCacheNeedsAStoreAndAKey(t *testing.T) {
	for label, make := range map[string]func() (*verify.SharedCache, error){
		"no store":  func() (*verify.SharedCache, error) { return verify.NewSharedCache(nil, sharedKey) },
		"no key":    func() (*verify.SharedCache, error) { return verify.NewSharedCache(&shelf{}, nil) },
		"short key": func() (*verify.SharedCache, error) { return verify.NewSharedCache(&shelf{}, sharedKey[:31]) },
	} {
		if c, err := make(); err == nil || c != nil {
			t.Errorf("%s: taken", label)
		}
	}
}
