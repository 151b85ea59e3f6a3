package sign_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/sign"
)

// messageOf is the messageSignature of a bundle.
func messageOf(t *testing.T, bundle []byte) (algorithm string, digest, sig []byte) {
	t.Helper()
	var b struct {
		MessageSignature struct {
			MessageDigest struct {
				Algorithm string
				Digest    []byte
			}
			Signature []byte
		}
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	m := b.MessageSignature
	return m.MessageDigest.Algorithm, m.MessageDigest.Digest, m.Signature
}

func hashed(h crypto.Hash, text string) []byte {
	s := h.New()
	s.Write([]byte(text))
	return s.Sum(nil)
}

func TestBundlesOfFilesNameTheDigestThatIsSigned(t *testing.T) {
	const file = "a release"
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, c := range []struct {
		key  crypto.Signer
		o    sign.SignerOptions
		name string
		hash crypto.Hash
	}{
		{p256, sign.SignerOptions{}, "SHA2_256", crypto.SHA256},
		{p384, sign.SignerOptions{}, "SHA2_384", crypto.SHA384},
		{p384, sign.SignerOptions{Hash: crypto.SHA256}, "SHA2_256", crypto.SHA256},
		{p521, sign.SignerOptions{}, "SHA2_512", crypto.SHA512},
		{p521, sign.SignerOptions{Hash: crypto.SHA256}, "SHA2_256", crypto.SHA256},
		{rs, sign.SignerOptions{}, "SHA2_256", crypto.SHA256},
		{rs, sign.SignerOptions{PSS: true}, "SHA2_256", crypto.SHA256},
		{ed, sign.SignerOptions{Prehash: true}, "SHA2_512", crypto.SHA512},
		{ed, sign.SignerOptions{}, "SHA2_256", crypto.SHA256}, // signed itself, and not by a digest
	} {
		s, err := sign.New(c.key, c.o)
		if err != nil {
			t.Fatal(err)
		}
		for label, by := range map[string]sign.Signer{"ours": s, "another's": plainSigner{s}} {
			bundle, err := sign.Blob(t.Context(), strings.NewReader(file), by)
			if err != nil {
				t.Fatal(err)
			}
			algorithm, digest, _ := messageOf(t, bundle)
			if algorithm != c.name || !slices.Equal(digest, hashed(c.hash, file)) {
				t.Errorf("%T %+v, %s: %s %x, want %s", c.key, c.o, label, algorithm, digest, c.name)
			}
		}
	}
}

// plainSigner hides how a signer signs.
type plainSigner struct{ by sign.Signer }

func (p plainSigner) Public() crypto.PublicKey { return p.by.Public() }
func (p plainSigner) Sign(ctx context.Context, m []byte) ([]byte, error) {
	return p.by.Sign(ctx, m)
}

// fixedSigner returns r and s, as WebCrypto and some key services do.
type fixedSigner struct{ sign.Signer }

func (f fixedSigner) Sign(ctx context.Context, m []byte) ([]byte, error) {
	der, err := f.Signer.Sign(ctx, m)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	return append(sig.R.FillBytes(make([]byte, 32)), sig.S.FillBytes(make([]byte, 32))...), nil
}

// Signatures of fixed length are read, and never written.
func TestSignaturesAreWrittenInDER(t *testing.T) {
	by := newSigner(t)
	bundle, err := sign.Blob(t.Context(), strings.NewReader("a release"), fixedSigner{by})
	if err != nil {
		t.Fatal(err)
	}
	_, _, sig := messageOf(t, bundle)
	key, err := sigkey.New(by.Public())
	if err != nil {
		t.Fatal(err)
	}
	if key.VerifyAs(&sigkey.Message{Bytes: []byte("a release")}, sig, crypto.SHA256) != nil {
		t.Errorf("%x is not in DER", sig)
	}
	store, repo := newStore(t)
	subject := pushRandom(t, store, repo)
	for round := range 2 {
		signed, err := sign.Image(t.Context(), store, subject, sign.ImageOptions{Formats: bothFormats}, fixedSigner{by})
		if err != nil || signed.Signatures[0].Existed != (round > 0) {
			t.Fatalf("round %d: %+v, %v", round, signed, err)
		}
	}
	signed, err := sign.Image(t.Context(), store, subject, sign.ImageOptions{Formats: bothFormats}, by)
	if err != nil || !signed.Signatures[0].Existed || !signed.Signatures[1].Existed {
		t.Errorf("of the same key in DER: %+v, %v", signed, err)
	}
}
