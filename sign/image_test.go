package sign_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

var bothFormats = []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}

func newSigner(t testing.TB) sign.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newStore(t testing.TB) (registry.Store, name.Repository) {
	t.Helper()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	return registrytest.New(registrytest.Options{}).Store(), repo
}

func pushRandom(t testing.TB, s registry.Store, repo name.Repository) name.Digest {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.Push(context.Background(), s, repo, image)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// signedBy counts the pieces of evidence that the key has signed, by format.
func signedBy(t testing.TB, s registry.Store, subject name.Digest, by sign.Signer) map[registry.Format]int {
	t.Helper()
	key, err := sigkey.New(by.Public())
	if err != nil {
		t.Fatal(err)
	}
	n := make(map[registry.Format]int)
	for item, err := range registry.Evidence(context.Background(), s, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		claim, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
		if err != nil {
			continue
		}
		if made, err := claim.VerifiedWithin(t.Context(), key); err == nil && made {
			n[item.Format]++
		}
	}
	return n
}

func TestSigningTwiceAddsNothing(t *testing.T) {
	s, repo := newStore(t)
	subject, signer := pushRandom(t, s, repo), newSigner(t)
	o := sign.ImageOptions{Formats: bothFormats, Annotations: map[string]string{"k": "v"}}
	for round := range 3 {
		signed, err := sign.Image(context.Background(), s, subject, o, signer, signer)
		if err != nil {
			t.Fatal(err)
		}
		if len(signed.Signatures) != 2 || signed.Digest != subject {
			t.Fatalf("%+v", signed)
		}
		for _, made := range signed.Signatures {
			if made.Existed != (round > 0) {
				t.Errorf("round %d: %+v", round, made)
			}
		}
		if n := signedBy(t, s, subject, signer); n[registry.FormatBundle] != 1 || n[registry.FormatSimpleSigning] != 1 {
			t.Errorf("round %d: %v", round, n)
		}
	}
	o.Annotations = map[string]string{"k": "other"}
	if _, err := sign.Image(context.Background(), s, subject, o, signer); err != nil {
		t.Fatal(err)
	}
	if n := signedBy(t, s, subject, signer); n[registry.FormatBundle] != 2 || n[registry.FormatSimpleSigning] != 2 {
		t.Errorf("other annotations are another signature: %v", n)
	}
}

func TestASecondSignerKeepsTheFirst(t *testing.T) {
	s, repo := newStore(t)
	subject, first, second := pushRandom(t, s, repo), newSigner(t), newSigner(t)
	for _, signer := range []sign.Signer{first, second} {
		if _, err := sign.Image(context.Background(), s, subject, sign.ImageOptions{Formats: bothFormats}, signer); err != nil {
			t.Fatal(err)
		}
	}
	for _, signer := range []sign.Signer{first, second} {
		if n := signedBy(t, s, subject, signer); n[registry.FormatBundle] != 1 || n[registry.FormatSimpleSigning] != 1 {
			t.Errorf("%v", n)
		}
	}
}

func TestRecursiveSignsEveryManifestOfAnIndex(t *testing.T) {
	s, repo := newStore(t)
	signer := newSigner(t)
	index, err := random.Index(32, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	root, err := registry.Push(context.Background(), s, repo, index)
	if err != nil {
		t.Fatal(err)
	}
	var calls []int
	o := sign.ImageOptions{Recursive: true, Progress: func(done, total int) {
		if total != 4 {
			t.Errorf("total %d", total)
		}
		calls = append(calls, done)
	}}
	signed, err := sign.Image(context.Background(), s, root, o, signer)
	if err != nil {
		t.Fatal(err)
	}
	if len(signed.Signatures) != 4 || signed.Signatures[3].Subject != root || len(calls) != 4 {
		t.Errorf("the index last, of four: %+v, progress %v", signed, calls)
	}
	for _, made := range signed.Signatures {
		if n := signedBy(t, s, made.Subject, signer); n[registry.FormatBundle] != 1 {
			t.Errorf("%s: %v", made.Subject, n)
		}
	}
	o = sign.ImageOptions{Recursive: true, MaxManifests: 3}
	if _, err := sign.Image(context.Background(), s, root, o, signer); !errors.Is(err, sign.ErrOptions) {
		t.Errorf("more manifests than allowed: %v", err)
	}
}

func TestAttack_I2_AnIndexListingItselfOrNestingDeepIsBounded(t *testing.T) {
	s, repo := newStore(t)
	inner := pushRandom(t, s, repo)
	for range 8 {
		m, err := s.Manifest(context.Background(), inner)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []v1.Descriptor{m.Descriptor, m.Descriptor}})
		if err != nil {
			t.Fatal(err)
		}
		next, err := registry.NewManifest("application/vnd.oci.image.index.v1+json", text)
		if err != nil {
			t.Fatal(err)
		}
		inner = repo.Digest(next.Descriptor.Digest.String())
		if _, err := s.PushManifest(context.Background(), inner, next, registry.PushOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sign.Image(context.Background(), s, inner, sign.ImageOptions{Recursive: true}, newSigner(t)); !errors.Is(err, sign.ErrOptions) {
		t.Errorf("%v, want ErrOptions", err)
	}
}

func TestWrongUseIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	s, repo := newStore(t)
	subject := pushRandom(t, s, repo)
	for name, c := range map[string]struct {
		o       sign.ImageOptions
		signers []sign.Signer
	}{
		"no signer":        {},
		"nil signer":       {signers: []sign.Signer{nil}},
		"unknown format":   {sign.ImageOptions{Formats: []registry.Format{registry.FormatEnvelope}}, []sign.Signer{newSigner(t)}},
		"one format twice": {sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatBundle}}, []sign.Signer{newSigner(t)}},
	} {
		if _, err := sign.Image(context.Background(), s, subject, c.o, c.signers...); !errors.Is(err, sign.ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
	if text, err := sign.Blob(context.Background(), bytes.NewReader([]byte("x")), nil); text != nil || !errors.Is(err, sign.ErrOptions) {
		t.Errorf("a file without signers: %s, %v; want ErrOptions", text, err)
	}
	for _, d := range []string{"sha512:00", "sha256:xyz"} {
		if _, err := sign.Image(context.Background(), s, repo.Digest(d), sign.ImageOptions{}, newSigner(t)); !errors.Is(err, registry.ErrReference) {
			t.Errorf("digest %s: %v", d, err)
		}
	}
}

// watched records what happens to a store, and may lie.
type watched struct {
	registry.Store
	mu       sync.Mutex
	log      []string
	dropSigs bool // takes evidence and forgets it
	failPush error
}

func (w *watched) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, ref.Identifier())
	switch {
	case w.failPush != nil:
		return registry.PushReport{}, w.failPush
	case w.dropSigs && bytes.Contains(m.Bytes, []byte(`"subject"`)):
		return registry.PushReport{SubjectIndexed: true}, nil
	}
	return w.Store.PushManifest(ctx, ref, m, o)
}

