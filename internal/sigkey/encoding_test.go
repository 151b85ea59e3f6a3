package sigkey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

type rs struct{ R, S *big.Int }

// p1363 writes a signature in DER as r and s.
func p1363(t testing.TB, der []byte, size int) []byte {
	t.Helper()
	var sig rs
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	return append(sig.R.FillBytes(make([]byte, size)), sig.S.FillBytes(make([]byte, size))...)
}

var curves = []struct {
	curve elliptic.Curve
	hash  crypto.Hash
	size  int
}{{elliptic.P256(), crypto.SHA256, 32}, {elliptic.P384(), crypto.SHA384, 48}, {elliptic.P521(), crypto.SHA512, 66}}

func TestSignaturesOfFixedLengthVerify(t *testing.T) {
	m := &sigkey.Message{Bytes: message}
	for _, c := range curves {
		key := must(ecdsa.GenerateKey(c.curve, rand.Reader))(t)
		k := keyOf(t, key)
		for _, hash := range []crypto.Hash{c.hash, crypto.SHA256} {
			der := must(key.Sign(rand.Reader, sum(hash, message), hash))(t)
			fixed := p1363(t, der, c.size)
			if h, err := k.SignedHash(m, fixed); err != nil || h != hash {
				t.Errorf("%s: %v, %v", k.Algorithm(), h, err)
			}
			if got := k.Canonical(fixed); !bytes.Equal(got, der) || !bytes.Equal(k.Canonical(der), der) {
				t.Errorf("%s: %x is written as %x, not as %x", k.Algorithm(), fixed, got, der)
			}
			if err := k.Verify(&sigkey.Message{Bytes: append(message, '!')}, fixed); !errors.Is(err, sigkey.ErrSignature) {
				t.Errorf("%s verifies another message: %v", k.Algorithm(), err)
			}
			if err := k.VerifyAs(m, fixed, hash); !errors.Is(err, sigkey.ErrSignature) {
				t.Errorf("%s: no signer of ours writes this: %v", k.Algorithm(), err)
			}
		}
	}
}

func TestAttack_E7_OnlyExactEncodingsOfECDSAVerify(t *testing.T) {
	m := &sigkey.Message{Bytes: message}
	for _, c := range curves {
		key := must(ecdsa.GenerateKey(c.curve, rand.Reader))(t)
		k := keyOf(t, key)
		der := must(key.Sign(rand.Reader, sum(c.hash, message), c.hash))(t)
		fixed := p1363(t, der, c.size)
		n := c.curve.Params().N
		plus := func(at int) []byte { // r or s, and the order of the curve
			sig := bytes.Clone(fixed)
			v := new(big.Int).Add(new(big.Int).SetBytes(sig[at:at+c.size]), n)
			if v.BitLen() > 8*c.size {
				return nil
			}
			v.FillBytes(sig[at : at+c.size])
			return sig
		}
		for name, sig := range map[string][]byte{
			"r is zero":              append(make([]byte, c.size), fixed[c.size:]...),
			"s is zero":              append(bytes.Clone(fixed[:c.size]), make([]byte, c.size)...),
			"both are zero":          make([]byte, 2*c.size),
			"r and the order":        plus(0),
			"s and the order":        plus(c.size),
			"s and r":                append(bytes.Clone(fixed[c.size:]), fixed[:c.size]...),
			"a byte more":            append(bytes.Clone(fixed), 0),
			"a recovery ID":          append(bytes.Clone(fixed), 27),
			"a byte before":          append([]byte{0}, fixed...),
			"a byte less":            fixed[:len(fixed)-1],
			"r alone":                fixed[:c.size],
			"wider numbers":          append(append(make([]byte, 2), fixed[:c.size]...), append(make([]byte, 2), fixed[c.size:]...)...),
			"DER and a byte":         append(bytes.Clone(der), 0),
			"DER, cut":               der[:len(der)-1],
			"DER of three numbers":   must(asn1.Marshal(struct{ R, S, T *big.Int }{big.NewInt(1), big.NewInt(2), big.NewInt(3)}))(t),
			"DER of negatives":       must(asn1.Marshal(rs{big.NewInt(-1), big.NewInt(-2)}))(t),
			"DER with a long length": append([]byte{0x30, 0x82, 0, der[1]}, der[2:]...),
		} {
			if _, err := k.SignedHash(m, sig); !errors.Is(err, sigkey.ErrSignature) {
				t.Errorf("%s, %s: %v, want ErrSignature", k.Algorithm(), name, err)
			}
			if strings.HasPrefix(name, "DER of negatives") || strings.HasPrefix(name, "s and") || strings.HasPrefix(name, "r and") {
				continue // the form fits
			}
			if k.Misfit(sig) == "" && len(sig) > 0 {
				t.Errorf("%s, %s: the form does not fit, and that is not said", k.Algorithm(), name)
			}
		}
	}
}

// A signature has one reading. What is DER of as many bytes as r and s have is DER.
func TestAttack_E7_DERIsNeverReadAsFixedLength(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	k, m := keyOf(t, key), &sigkey.Message{Bytes: message}
	// DER of 64 bytes: r and s of 29 bytes each.
	der := must(asn1.Marshal(rs{new(big.Int).Lsh(big.NewInt(1), 8*29-2), new(big.Int).Lsh(big.NewInt(1), 8*29-2)}))(t)
	if len(der) != 64 {
		t.Fatalf("%d bytes", len(der))
	}
	if got := k.Canonical(der); !bytes.Equal(got, der) {
		t.Errorf("%x is read as %x", der, got)
	}
	if err := k.Verify(m, der); !errors.Is(err, sigkey.ErrSignature) || k.Misfit(der) != "" {
		t.Errorf("%v, %q", err, k.Misfit(der))
	}
	// What only begins as DER does is r and s.
	fixed := append([]byte{0x30, 0x3e, 0x02, 0x1d}, bytes.Repeat([]byte{7}, 60)...)
	if got := k.Canonical(fixed); bytes.Equal(got, fixed) {
		t.Errorf("%x is not read as r and s", fixed)
	}
}

func TestWhyASignatureDoesNotFitAKey(t *testing.T) {
	p256 := keyOf(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))
	rsa2048 := keyOf(t, must(rsa.GenerateKey(rand.Reader, 2048))(t))
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	for _, c := range []struct {
		key  *sigkey.Key
		size int
		says string
	}{
		{p256, 64, ""}, {p256, 96, "96 bytes, and a signature of ECDSA P-256 is ASN.1 DER, or 64 bytes of r and s (IEEE P1363)"},
		{p256, 0, "empty, or not base64"}, {rsa2048, 256, ""}, {rsa2048, 64, "RSA-2048 is 256 bytes"},
		{keyOf(t, private), 64, ""}, {keyOf(t, private), 70, "Ed25519 is 64 bytes"},
	} {
		got := c.key.Misfit(bytes.Repeat([]byte{1}, c.size))
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s, %d bytes: %q, want %q", c.key.Algorithm(), c.size, got, c.says)
		}
	}
}
