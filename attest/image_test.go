package attest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
)

// rawText is a predicate in exactly this text.
type rawText struct{ uri, json string }

func (p rawText) PredicateType() string { return p.uri }
func (p rawText) RawPredicate() []byte  { return []byte(p.json) }

const testType = "https://example.com/test/v1"

var bothFormats = []registry.Format{registry.FormatBundle, registry.FormatEnvelope}

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

func keyOf(t testing.TB, s sign.Signer) *sigkey.Key {
	t.Helper()
	key, err := sigkey.New(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pushed is a store with an image in it.
func pushed(t testing.TB) (registry.Store, name.Digest) {
	t.Helper()
	store := registrytest.New(registrytest.Options{}).Store()
	return store, pushTo(t, store, "registry.example/team/app:v1")
}

func pushTo(t testing.TB, store registry.Store, ref string) name.Digest {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registrytest.PushImage(context.Background(), store, tag, registrytest.ImageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// said lists the attestations on subject that the key has signed, as
// "format predicateType predicate".
func said(t testing.TB, s registry.Reader, subject name.Digest, by sign.Signer) []string {
	t.Helper()
	var all []string
	for item, err := range registry.Evidence(context.Background(), s, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		claim, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
		if err != nil {
			continue
		}
		if made, err := claim.VerifiedWithin(t.Context(), keyOf(t, by)); err != nil || !made {
			continue
		}
		content, err := claim.Content()
		if err != nil {
			t.Fatal(err)
		}
		st := content.Statement
		all = append(all, fmt.Sprintf("%s %s %s", item.Format, st.PredicateType, st.Predicate))
	}
	return all
}

func TestAttestationsAreWrittenInTheFormatsAskedFor(t *testing.T) {
	store, subject := pushed(t)
	a, b := newSigner(t), newSigner(t)
	const content = "{ \"a\" : [1,\n\t2] }"
	extra := attest.Subject{Name: "bin/app", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}
	got, err := attest.Image(context.Background(), store, subject, rawText{testType, content},
		attest.Options{Formats: bothFormats, Subjects: []attest.Subject{extra}}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != subject || got.PredicateType != testType || len(got.Attestations) != 4 {
		t.Errorf("%+v", got)
	}
	for _, by := range []sign.Signer{a, b} {
		want := []string{"dsse-envelope " + testType + " " + content, "bundle " + testType + " " + content}
		if all := said(t, store, subject, by); fmt.Sprint(all) != fmt.Sprint(want) {
			t.Errorf("stored: %q, want %q", all, want)
		}
	}
	n := 0
	for claim, err := range attest.Claims(context.Background(), store, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		st := claim.Statement
		version := intoto.StatementV1
		if claim.Item.Format == registry.FormatEnvelope {
			version = intoto.StatementV01
			if sig, there := claim.Item.Layer.Annotations["dev.cosignproject.cosign/signature"]; !there || sig != "" ||
				claim.Item.Layer.Annotations["predicateType"] != testType {
				t.Errorf("annotations %v", claim.Item.Layer.Annotations)
			}
		} else if claim.Item.ManifestAnnotations["dev.sigstore.bundle.predicateType"] != testType {
			t.Errorf("annotations %v", claim.Item.ManifestAnnotations)
		}
		if st.Type != version || !claim.Names || claim.Signatures != 1 || len(st.Subjects) != 2 ||
			st.Subjects[0].Name != subject.Context().Name() || st.Subjects[1].Name != "bin/app" {
			t.Errorf("claim %+v of %+v", claim.Item.Format, st)
		}
	}
	if n != 4 {
		t.Errorf("%d claims", n)
	}
}

func TestReplaceSupersedesOnlyWhatTheSameSignerSaidOfTheSameType(t *testing.T) {
	for name, o := range map[string]registrytest.Options{"referrers API": {}, "fallback tag": {NoReferrers: true}} {
		t.Run(name, func(t *testing.T) {
			host := registrytest.Start(t, registrytest.New(o))
			store, err := remote.New(remote.Options{})
			if err != nil {
				t.Fatal(err)
			}
			subject := pushTo(t, store, host+"/team/app:v1")
			replaces(t, store, subject)
		})
	}
	t.Run("layout", func(t *testing.T) {
		store, err := layout.Open(t.TempDir(), layout.Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		subject := pushTo(t, store, store.Tag("v1").String())
		replaces(t, store, subject)
	})
}

func replaces(t *testing.T, store registry.Store, subject name.Digest) {
	t.Helper()
	ctx := context.Background()
	a, b := newSigner(t), newSigner(t)
	say := func(by sign.Signer, uri, json string, o attest.Options) *attest.Attached {
		t.Helper()
		got, err := attest.Image(ctx, store, subject, rawText{uri, json}, o, by)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	say(a, testType, `{"n":1}`, attest.Options{Formats: bothFormats})
	say(a, testType+"0", `{"n":1}`, attest.Options{})
	say(b, testType, `{"n":1}`, attest.Options{Formats: bothFormats})
	got := say(a, testType, `{"n":2}`, attest.Options{Replace: true})
	if len(got.Superseded) != 2 || !got.Superseded[0].Removed || !got.Superseded[1].Removed || got.Superseded[0].KeyID != keyOf(t, a).ID() {
		t.Errorf("superseded: %+v", got.Superseded)
	}
	left := said(t, store, subject, a)
	for _, want := range []string{"bundle " + testType + ` {"n":2}`, "bundle " + testType + `0 {"n":1}`} {
		if !strings.Contains(strings.Join(left, "\n"), want) {
			t.Errorf("%q is missing in %q", want, left)
		}
	}
	if len(left) != 2 {
		t.Errorf("left of the signer: %q", left)
	}
	if others := said(t, store, subject, b); len(others) != 2 {
		t.Errorf("left of the other signer: %q", others)
	}
	// Nothing to supersede is no error.
	if got := say(newSigner(t), testType, `{"n":3}`, attest.Options{Replace: true}); got.Superseded != nil {
		t.Errorf("superseded: %+v", got.Superseded)
	}
}

func TestReplaceRemovesNothingThatAnotherSignedToo(t *testing.T) {
	store, subject := pushed(t)
	a, b := newSigner(t), newSigner(t)
	st, err := attest.NewStatement(rawText{testType, `{"n":1}`}, attest.Subject{Digest: map[string]string{"sha256": subject.DigestStr()[7:]}})
	if err != nil {
		t.Fatal(err)
	}
	both, err := attest.Envelope(context.Background(), st, a, b)
	if err != nil {
		t.Fatal(err)
	}
	item := registry.Item{Format: registry.FormatEnvelope, Payload: both}
	item.Layer.MediaType = "application/vnd.dsse.envelope.v1+json"
	if _, err := registry.Attach(context.Background(), store, subject, item); err != nil {
		t.Fatal(err)
	}
	got, err := attest.Image(context.Background(), store, subject, rawText{testType, `{"n":2}`}, attest.Options{Replace: true}, a)
	if err != nil || len(got.Superseded) != 1 || got.Superseded[0].Removed || got.Superseded[0].Reason == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if all := said(t, store, subject, b); len(all) != 1 {
		t.Errorf("left of the other signer: %q", all)
	}
}

// By an Ed25519 key, an unchanged statement is signed with the same bytes.
func TestReplaceKeepsWhatIsTheNewAttestationItself(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	by, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host := registrytest.Start(t, registrytest.New(registrytest.Options{}))
	store, err := remote.New(remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		formats []registry.Format
		hours   int // between rounds
	}{
		"bundle-at-once": {bothFormats[:1], 0}, "bundle": {bothFormats[:1], 1},
		"envelope-at-once": {bothFormats[1:], 0}, "envelope": {bothFormats[1:], 1},
		"both": {bothFormats, 1},
	} {
		subject := pushTo(t, store, host+"/team/"+name+":v1")
		for round := range 4 {
			now := at.Add(time.Duration(round*c.hours) * time.Hour)
			_, err := attest.Image(context.Background(), store, subject, rawText{testType, `{}`},
				attest.Options{Replace: true, Formats: c.formats, Now: func() time.Time { return now }}, by)
			if err != nil {
				t.Fatal(err)
			}
			if left := said(t, store, subject, by); len(left) != len(c.formats) {
				t.Errorf("%s, round %d: %d attestations are there, want %d", name, round+1, len(left), len(c.formats))
			}
		}
		if _, err := attest.Image(context.Background(), store, subject, rawText{testType, `{"n":2}`}, attest.Options{Replace: true, Formats: c.formats}, by); err != nil {
			t.Fatal(err)
		}
		if left := said(t, store, subject, by); len(left) != len(c.formats) || !strings.HasSuffix(left[0], `{"n":2}`) {
			t.Errorf("%s, another statement: %v", name, left)
		}
	}
}

func TestReplaceTellsWhatItCouldNotRemove(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(t, r)
	r.Inject(registrytest.Fault{Method: "DELETE", Do: registrytest.Status(405)})
	store, err := remote.New(remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	subject, by := pushTo(t, store, host+"/team/app:v1"), newSigner(t)
	for range 2 {
		got, err := attest.Image(context.Background(), store, subject, rawText{testType, `{}`}, attest.Options{Replace: true}, by)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.Superseded {
			if s.Removed || !strings.Contains(s.Reason, "405") {
				t.Errorf("%+v", s)
			}
		}
	}
	if all := said(t, store, subject, by); len(all) != 2 {
		t.Errorf("%q", all)
	}
}

func TestAttack_E12_ReplaceNeedsToSeeAllEvidence(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(t, r)
	store, err := remote.New(remote.Options{MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	subject, by := pushTo(t, store, host+"/team/app:v1"), newSigner(t)
	r.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(503)})
	if got, err := attest.Image(context.Background(), store, subject, rawText{testType, `{}`}, attest.Options{Replace: true}, by); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%+v, %v; want ErrUnavailable", got, err)
	}
}

func TestAttack_S2_WhatTheStoreDoesNotKeepIsNoSuccess(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"manifest swallowed":    {Method: "PUT", Kind: registrytest.KindManifest, Do: registrytest.Swallow()},
		"other manifest stored": {Method: "PUT", Kind: registrytest.KindManifest, Do: registrytest.StoreOther([]byte("{}"))},
		"blob swallowed":        {Method: "PUT", Kind: registrytest.KindUpload, Do: registrytest.Swallow()},
		"other blob stored":     {Method: "PUT", Kind: registrytest.KindUpload, Do: registrytest.StoreOther([]byte("x"))},
		"not listed":            {Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers()},
	} {
		t.Run(name, func(t *testing.T) {
			r := registrytest.New(registrytest.Options{})
			host := registrytest.Start(t, r)
			store, err := remote.New(remote.Options{MaxAttempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			subject := pushTo(t, store, host+"/team/app:v1")
			r.Inject(fault)
			got, err := attest.Image(context.Background(), store, subject, rawText{testType, `{}`}, attest.Options{}, newSigner(t))
			if got != nil || !errors.Is(err, registry.ErrNotConfirmed) {
				t.Errorf("%+v, %v; want ErrNotConfirmed", got, err)
			}
		})
	}
}

type badSigner struct {
	sign.Signer
	do func(ctx context.Context, message []byte) ([]byte, error)
}

func (b badSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return b.do(ctx, message)
}

func TestAttack_S8_SignaturesAreVerifiedBeforeTheyAreAttached(t *testing.T) {
	store, subject := pushed(t)
	good := newSigner(t)
	for name, do := range map[string]func(ctx context.Context, message []byte) ([]byte, error){
		"another message": func(ctx context.Context, _ []byte) ([]byte, error) { return good.Sign(ctx, []byte("another")) },
		"another key":     newSigner(t).Sign,
		"nothing":         func(context.Context, []byte) ([]byte, error) { return nil, nil },
		"error":           func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no token") },
	} {
		bad := badSigner{good, do}
		if _, err := attest.Image(context.Background(), store, subject, rawText{testType, "{}"}, attest.Options{}, bad); !errors.Is(err, sign.ErrSigner) {
			t.Errorf("%s: %v, want ErrSigner", name, err)
		}
		st, err := attest.NewStatement(rawText{testType, "{}"}, attest.Subject{Digest: map[string]string{"sha256": strings.Repeat("0", 64)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := attest.Envelope(context.Background(), st, good, badSigner{newSigner(t), do}); !errors.Is(err, sign.ErrSigner) {
			t.Errorf("%s, in an envelope: %v, want ErrSigner", name, err)
		}
	}
	for range registry.Evidence(context.Background(), store, subject, registry.Limits{}) {
		t.Error("something was attached")
	}
	release := make(chan struct{})
	defer close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	blocked := badSigner{good, func(context.Context, []byte) ([]byte, error) { <-release; return nil, nil }}
	if _, err := attest.Image(ctx, store, subject, rawText{testType, "{}"}, attest.Options{}, blocked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a signer that blocks: %v, want DeadlineExceeded", err)
	}
}

func TestWrongUseIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	store, subject := pushed(t)
	by := newSigner(t)
	absent := subject.Context().Digest("sha256:" + strings.Repeat("0", 64))
	noDigest := []attest.Subject{{Name: "x"}}
	for name, c := range map[string]struct {
		subject name.Digest
		p       attest.Predicate
		o       attest.Options
		signers []sign.Signer
		want    error
	}{
		"no signer":             {subject, rawText{testType, "{}"}, attest.Options{}, nil, attest.ErrOptions},
		"nil signer":            {subject, rawText{testType, "{}"}, attest.Options{}, []sign.Signer{nil}, attest.ErrOptions},
		"unknown format":        {subject, rawText{testType, "{}"}, attest.Options{Formats: []registry.Format{registry.FormatSimpleSigning}}, []sign.Signer{by}, attest.ErrOptions},
		"format twice":          {subject, rawText{testType, "{}"}, attest.Options{Formats: []registry.Format{registry.FormatBundle, registry.FormatBundle}}, []sign.Signer{by}, attest.ErrOptions},
		"a signature":           {subject, rawText{intoto.PredicateSignature, "{}"}, attest.Options{}, []sign.Signer{by}, attest.ErrOptions},
		"no predicate":          {subject, nil, attest.Options{}, []sign.Signer{by}, predicate.ErrInvalid},
		"relative type":         {subject, rawText{"test", "{}"}, attest.Options{}, []sign.Signer{by}, predicate.ErrInvalid},
		"no type":               {subject, rawText{"", "{}"}, attest.Options{}, []sign.Signer{by}, predicate.ErrInvalid},
		"predicate no object":   {subject, rawText{testType, "[]"}, attest.Options{}, []sign.Signer{by}, predicate.ErrInvalid},
		"predicate no JSON":     {subject, rawText{testType, "{"}, attest.Options{}, []sign.Signer{by}, predicate.ErrInvalid},
		"duplicate key":         {subject, rawText{testType, `{"a":1,"a":2}`}, attest.Options{}, []sign.Signer{by}, predicate.ErrInvalid},
		"subject without":       {subject, rawText{testType, "{}"}, attest.Options{Subjects: noDigest}, []sign.Signer{by}, attest.ErrSubject},
		"subject in upper case": {subject, rawText{testType, "{}"}, attest.Options{Subjects: []attest.Subject{{Digest: map[string]string{"sha256": strings.Repeat("AB", 32)}}}}, []sign.Signer{by}, attest.ErrSubject},
		"too large":             {subject, rawText{testType, `{"a":"` + strings.Repeat("x", 1000) + `"}`}, attest.Options{MaxBytes: 1000}, []sign.Signer{by}, attest.ErrTooLarge},
		"absent image":          {absent, rawText{testType, "{}"}, attest.Options{}, []sign.Signer{by}, registry.ErrNotFound},
		"absent image, tag":     {absent, rawText{testType, "{}"}, attest.Options{Formats: []registry.Format{registry.FormatEnvelope}}, []sign.Signer{by}, registry.ErrNotFound},
	} {
		if got, err := attest.Image(context.Background(), store, c.subject, c.p, c.o, c.signers...); got != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v; want %v", name, got, err, c.want)
		}
		for range registry.Evidence(context.Background(), store, c.subject, registry.Limits{}) {
			t.Errorf("%s: something was attached", name)
		}
	}
}

// big is a document of many values, as bills of materials are.
func big(size int) string {
	const component = `{"type":"library","name":"component","version":"1.2.3","purl":"pkg:golang/example.com/component@1.2.3"},` + "\n"
	return `{"components":[` + strings.Repeat(component, size/len(component)) + `{}]}`
}

func TestAHundredMegabytesAreHeldTwiceAndNotThrice(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	store, err := layout.Open(t.TempDir(), layout.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	subject := pushTo(t, store, store.Tag("v1").String())
	// In memory once as the caller holds it: what the method returns must not
	// be a copy.
	p := &held{json: []byte(big(100 << 20))}
	by := newSigner(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := attest.Image(context.Background(), store, subject, p, attest.Options{}, by)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(len(p.json))*5/4 {
		t.Errorf("attesting %d MiB allocates %d MiB besides", len(p.json)>>20, allocated>>20)
	}
	if got.Attestations[0].Size < 4*int64(len(p.json))/3 {
		t.Errorf("stored %d bytes", got.Attestations[0].Size)
	}
	found := false
	for claim, err := range attest.Claims(context.Background(), store, subject, registry.Limits{MaxPayloadBytes: 200 << 20, MaxTotalBytes: 200 << 20}) {
		if err != nil {
			t.Fatal(err)
		}
		found = bytes.Equal(claim.Statement.Predicate, p.json)
	}
	if !found {
		t.Error("what is attached is not what was given, byte for byte")
	}
	for _, err := range attest.Claims(context.Background(), store, subject, registry.Limits{}) {
		if !errors.Is(err, registry.ErrTooLarge) {
			t.Errorf("past the limit: %v, want ErrTooLarge", err)
		}
	}
}

type held struct{ json []byte }

func (*held) PredicateType() string  { return testType }
func (p *held) RawPredicate() []byte { return p.json }

func TestClaimsPassOverGarbageAndSignatures(t *testing.T) {
	store, subject := pushed(t)
	by := newSigner(t)
	if _, err := sign.Image(context.Background(), store, subject, sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}}, by); err != nil {
		t.Fatal(err)
	}
	garbage := registry.Item{Format: registry.FormatEnvelope, Payload: []byte("{")}
	garbage.Layer.MediaType = "application/vnd.dsse.envelope.v1+json"
	if _, err := registry.Attach(context.Background(), store, subject, garbage); err != nil {
		t.Fatal(err)
	}
	other, err := attest.NewStatement(rawText{testType, `{}`}, attest.Subject{Digest: map[string]string{"sha256": strings.Repeat("0", 64)}})
	if err != nil {
		t.Fatal(err)
	}
	moved, err := attest.Bundle(context.Background(), other, by)
	if err != nil {
		t.Fatal(err)
	}
	item := registry.Item{Format: registry.FormatBundle, Payload: moved}
	item.Layer.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	if _, err := registry.Attach(context.Background(), store, subject, item); err != nil {
		t.Fatal(err)
	}
	var claims, malformed int
	for claim, err := range attest.Claims(context.Background(), store, subject, registry.Limits{}) {
		switch {
		case errors.Is(err, attest.ErrStatement):
			malformed++
		case err != nil:
			t.Error(err)
		default:
			claims++
			if claim.Names {
				t.Error("a statement about another image is said to name this one")
			}
		}
	}
	if claims != 1 || malformed != 1 {
		t.Errorf("%d claims, %d malformed", claims, malformed)
	}
}

func TestAnEnvelopeCarriesEverySignersSignature(t *testing.T) {
	a, b := newSigner(t), newSigner(t)
	st, err := attest.NewStatement(rawText{testType, `{"<":1}`}, attest.Subject{Name: "f", Digest: map[string]string{"sha512": strings.Repeat("0", 128)}})
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := attest.Envelope(context.Background(), st, a, b, a)
	if err != nil {
		t.Fatal(err)
	}
	claim, err := evidence.Open(dsse.EnvelopeMediaType, nil, envelope)
	if err != nil || len(claim.Signatures) != 2 {
		t.Fatalf("%+v, %v", claim, err)
	}
	for _, by := range []sign.Signer{a, b} {
		if made, err := claim.VerifiedWithin(t.Context(), keyOf(t, by)); !made || err != nil {
			t.Errorf("not by %s: %v", keyOf(t, by).ID(), err)
		}
	}
	if _, err := attest.Bundle(context.Background(), st, nil); !errors.Is(err, attest.ErrOptions) {
		t.Errorf("no signer: %v", err)
	}
}

func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"n","digest":{"sha256":"00"},"annotations":{"a":"b"}}],"predicateType":"https://example.com/p","predicate":{"k": 1}}`))
	f.Fuzz(func(t *testing.T, input []byte) {
		st, err := attest.ParseStatement(input)
		if err != nil {
			if !errors.Is(err, attest.ErrStatement) {
				t.Fatal(err)
			}
			return
		}
		out, err := st.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := attest.ParseStatement(out)
		if err != nil || fmt.Sprint(again.Subjects) != fmt.Sprint(st.Subjects) || !bytes.Equal(again.Predicate, st.Predicate) {
			t.Fatalf("written and read again: %+v, %v", again, err)
		}
	})
}

func TestCancellationAtEveryReadAndWriteOfAnAttestation(t *testing.T) {
	signer := newSigner(t)
	var subject name.Digest
	calls := registrytest.TestCancellation(t, func() registry.Store {
		var store registry.Store
		store, subject = pushed(t)
		return store
	}, func(ctx context.Context, store registry.Store) error {
		attested, err := attest.Image(ctx, store, subject, rawText{testType, "{}"}, attest.Options{Formats: bothFormats, Replace: true}, signer)
		if (attested == nil) == (err == nil) {
			t.Errorf("%v, %v", attested, err)
		}
		return err
	})
	if calls < 10 {
		t.Errorf("only %d reads and writes", calls)
	}
}

func TestAnEnvelopeIsWrittenWhereBundlesCannotBe(t *testing.T) {
	h := registrytest.New(registrytest.Options{NoReferrers: true})
	subject := pushTo(t, h.Store(), "registry.example/team/app:v1")
	mediaType, image, _ := h.Manifest("team/app", "v1")
	h.Put("team/app", strings.Replace(subject.DigestStr(), ":", "-", 1), mediaType, image)
	made, err := attest.Image(t.Context(), h.Store(), subject, rawText{testType, "{}"}, attest.Options{}, newSigner(t))
	if err != nil || len(made.Attestations) != 1 || made.Attestations[0].Format != registry.FormatEnvelope {
		t.Errorf("%+v, %v", made, err)
	}
}
