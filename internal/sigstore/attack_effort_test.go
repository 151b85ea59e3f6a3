package sigstore_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

func TestAttack_T20_OneTimestampTwice(t *testing.T) {
	w := newWorld(t)
	b := w.signedV2()
	stamp := w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{})
	w.refuses(b.AddStamp(stamp).AddStamp(bytes.Clone(stamp)), sigstore.ErrMalformed)
	if _, err := w.judge(w.signedV2().Stamp(w.TSA)); err != nil {
		t.Errorf("two timestamps: %v", err)
	}
}

// What is charged grows with what is verified.
func TestAttack_T20_EffortGrowsWithTheEvidence(t *testing.T) {
	w := newWorld(t)
	effort := func(change func(b *sigstoretest.Bundle)) int {
		t.Helper()
		root, err := sigstore.ParseRoot(w.Root())
		if err != nil {
			t.Fatal(err)
		}
		b := w.signed()
		change(b)
		parsed, err := sigstore.ParseBundle(b.Text())
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := sigstore.ParseLeaf(parsed.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		return root.LeafEffort(leaf, evidenceOf(parsed))
	}
	alone := effort(func(*sigstoretest.Bundle) {})
	for name, c := range map[string]struct {
		change func(b *sigstoretest.Bundle)
		least  int
	}{
		"15 timestamps": {func(b *sigstoretest.Bundle) {
			for range 15 {
				b.Stamp(w.TSA)
			}
		}, 30},
		"15 entries": {func(b *sigstoretest.Bundle) {
			for range 15 {
				b.Log(w.Rekor1, "hashedrekord 0.0.1")
			}
		}, 45},
		"a long checkpoint": {func(b *sigstoretest.Bundle) {
			set(b.Entry(0)["inclusionProof"], "checkpoint", sigstoretest.Object{"envelope": strings.Repeat("x", 80<<10)})
		}, 10},
	} {
		if got := effort(c.change) - alone; got < c.least {
			t.Errorf("%s: %d checks more, want %d", name, got, c.least)
		}
	}
	stranger := sigstoretest.New(t, sigstoretest.Options{})
	if got := effort(func(b *sigstoretest.Bundle) { b.Log(stranger.Rekor1, "hashedrekord 0.0.1") }); got != alone {
		t.Errorf("an entry that is not looked at: %d checks, want %d", got, alone)
	}
}

// A root with keys on larger curves costs more.
func TestAttack_T20_EffortIsThatOfTheRootsKeys(t *testing.T) {
	w := newWorld(t)
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := sigstore.ParseBundle(w.signed().Text())
	if err != nil {
		t.Fatal(err)
	}
	efforts := make(map[string]int)
	for name, log := range map[string]*sigstoretest.Log{"P-256": w.Rekor1, "P-384": w.NewLog("https://large.example", large, false)} {
		root := w.RootJSON()
		set(root, "tlogs", []any{log.JSON()})
		trusted, err := sigstore.ParseRoot(w.Marshal(root))
		if err != nil {
			t.Fatal(err)
		}
		e := evidenceOf(parsed)
		e.Entries[0].LogID = log.ID
		efforts[name] = trusted.TimesEffort(e)
	}
	if efforts["P-384"] < efforts["P-256"]+20 {
		t.Errorf("%v", efforts)
	}
}

// Each certificate in a timestamp that names its signer would cost a chain.
func TestAttack_T20_TwoCertificatesOfOneSigner(t *testing.T) {
	w := newWorld(t)
	w.Instance = sigstoretest.New(t, sigstoretest.Options{WithoutStamper: true})
	w.signer, w.root = w.Issue(leafOf()), nil
	if _, err := w.judge(w.signedV2()); err != nil {
		t.Fatal(err)
	}
	own := w.TSA.Chain[0]
	twin, _ := w.Certify(&x509.Certificate{SerialNumber: own.SerialNumber, NotBefore: own.NotBefore, NotAfter: own.NotAfter.Add(time.Hour)}, w.TSA.Chain[1], w.TSA.Keys[1])
	for name, more := range map[string][]byte{"a twin": twin.Raw, "not a certificate": {0x30, 0x00}} {
		b := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2")
		b.AddStamp(w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{Embedded: [][]byte{more}}))
		if _, err := w.judge(b); !errors.Is(err, sigstore.ErrTime) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDigestsAloneAreEvidence(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		message *sigkey.Message
		ok      bool
	}{
		"its sha256":      {sigkey.Hashed((&sigkey.Message{Bytes: artifact}).Sum(crypto.SHA256), nil, nil), true},
		"another sha256":  {sigkey.Hashed(make([]byte, 32), nil, nil), false},
		"no sha256":       {sigkey.Hashed(nil, nil, (&sigkey.Message{Bytes: artifact}).Sum(crypto.SHA512)), false},
		"nothing at all":  {sigkey.Hashed(nil, nil, nil), false},
		"an empty sha256": {sigkey.Hashed([]byte{}, nil, nil), false},
	} {
		parsed, err := sigstore.ParseBundle(w.signed().Text())
		if err != nil {
			t.Fatal(err)
		}
		root, err := sigstore.ParseRoot(w.Root())
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := sigstore.ParseLeaf(parsed.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		e := evidenceOf(parsed)
		e.Message = c.message
		if _, err := root.VerifyLeaf(leaf, e, strictest, w.judgedAt); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
