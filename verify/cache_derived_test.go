package verify_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestAttack_P8_DerivedValuesAreBoundToWhatTheyAreAbout(t *testing.T) {
	store := &shelf{}
	cache, err := verify.NewSharedCache(store, sharedKey)
	if err != nil {
		t.Fatal(err)
	}
	value := []byte("value")
	cache.PutDerived(t.Context(), value, time.Hour, "kind", "a")
	cache.PutDerived(t.Context(), make([]byte, 1<<20), time.Hour, "kind", "large")
	if got, ok := cache.Derived(t.Context(), "kind", "a"); !ok || !bytes.Equal(got, value) {
		t.Errorf("%q, %v", got, ok)
	}
	another, err := verify.NewSharedCache(store, bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, about := range [][]string{{"kind", "b"}, {"other", "a"}, {"kind"}, {"kind", "a", ""}, {"kind", "large"}} {
		if got, ok := cache.Derived(t.Context(), about...); ok {
			t.Errorf("%q: %q", about, got)
		}
	}
	if _, ok := another.Derived(t.Context(), "kind", "a"); ok {
		t.Error("another key opens it")
	}
	// No value is taken for a decision, whatever it says it is about.
	key := verify.CacheKey{Policy: "p", Trust: "t", Repository: "r", Digest: "d"}
	cache.PutDerived(t.Context(), []byte(`{"result":{}}`), time.Hour, "p", "t", "r", "d")
	if d, ok := cache.Get(t.Context(), key); ok {
		t.Errorf("it is a decision: %+v", d)
	}
	store.tamper(func(v []byte) []byte { return append(v, ' ') })
	if _, ok := cache.Derived(t.Context(), "kind", "a"); ok {
		t.Error("it was changed in the store")
	}
	store.tamper(func([]byte) []byte { return make([]byte, 2<<20) })
	if _, ok := cache.Derived(t.Context(), "kind", "a"); ok {
		t.Error("it is larger than any")
	}
}

func TestAVerifierSaysHowItsDecisionsAreKept(t *testing.T) {
	w, a := newWorld(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	p := policy.Signatures{Keys: []policy.PublicKey{a.key}, Threshold: 1}.Policy()
	at := time.Now()
	cache, err := verify.NewSharedCache(&shelf{}, sharedKey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Now: func() time.Time { return at }, Cache: cache, AllowedTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if allowed, denied := v.TTLs(); allowed != time.Hour || denied != 30*time.Second || v.Shared() != cache {
		t.Errorf("%v, %v, %v", allowed, denied, v.Shared())
	}
	r, err := v.Image(t.Context(), w.store, w.image)
	if err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Minute)
	if age := v.Age(r); age != time.Minute {
		t.Errorf("a minute later it is %v old", age)
	}
	at = at.Add(-time.Hour) // the clock was ahead
	if age := v.Age(r); age != 0 {
		t.Errorf("before it was made it is %v old", age)
	}
	if plain, err := verify.New(p, verify.Options{}); err != nil || plain.Shared() != nil {
		t.Errorf("%v, %v", plain.Shared(), err)
	}
}
