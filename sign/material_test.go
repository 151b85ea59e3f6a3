package sign_test

import (
	"context"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// vouched is a signer by a certificate, whose material a test changes.
type vouched struct {
	sign.Signer
	by     *sigstoretest.Signer
	i      *sigstoretest.Instance
	change func(sig []byte, m *sign.Material) ([]byte, *sign.Material)
}

func newVouched(t *testing.T) *vouched {
	t.Helper()
	i := sigstoretest.New(t, sigstoretest.Options{})
	by := i.Issue(sigstoretest.Leaf{Email: "jane@acme.example", Issuer: "https://login.acme.example"})
	s, err := sign.New(by.Key, sign.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &vouched{Signer: s, by: by, i: i}
}

func (v *vouched) SignWithMaterial(_ context.Context, m sign.Message) ([]byte, *sign.Material, error) {
	b := v.by.SignMessage(m.Bytes).Log(v.i.Rekor1, "hashedrekord 0.0.1").Stamp(v.i.TSA)
	material := &sign.Material{
		Certificate: v.by.Certificate.Raw, Chain: [][]byte{v.i.CA.Chain[0].Raw},
		Entries:    [][]byte{v.i.Marshal(b.Entry(0))},
		Timestamps: [][]byte{v.i.TSA.Stamp(v.i, b.Signature, sigstoretest.Stamp{})},
	}
	if v.change != nil {
		sig, changed := v.change(b.Signature, material)
		return sig, changed, nil
	}
	return b.Signature, material, nil
}

func TestMaterialIsWrittenBesideTheSignature(t *testing.T) {
	store, repo := newStore(t)
	digest := pushRandom(t, store, repo)
	if _, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: bothFormats}, newVouched(t)); err != nil {
		t.Fatal(err)
	}
	read := 0
	for item, err := range registry.Evidence(t.Context(), store, digest, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := sigstore.ParseAnnotations(item.Layer.Annotations)
		if item.Format == registry.FormatBundle {
			var b *sigstore.Bundle
			if b, err = sigstore.ParseBundle(item.Payload); err == nil {
				m = &b.Material
			}
		}
		if err != nil || m.Certificate == nil || len(m.Entries) != 1 || len(m.Timestamps) != 1 {
			t.Errorf("%s: %+v, %v", item.Format, m, err)
		}
		if item.Format == registry.FormatSimpleSigning && !strings.Contains(item.Layer.Annotations["dev.sigstore.cosign/chain"], "BEGIN CERTIFICATE") {
			t.Errorf("no chain: %v", item.Layer.Annotations)
		}
		read++
	}
	if read != 2 {
		t.Errorf("%d pieces of evidence", read)
	}
}

// Evidence that is there may hold the signature, and not what a verifier needs beside it.
func TestACertifiedSignerSignsAgain(t *testing.T) {
	store, repo := newStore(t)
	digest, by := pushRandom(t, store, repo), newVouched(t)
	for range 2 {
		signed, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: bothFormats}, by)
		if err != nil || signed.Signatures[0].Existed || signed.Signatures[1].Existed {
			t.Errorf("%+v, %v", signed, err)
		}
	}
}

func TestAttack_T21_UnreadableMaterialIsNotAttached(t *testing.T) {
	other := newVouched(t)
	for name, change := range map[string]func(sig []byte, m *sign.Material) ([]byte, *sign.Material){
		"another key's certificate": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			m.Certificate = other.by.Certificate.Raw
			return sig, m
		},
		"not a certificate": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			m.Certificate = []byte("certificate")
			return sig, m
		},
		"not an entry": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			m.Entries = [][]byte{[]byte(`{"logIndex":1}`)}
			return sig, m
		},
		"not JSON": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			m.Entries = [][]byte{[]byte(`entry`)}
			return sig, m
		},
		"too many timestamps": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			m.Timestamps = make([][]byte, 17)
			return sig, m
		},
		"another encoding": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			var v struct{ R, S *big.Int }
			if _, err := asn1.Unmarshal(sig, &v); err != nil {
				panic(err)
			}
			return append(v.R.FillBytes(make([]byte, 32)), v.S.FillBytes(make([]byte, 32))...), m
		},
		"another signature": func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
			return append(sig[:len(sig)-1:len(sig)-1], sig[len(sig)-1]^1), m
		},
	} {
		store, repo := newStore(t)
		digest, by := pushRandom(t, store, repo), newVouched(t)
		by.change = change
		if signed, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: bothFormats}, by); !errors.Is(err, sign.ErrSigner) {
			t.Errorf("%s: %+v, %v", name, signed, err)
		}
		p, err := predicate.Parse("https://example.test/x", []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := attest.Image(t.Context(), store, digest, p, attest.Options{}, by); !errors.Is(err, sign.ErrSigner) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		for item, err := range registry.Evidence(t.Context(), store, digest, registry.Limits{}) {
			t.Errorf("%s: attached: %+v, %v", name, item, err)
		}
	}
}

// Rekor v2 makes no signed entry timestamps, which annotations hold.
func TestAnnotationsHoldTheEntryOfRekorV1(t *testing.T) {
	store, repo := newStore(t)
	digest, by := pushRandom(t, store, repo), newVouched(t)
	by.change = func(sig []byte, m *sign.Material) ([]byte, *sign.Material) {
		second := by.i.Rekor2.Add(by.i, "hashedrekord", "0.0.2", []byte("{}"), sigstoretest.Record{})
		m.Entries = append([][]byte{by.i.Marshal(second)}, m.Entries...)
		return sig, m
	}
	if _, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: bothFormats[1:]}, by); err != nil {
		t.Fatal(err)
	}
	for item, err := range registry.Evidence(t.Context(), store, digest, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		m, err := sigstore.ParseAnnotations(item.Layer.Annotations)
		if err != nil || len(m.Entries) != 1 || len(m.Entries[0].Promise) == 0 {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

func TestASignerMayGiveNoMaterial(t *testing.T) {
	by := newVouched(t)
	by.change = func(sig []byte, _ *sign.Material) ([]byte, *sign.Material) { return sig, nil }
	text, err := sign.Blob(t.Context(), strings.NewReader("a file"), by)
	if err != nil || !strings.Contains(string(text), `"publicKey":{"hint"`) {
		t.Errorf("%s, %v", text, err)
	}
}
