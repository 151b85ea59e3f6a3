package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// counting counts how often evidence is gathered, and can hold it up.
type counting struct {
	registry.Store
	gathered atomic.Int32
	hold     chan struct{}
	err      error
}

func (c *counting) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		c.gathered.Add(1)
		if c.hold != nil {
			select {
			case <-c.hold:
			case <-ctx.Done():
				yield(v1.Descriptor{}, ctx.Err())
				return
			}
		}
		if c.err != nil {
			yield(v1.Descriptor{}, c.err)
			return
		}
		for d, err := range c.Store.Referrers(ctx, subject) {
			if !yield(d, err) {
				return
			}
		}
	}
}

// begun waits until a caller asks.
func (c *counting) begun(t *testing.T) {
	t.Helper()
	for range 5000 {
		if c.gathered.Load() > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no caller asks")
}

func TestDecisionsAreKeptNoLongerThanTheyMayBe(t *testing.T) {
	w := newWorld(t)
	store := &counting{Store: w.store}
	at := now
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy(), verify.Options{
		Now: func() time.Time { return at }, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{}), AllowedTTL: time.Minute, DeniedTTL: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(allowed bool, gathered int32) {
		t.Helper()
		res, err := v.Image(context.Background(), store, w.image)
		if (err == nil) != allowed || err == nil && (res.Digest != w.image || res.Reference != w.image.String()) {
			t.Fatalf("%+v, %v", res, err)
		}
		if n := store.gathered.Load(); n != gathered {
			t.Fatalf("evidence was gathered %d times, want %d", n, gathered)
		}
	}
	ask(false, 1)
	ask(false, 1)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	ask(false, 1) // for a second
	at = at.Add(2 * time.Second)
	ask(true, 2)
	ask(true, 2)
	at = at.Add(59 * time.Second)
	ask(true, 2)
	at = at.Add(2 * time.Second)
	ask(true, 3)
	// What could not be decided is not kept.
	store.err = &registry.Error{Kind: registry.ErrUnavailable}
	other := w.push()
	for i := range 2 {
		var undecided *verify.UndecidedError
		if _, err := v.Image(context.Background(), store, other); !errors.As(err, &undecided) || store.gathered.Load() != int32(4+i) {
			t.Errorf("%v after %d", err, store.gathered.Load())
		}
	}
}

func TestAttack_P6_CallersShareAJudgementNotACancellation(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	store := &counting{Store: w.store, hold: make(chan struct{})}
	v := w.verifier(policy.Signatures{})
	const callers = 100
	var wg sync.WaitGroup
	var allowed, canceled atomic.Int32
	gone, leave := context.WithCancel(context.Background())
	for i := range callers {
		ctx := context.Background()
		if i%2 == 0 {
			ctx = gone
		}
		wg.Go(func() {
			switch _, err := v.Image(ctx, store, w.image); {
			case err == nil:
				allowed.Add(1)
			case errors.Is(err, context.Canceled):
				canceled.Add(1)
			}
		})
	}
	store.begun(t)
	time.Sleep(50 * time.Millisecond)
	leave()
	for range 5000 {
		if canceled.Load() == callers/2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(store.hold)
	wg.Wait()
	if allowed.Load() != callers/2 || store.gathered.Load() > 3 {
		t.Errorf("%d allowed, evidence gathered %d times", allowed.Load(), store.gathered.Load())
	}
}

func TestWorkThatNobodyWaitsForIsCancelled(t *testing.T) {
	w := newWorld(t)
	store := &counting{Store: w.store, hold: make(chan struct{})}
	v := w.verifier(policy.Signatures{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { _, err := v.Image(ctx, store, w.image); done <- err }()
	store.begun(t)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(store.hold)
	if _, err := v.Image(context.Background(), store, w.image); err == nil {
		t.Error("unsigned, and allowed")
	}
}

// lyingCache gives back what it was not asked for.
type lyingCache struct{ d verify.Decision }

func (c lyingCache) Get(context.Context, verify.CacheKey) (verify.Decision, bool) { return c.d, true }
func (lyingCache) Put(context.Context, verify.CacheKey, verify.Decision)          {}

func TestAttack_P8_DecisionsAboutSomethingElseAreNotUsed(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	good := w.verified(policy.Signatures{})
	evil := w.push()
	other, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for label, d := range map[string]verify.Decision{
		"denial of another digest under this policy": {Denied: &verify.Error{Digest: w.image, PolicyDigest: other.PolicyDigest()}, Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
		"denial of this digest under another policy": {Denied: &verify.Error{Digest: evil, PolicyDigest: "sha256:x", Reason: verify.ReasonDeniedDigest}, Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
		"of another verifier":                        {Result: good, Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
		"empty":                                      {Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
		"made up":                                    {Result: &verify.Result{Digest: evil}, Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
		"both":                                       {Result: good, Denied: &verify.Error{}, Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
		"another denial":                             {Denied: &verify.Error{Digest: w.image}, Made: time.Now(), Until: time.Now().Add(20 * time.Second)},
	} {
		// None of them has ended.
		o := verify.Options{Cache: lyingCache{d}, AllowedTTL: 2 * time.Hour, DeniedTTL: 2 * time.Hour}
		v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy(), o)
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.Image(context.Background(), w.store, evil)
		if denial := isDenied(t, res, err, verify.ReasonNoSignature); denial.Digest != evil {
			t.Errorf("%s: %+v", label, denial)
		}
	}
}

func TestAttack_P10_DecisionsOfAnotherTimeAreNotUsed(t *testing.T) {
	w := newWorld(t)
	p := policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy()
	plain, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for made, used := range map[time.Duration]bool{0: true, -29 * time.Second: true, -31 * time.Second: false, 4 * time.Minute: true, 6 * time.Minute: false} {
		kept := verify.Decision{
			Denied: &verify.Error{Digest: w.image, PolicyDigest: plain.PolicyDigest(), Reason: verify.ReasonDeniedDigest},
			Made:   now.Add(made), Until: now.Add(time.Second),
		}
		v, err := verify.New(p, verify.Options{Cache: lyingCache{kept}, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		want := verify.ReasonNoSignature
		if used {
			want = verify.ReasonDeniedDigest
		}
		res, err := v.Image(t.Context(), w.store, w.image)
		t.Log(made)
		isDenied(t, res, err, want)
	}
}

func TestAttack_P6_AFloodOfDeniedImagesDrivesNothingGoodOut(t *testing.T) {
	c := verify.NewMemoryCache(verify.MemoryCacheOptions{MaxEntries: 10})
	key := func(i int) verify.CacheKey { return verify.CacheKey{Digest: fmt.Sprint(i)} }
	ctx := context.Background()
	c.Put(ctx, key(0), verify.Decision{Result: &verify.Result{}})
	for i := 1; i < 1000; i++ {
		c.Put(ctx, key(i), verify.Decision{Denied: &verify.Error{}})
	}
	if _, ok := c.Get(ctx, key(0)); !ok {
		t.Error("the good one is gone")
	}
	n := 0
	for i := range 1000 {
		if _, ok := c.Get(ctx, key(i)); ok {
			n++
		}
	}
	if n != 11 {
		t.Errorf("%d decisions are kept", n)
	}
	c.Put(ctx, key(0), verify.Decision{Denied: &verify.Error{}})
	if d, _ := c.Get(ctx, key(0)); d.Result != nil {
		t.Error("an old permission outlives the denial")
	}
}

func TestDecisionsThatWeighMuchAreFewer(t *testing.T) {
	c := verify.NewMemoryCache(verify.MemoryCacheOptions{MaxBytes: 10 << 20})
	key := func(i int) verify.CacheKey { return verify.CacheKey{Digest: fmt.Sprint(i)} }
	for i := range 30 {
		c.Put(context.Background(), key(i), verify.Decision{Result: &verify.Result{Statements: []verify.Statement{{Predicate: make([]byte, 1<<20)}}}})
	}
	held := 0
	for i := range 30 {
		if _, ok := c.Get(context.Background(), key(i)); ok {
			held++
		}
	}
	if _, last := c.Get(context.Background(), key(29)); held > 10 || held < 8 || !last {
		t.Errorf("%d of 10 MB are held", held)
	}
}

func TestAttack_T6_APolicyFileIsTakenWholeOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	good := strings.Replace(policyText, "version: 1\n", "version: 1\nserial: 5\n", 1)
	path := written(t, good, a, b, c)
	at := now
	var log bytes.Buffer
	s, err := verify.NewFileSource(path, verify.FileSourceOptions{
		Options: verify.Options{Now: func() time.Time { return at }, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})},
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	judge := func() (*verify.Result, error) {
		t.Helper()
		v, err := s.Verifier(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return v.Image(context.Background(), w.store, w.image)
	}
	change := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute)
	}
	if _, err := judge(); err != nil {
		t.Fatal(err)
	}
	for label, text := range map[string]string{
		"truncated": good[:len(good)-20], "empty": "", "older": strings.Replace(good, "serial: 5", "serial: 4", 1), "without a serial": policyText, "garbage": "\x00",
	} {
		change("policy.yaml", text)
		if _, err := judge(); err != nil {
			t.Errorf("%s: the last good policy no longer holds: %v", label, err)
		}
		if s.Err() == nil || !strings.Contains(log.String(), "policy rejected") {
			t.Errorf("%s: it is not said", label)
		}
	}
	// T5: what is revoked counts no more, cached or not, at once.
	change("policy.yaml", strings.Replace(strings.Replace(good, "{file: a.pub}", "{file: a.pub, revoked: 2026-01-01T00:00:00Z}", 1), "serial: 5", "serial: 6", 1))
	res, err := judge()
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonRevokedKey)
	if s.Err() != nil {
		t.Error(s.Err())
	}
	// A key file that changes changes the policy.
	change("policy.yaml", strings.Replace(good, "serial: 5", "serial: 7", 1))
	if _, err := judge(); err != nil {
		t.Error(err)
	}
	change("a.pub", pemOf(t, newPerson(t)))
	res, err = judge()
	isDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
	// A policy that expires denies.
	change("policy.yaml", strings.Replace(good, "serial: 5", "serial: 8\nexpires: 2026-11-23T00:00:00Z", 1))
	res, err = judge()
	isDenied(t, res, err, verify.ReasonPolicyExpired)
	if _, err := verify.NewFileSource(filepath.Join(t.TempDir(), "none"), verify.FileSourceOptions{}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("no file: %v", err)
	}
}

func TestDecisionsAreLoggedWithoutSecrets(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("judged", "result", w.verified(policy.Signatures{}))
	logger.Info("judged", "denial", w.denied(policy.Signatures{Keys: []policy.PublicKey{w.other.key}}, verify.ReasonNoTrustedSignature))
	for _, want := range []string{`"status":"verified"`, w.trusted.key.ID(), `"reason":"no-trusted-signature"`, "rules[0].require[0]: no-trusted-signature", "1 untrusted-key"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestADeniedDigestIsDeniedAsAChildToo(t *testing.T) {
	store := registrytest.New(registrytest.Options{}).Store()
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	index, children, err := registrytest.PushIndex(context.Background(), store, tag, v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	by := newPerson(t)
	if _, err := sign.Image(context.Background(), store, index, sign.ImageOptions{}, by); err != nil {
		t.Fatal(err)
	}
	p := policy.Signatures{Keys: []policy.PublicKey{by.key}, Threshold: 1}.Policy()
	p.DenyDigests = []policy.DeniedDigest{{Digest: children[0].DigestStr(), Reason: "CVE"}}
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(context.Background(), store, index)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Child(context.Background(), store, res, children[0])
	isDenied(t, got, err, verify.ReasonDeniedDigest)
	if _, err := v.Child(context.Background(), store, res, children[1]); err != nil {
		t.Error(err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	key := pemOf(f, newPerson(f))
	f.Add([]byte(strings.NewReplacer("{file: a.pub}", "{pem: x}").Replace(policyText)))
	f.Add([]byte(`{"version":1,"keys":{"a":{"file":"a"}},"roles":{"r":{"keys":["a"]}},"rules":[{"images":["**"],"require":[{"anyOf":[{"signature":{"by":"r"}},{"config":{"nonRoot":true}}]}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(string, int64) ([]byte, error) { return []byte(key), nil }
		p, err := policy.Parse(text, policy.ParseOptions{ReadFile: read})
		if err != nil {
			if !errors.Is(err, policy.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		v, err := verify.New(p, verify.Options{})
		if err != nil {
			t.Fatalf("a policy that was read is refused: %v", err)
		}
		repo, _ := name.NewRepository("registry.example/team/app")
		_ = v.Explain(repo)
	})
}

// wrapped is a reader whose type can be compared and whose value cannot.
type wrapped struct{ registry.Reader }

type withHeaders struct {
	registry.Store
	headers map[string]string
}

func TestAReaderThatCannotBeComparedIsJudgedByItself(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v := w.verifier(policy.Signatures{})
	for _, r := range []registry.Reader{wrapped{withHeaders{w.store, nil}}, w.store} {
		if _, err := v.Image(context.Background(), r, w.image); err != nil {
			t.Error(err)
		}
	}
}

// A mirror, or a layout, may lack the evidence that another store has.
func TestADenialForOneStoreIsNoneForAnother(t *testing.T) {
	w := newWorld(t)
	bare := newWorldLike(t, w)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}.Policy(), verify.Options{Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	lacking := &counting{Store: bare.store}
	for range 2 {
		res, err := v.Image(t.Context(), lacking, w.image)
		isDenied(t, res, err, verify.ReasonNoSignature)
	}
	for _, r := range []registry.Reader{wrapped{withHeaders{bare.store, nil}}, wrapped{withHeaders{bare.store, nil}}} {
		res, err := v.Image(t.Context(), r, w.image) // whether these are the same is unknown
		isDenied(t, res, err, verify.ReasonNoSignature)
	}
	has := &counting{Store: w.store}
	if _, err := v.Image(t.Context(), has, w.image); err != nil {
		t.Error(err)
	}
	// What is allowed is allowed wherever it was found.
	if _, err := v.Image(t.Context(), lacking, w.image); err != nil {
		t.Error(err)
	}
	if lacking.gathered.Load() != 1 || has.gathered.Load() != 1 {
		t.Errorf("evidence was gathered %d and %d times, want once each", lacking.gathered.Load(), has.gathered.Load())
	}
}

func TestMemoryCacheWeighsWhatDenialsTell(t *testing.T) {
	c := verify.NewMemoryCache(verify.MemoryCacheOptions{MaxEntries: 10, MaxBytes: 10 << 10})
	put := func(repository string, details int) bool {
		key := verify.CacheKey{Repository: repository}
		c.Put(context.Background(), key, verify.Decision{Denied: &verify.Error{Evidence: []verify.Evidence{{Detail: strings.Repeat("x", details)}}}})
		_, kept := c.Get(context.Background(), key)
		return kept
	}
	if !put("short", 300) || put("long", 10<<10) {
		t.Error("a denial that tells more than the cache may hold is kept, or one that does not is not")
	}
}

func TestMemoryCacheWeighsWhatSignersHaveSignedAlong(t *testing.T) {
	c := verify.NewMemoryCache(verify.MemoryCacheOptions{MaxEntries: 10, MaxBytes: 10 << 10})
	for length, want := range map[int]bool{100: true, 10 << 10: false} {
		key := verify.CacheKey{Repository: fmt.Sprint(length)}
		signer := verify.Principal{Annotations: map[string]string{"note": strings.Repeat("x", length)}}
		c.Put(context.Background(), key, verify.Decision{Result: &verify.Result{Keys: []verify.Principal{signer}}})
		if _, kept := c.Get(context.Background(), key); kept != want {
			t.Errorf("annotations of %d bytes: kept %v", length, kept)
		}
	}
}

func TestMemoryCacheWeighsWhatExemptionsTell(t *testing.T) {
	c := verify.NewMemoryCache(verify.MemoryCacheOptions{MaxEntries: 10, MaxBytes: 20 << 10})
	long := strings.Repeat("x", 20<<10)
	for label, x := range map[string]verify.Exempted{
		"short":                  {Reason: "x", Unmet: []verify.Unmet{{Wanted: []string{"x"}, Exemption: &verify.Exempted{By: "x"}}}},
		"a long reason":          {Reason: long},
		"much that is wanted":    {Unmet: []verify.Unmet{{Wanted: []string{long}}}},
		"another with much text": {Unmet: []verify.Unmet{{Exemption: &verify.Exempted{Reason: long}}}},
	} {
		key := verify.CacheKey{Repository: label}
		c.Put(context.Background(), key, verify.Decision{Result: &verify.Result{Exemptions: []verify.Exempted{x}}})
		if _, kept := c.Get(context.Background(), key); kept != (label == "short") {
			t.Errorf("%s: kept %v", label, kept)
		}
	}
}

// What a rule that only warns lets through ends with the policy, too.
func TestAttack_T6_WarningsEndWithThePolicy(t *testing.T) {
	w, ends, at := newWorld(t), now.Add(time.Minute), now
	w.pushIndex(amd64)
	text := strings.Replace(policyText, "    require:", "    mode: warn\n    require:", 1) + "expires: " + ends.Format(time.RFC3339) + "\n"
	v, err := verify.New(loaded(t, text, newPerson(t), newPerson(t), newPerson(t)), verify.Options{
		Now: func() time.Time { return at }, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Image(context.Background(), w.store, w.image)
	if err != nil || res.Warning == nil || !res.ValidUntil.Equal(ends) {
		t.Fatalf("%+v, %v", res, err)
	}
	at = ends.Add(time.Second)
	after, err := v.Image(context.Background(), w.store, w.image)
	isDenied(t, after, err, verify.ReasonPolicyExpired)
	if _, err := v.Platform(context.Background(), w.store, res, amd64); !errors.Is(err, verify.ErrResult) {
		t.Errorf("%v, want ErrResult", err)
	}
}

// A clock that was wrong for a while leaves no decision behind that holds for longer
// than any may.
func TestAttack_P10_DecisionsOfAClockThatRanAheadAreNotUsed(t *testing.T) {
	w, a, b, c, at := newWorld(t), newPerson(t), newPerson(t), newPerson(t), now
	state(t, w, w.image, scanWith("low", recently), c)
	text := strings.Replace(policyText, signatureRequired, "attestation: {type: vulns, by: builder, maxSeverity: low, maxAge: 48h}", 1)
	v, err := verify.New(loaded(t, text, a, b, c), verify.Options{Now: func() time.Time { return at }, Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	at = now.Add(365 * 24 * time.Hour)
	res, err := v.Image(context.Background(), w.store, w.image)
	isDenied(t, res, err, verify.ReasonStale)
	at = now.Add(time.Hour)
	if _, err := v.Image(context.Background(), w.store, w.image); err != nil {
		t.Error(err)
	}
}

// sourceOf watches a policy with a clock of its own.
func sourceOf(t *testing.T, path string, log *bytes.Buffer) (s *verify.FileSource, later func()) {
	t.Helper()
	at := now
	s, err := verify.NewFileSource(path, verify.FileSourceOptions{
		Options: verify.Options{Now: func() time.Time { return at }}, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		t.Helper()
		at = at.Add(time.Minute)
		if _, err := s.Verifier(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPolicyThatIsRefusedIsToldOnce(t *testing.T) {
	path := written(t, policyText+"serial: 5\n", newPerson(t), newPerson(t), newPerson(t))
	var log bytes.Buffer
	_, later := sourceOf(t, path, &log)
	for label, text := range map[string]string{"rolled back": policyText + "serial: 4\n", "broken": "nonsense"} {
		log.Reset()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			later()
		}
		if n := strings.Count(log.String(), "policy rejected"); n != 1 {
			t.Errorf("%s: told %d times", label, n)
		}
	}
}

// Files that are replaced while a policy is loaded from them may be of two policies:
// what was read is not taken, and they are read again.
func TestAttack_T6_PolicyWhoseFilesChangeWhileReadIsNotTaken(t *testing.T) {
	a, b, c, other := newPerson(t), newPerson(t), newPerson(t), newPerson(t)
	path := written(t, policyText, a, b, c)
	hook := &hooked{houseCA: newHouseCA(t)}
	at := now
	s, err := verify.NewFileSource(path, verify.FileSourceOptions{Options: verify.Options{
		Now: func() time.Time { return at }, Authorities: map[string]policy.Authority{"house": hook},
	}})
	if err != nil {
		t.Fatal(err)
	}
	look := func() string {
		t.Helper()
		at = at.Add(time.Minute)
		v, err := s.Verifier(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return v.PolicyDigest()
	}
	first := look()
	hook.then = func() {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "a.pub"), []byte(pemOf(t, other)), 0o600); err != nil {
			t.Error(err)
		}
	}
	text := policyText + "serial: 9\nidentities:\n  x: {authority: house, settings: {address: x@house.example}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != first || s.Err() == nil || !strings.Contains(s.Err().Error(), "changed while") {
		t.Errorf("%s holds, %v", got, s.Err())
	}
	second := look()
	if second == first || s.Err() != nil {
		t.Errorf("%s holds still, %v", second, s.Err())
	}
	// A change that is taken back while the files are read leaves no error behind.
	hook.then = func() {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path, []byte(text+"# a word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != second || s.Err() == nil {
		t.Errorf("%s holds, %v", got, s.Err())
	}
	if got := look(); got != second || s.Err() != nil {
		t.Errorf("%s holds, %v", got, s.Err())
	}
}

// hooked is an authority that does something once, while a policy is loaded.
type hooked struct {
	*houseCA
	then func()
}

func (h *hooked) Matcher(settings map[string]any) (policy.Matcher, error) {
	if then := h.then; then != nil {
		h.then = nil
		then()
	}
	return h.houseCA.Matcher(settings)
}

// While one request loads a new policy, the others go on by the one that holds.
func TestNobodyWaitsForAPolicyThatIsLoaded(t *testing.T) {
	path := written(t, policyText, newPerson(t), newPerson(t), newPerson(t))
	loading, release := make(chan struct{}), make(chan struct{})
	hook := &hooked{newHouseCA(t), func() { close(loading); <-release }}
	text := policyText + "identities:\n  x: {authority: house, settings: {address: x@house.example}}\n"
	var at atomic.Int64
	s, err := verify.NewFileSource(path, verify.FileSourceOptions{Options: verify.Options{
		Now: func() time.Time { return now.Add(time.Duration(at.Load())) }, Authorities: map[string]policy.Authority{"house": hook},
	}})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := s.Verifier(context.Background())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at.Store(int64(time.Minute))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Verifier(context.Background())
	}()
	<-loading
	if v, err := s.Verifier(context.Background()); err != nil || v != before {
		t.Errorf("%v", err)
	}
	close(release)
	<-done
	if v, err := s.Verifier(context.Background()); err != nil || v == before {
		t.Errorf("the new policy does not hold: %v, %v", err, s.Err())
	}
}
