package sigkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
)

// What Effort tells is measured so: the signature is well formed and of no key.
func BenchmarkVerify(b *testing.B) {
	ec := func(c elliptic.Curve) crypto.Signer { k, _ := ecdsa.GenerateKey(c, rand.Reader); return k }
	rs := func(n int) crypto.Signer { k, _ := rsa.GenerateKey(rand.Reader, n); return k }
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, private := range []crypto.Signer{ec(elliptic.P256()), ec(elliptic.P384()), ec(elliptic.P521()), ed, rs(2048), rs(3072), rs(4096)} {
		key, err := New(private.Public())
		if err != nil {
			b.Fatal(err)
		}
		other, opts := []byte("another"), crypto.SignerOpts(NaturalHash(key.Public()))
		if _, pure := private.(ed25519.PrivateKey); pure {
			opts = crypto.Hash(0)
		} else {
			other = (&Message{Bytes: other}).Sum(opts.HashFunc())
		}
		sig, err := private.Sign(rand.Reader, other, opts)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(key.Algorithm(), func(b *testing.B) {
			for b.Loop() {
				_ = key.Verify(&Message{Bytes: []byte("message")}, sig)
			}
		})
	}
}