func (w *watched) Referrers(ctx context.Context, d name.Digest) iter.Seq2[v1.Descriptor, error] {
	return w.Store.Referrers(ctx, d)
}

func TestPushAndSignSetsTheTagLast(t *testing.T) {
	store, repo := newStore(t)
	s := &watched{Store: store}
	image, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := sign.PushAndSign(context.Background(), s, repo.Tag("v1"), image, sign.ImageOptions{}, newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.log[len(s.log)-1]; got != "v1" || s.log[0] != signed.Digest.DigestStr() {
		t.Errorf("order of manifests: %v", s.log)
	}
	desc, err := s.Resolve(context.Background(), repo.Tag("v1"))
	if err != nil || desc.Digest.String() != signed.Digest.DigestStr() {
		t.Errorf("%v, %v", desc, err)
	}
}

func TestAttack_S2_ForgottenSignatureIsNoticedAndTheTagStays(t *testing.T) {
	store, repo := newStore(t)
	s := &watched{Store: store, dropSigs: true}
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sign.PushAndSign(context.Background(), s, repo.Tag("v1"), image, sign.ImageOptions{}, newSigner(t))
	if !errors.Is(err, registry.ErrNotConfirmed) {
		t.Errorf("%v, want ErrNotConfirmed", err)
	}
	if _, err := s.Resolve(context.Background(), repo.Tag("v1")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the tag is set: %v", err)
	}
}

// badSigner does not do what a signer must.
type badSigner struct {
	sign.Signer
	do func(ctx context.Context, message []byte) ([]byte, error)
}

func (b badSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return b.do(ctx, message)
}

func TestAttack_S8_SignaturesAreVerifiedBeforeTheyAreAttached(t *testing.T) {
	store, repo := newStore(t)
	subject, good := pushRandom(t, store, repo), newSigner(t)
	for name, do := range map[string]func(ctx context.Context, message []byte) ([]byte, error){
		"another message": func(ctx context.Context, _ []byte) ([]byte, error) { return good.Sign(ctx, []byte("another")) },
		"short":           func(context.Context, []byte) ([]byte, error) { return []byte{1}, nil },
		"nothing":         func(context.Context, []byte) ([]byte, error) { return nil, nil },
		"error":           func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no token") },
		"another key":     newSigner(t).Sign,
	} {
		_, err := sign.Image(context.Background(), store, subject, sign.ImageOptions{}, badSigner{good, do})
		if !errors.Is(err, sign.ErrSigner) {
			t.Errorf("%s: %v, want ErrSigner", name, err)
		}
		if _, err := sign.Blob(context.Background(), bytes.NewReader([]byte("x")), badSigner{good, do}); !errors.Is(err, sign.ErrSigner) {
			t.Errorf("%s, of a file: %v, want ErrSigner", name, err)
		}
	}
	for range registry.Evidence(context.Background(), store, subject, registry.Limits{}) {
		t.Error("something was attached")
	}
}

func TestAttack_S8_ASignerThatBlocksIsLeftWhenTheContextEnds(t *testing.T) {
	store, repo := newStore(t)
	subject := pushRandom(t, store, repo)
	release := make(chan struct{})
	defer close(release)
	blocked := badSigner{newSigner(t), func(context.Context, []byte) ([]byte, error) { <-release; return nil, nil }}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := sign.Image(ctx, store, subject, sign.ImageOptions{}, blocked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
}

func TestAFailingStoreIsReported(t *testing.T) {
	store, repo := newStore(t)
	subject := pushRandom(t, store, repo)
	down := &registry.Error{Op: "push manifest", Kind: registry.ErrUnavailable}
	_, err := sign.Image(context.Background(), &watched{Store: store, failPush: down}, subject, sign.ImageOptions{}, newSigner(t))
	if !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestBlobsLargerThanMemoryNeedAPrehashingSigner(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	size := int64(65 << 20)
	zeros := func() io.Reader { return io.LimitReader(zeroReader{}, size) }
	if _, err := sign.Blob(context.Background(), zeros(), newSigner(t)); err != nil {
		t.Errorf("ECDSA: %v", err)
	}
	ed, err := sign.Generate(context.Background(), sign.KeyOptions{Algorithm: sign.Ed25519, InsecureEmptyPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Blob(context.Background(), zeros(), ed.Signer); !errors.Is(err, sign.ErrOptions) {
		t.Errorf("pure Ed25519: %v, want ErrOptions", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := sign.Blob(ctx, zeros(), newSigner(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCancellationAtEveryReadAndWriteOfASignature(t *testing.T) {
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	signer := newSigner(t)
	var index name.Digest
	calls := registrytest.TestCancellation(t, func() registry.Store {
		store := registrytest.New(registrytest.Options{}).Store()
		if index, _, err = registrytest.PushIndex(t.Context(), store, repo.Tag("v1")); err != nil {
			t.Fatal(err)
		}
		return store
	}, func(ctx context.Context, store registry.Store) error {
		signed, err := sign.Image(ctx, store, index, sign.ImageOptions{Recursive: true, Formats: bothFormats}, signer)
		if (signed == nil) == (err == nil) {
			t.Errorf("%v, %v", signed, err)
		}
		return err
	})
	if calls < 20 {
		t.Errorf("only %d reads and writes", calls)
	}
}

func TestAnnotationsAreSignedAsGivenOrRefused(t *testing.T) {
	for _, f := range bothFormats {
		s, repo := newStore(t)
		subject, signer := pushRandom(t, s, repo), newSigner(t)
		o := sign.ImageOptions{Formats: []registry.Format{f}, Annotations: map[string]string{"Env": "a", "env": "b"}}
		for i := range 2 {
			signed, err := sign.Image(context.Background(), s, subject, o, signer)
			if err != nil || signed.Signatures[0].Existed != (i == 1) {
				t.Errorf("%s: %+v, %v", f, signed, err)
			}
		}
		for _, annotations := range []map[string]string{{"k": "\xff"}, {"\xff": "v"}} {
			o.Annotations = annotations
			if _, err := sign.Image(context.Background(), s, subject, o, signer); !errors.Is(err, sign.ErrOptions) {
				t.Errorf("%s, %q: %v, want ErrOptions", f, annotations, err)
			}
		}
	}
}
