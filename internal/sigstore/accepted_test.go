package sigstore_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

func TestEvidenceOfEachFormatVerifies(t *testing.T) {
	each(t, map[string]func(*world){
		"hashedrekord 0.0.1": func(w *world) {
			if found := w.accepts(w.signed()); found != nil && (!found.SignedAt.Equal(w.Now.Add(time.Minute)) || found.LogIndex < 1000) {
				w.t.Errorf("%+v", found)
			}
		},
		"hashedrekord 0.0.2": func(w *world) {
			if found := w.accepts(w.signedV2()); found != nil && (!found.SignedAt.Equal(w.Now.Add(2*time.Minute)) || found.LogIndex >= 1000) {
				w.t.Errorf("%+v", found)
			}
		},
		"dsse 0.0.1":   func(w *world) { w.accepts(w.signer.SignStatement(statement).Log(w.Rekor1, "dsse 0.0.1")) },
		"dsse 0.0.2":   func(w *world) { w.accepts(w.signer.SignStatement(statement).Log(w.Rekor2, "dsse 0.0.2").Stamp(w.TSA)) },
		"intoto 0.0.1": func(w *world) { w.accepts(w.signer.SignStatement(statement).Log(w.Rekor1, "intoto 0.0.1")) },
		"intoto 0.0.2": func(w *world) { w.accepts(w.signer.SignStatement(statement).Log(w.Rekor1, "intoto 0.0.2")) },
		"hashedrekord 0.0.2 of an envelope": func(w *world) {
			w.accepts(w.signer.SignStatement(statement).Log(w.Rekor2, "hashedrekord 0.0.2").Stamp(w.TSA))
		},
		"version 0.1, without proof": func(w *world) {
			b := w.signed().Chain("0.1")
			delete(b.Entry(0), "inclusionProof")
			w.accepts(b)
		},
		"version 0.1, with the root": func(w *world) { w.accepts(w.signed().Chain("0.1", w.CA.Chain...)) },
		"version 0.2":                func(w *world) { w.accepts(w.signed().Chain("0.2", w.CA.Chain[0])) },
		"a null member": func(w *world) {
			b := w.signed()
			b.Material()["timestampVerificationData"] = nil
			w.accepts(b)
		},
		"both a log's time and a timestamp": func(w *world) {
			w.demands.Times = 2
			w.accepts(w.signed().Stamp(w.TSA))
		},
		"an entry of an unknown log beside": func(w *world) {
			other := w.NewLog("https://other.example", w.Rekor1.Key, false)
			other.ID = make([]byte, 32)
			w.accepts(w.signed().Log(other, "hashedrekord 0.0.1"))
		},
		"a timestamp of an unknown authority beside": func(w *world) {
			w.accepts(w.signed().Stamp(sigstoretest.New(w.t, sigstoretest.Options{}).TSA))
		},
	})
}

func TestCertificatesOfEachKindVerify(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*sigstoretest.Leaf)) func(*world) {
		return func(w *world) {
			l := leafOf()
			change(&l)
			w.signer = w.Issue(l)
			w.accepts(w.signed())
		}
	}
	each(t, map[string]func(*world){
		"P-384 with SHA-256":       with(func(l *sigstoretest.Leaf) { l.Key = p384 }),
		"Ed25519":                  with(func(l *sigstoretest.Leaf) { l.Key = ed }),
		"RSA":                      with(func(l *sigstoretest.Leaf) { l.Key = crypto.Signer(rsaKey) }),
		"email":                    with(func(l *sigstoretest.Leaf) { l.URI, l.Email = "", "jane@acme.example" }),
		"username":                 with(func(l *sigstoretest.Leaf) { l.URI, l.Username = "", "jane!acme.example" }),
		"by an upper intermediate": with(func(l *sigstoretest.Leaf) { l.By = 1 }),
	})
}

func TestTimestampsOfEachKindVerify(t *testing.T) {
	stamped := func(o sigstoretest.Options, s sigstoretest.Stamp) func(*world) {
		return func(w *world) {
			w.Instance = sigstoretest.New(w.t, o)
			w.signer = w.Issue(leafOf())
			b := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2")
			w.accepts(b.AddStamp(w.TSA.Stamp(w.Instance, b.Signature, s)))
		}
	}
	each(t, map[string]func(*world){
		"DER":                                stamped(sigstoretest.Options{}, sigstoretest.Stamp{}),
		"BER":                                stamped(sigstoretest.Options{}, sigstoretest.Stamp{BER: true}),
		"with the signer's certificate":      stamped(sigstoretest.Options{WithoutStamper: true}, sigstoretest.Stamp{}),
		"with the signer's certificate, BER": stamped(sigstoretest.Options{WithoutStamper: true}, sigstoretest.Stamp{BER: true}),
	})
}

func TestDigestAloneIsEnoughForMessages(t *testing.T) {
	w := newWorld(t)
	root, err := sigstore.ParseRoot(w.Root())
	if err != nil {
		t.Fatal(err)
	}
	b, err := sigstore.ParseBundle(w.signed().Text())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sigstore.ParseLeaf(b.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	digest := func(data []byte) *sigstore.Evidence {
		e, sum := evidenceOf(b), sha256.Sum256(data)
		e.Message = sigkey.Hashed(sum[:], nil, nil)
		return e
	}
	if _, err := root.VerifyLeaf(leaf, digest(artifact), strictest, w.judgedAt); err != nil {
		t.Error(err)
	}
	if _, err := root.VerifyLeaf(leaf, digest([]byte("another")), strictest, w.judgedAt); err == nil {
		t.Error("another digest was accepted")
	}
}

func TestKeysWithLogEntriesVerify(t *testing.T) {
	w := newWorld(t)
	root, err := sigstore.ParseRoot(w.Root())
	if err != nil {
		t.Fatal(err)
	}
	b, err := sigstore.ParseBundle(w.signed().Text())
	if err != nil {
		t.Fatal(err)
	}
	key, err := sigkey.New(w.signer.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.VerifyKey(key, evidenceOf(b), strictest, w.judgedAt); err == nil {
		t.Error("an entry that holds a certificate was accepted for a key")
	}
	if found, err := root.VerifyTimes(evidenceOf(b), w.signer.Certificate.Raw, sigstore.Demands{Times: 1}, w.judgedAt); err != nil || !found.SignedAt.Equal(w.Now.Add(time.Minute)) {
		t.Errorf("%+v, %v", found, err)
	}
}
