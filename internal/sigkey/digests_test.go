package sigkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// Anyone can make a signature over an empty digest: a digest that is not known must not be
// taken for one.
func TestAttack_E10_DigestsThatAreNotKnownAreNotSigned(t *testing.T) {
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key := must(ecdsa.GenerateKey(curve, rand.Reader))(t)
		k := keyOf(t, key)
		for _, digest := range [][]byte{nil, {}, make([]byte, 32), sum(crypto.SHA384, nil), sum(crypto.SHA512, nil)} {
			forged, err := ecdsa.SignASN1(rand.Reader, key, digest)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*sigkey.Message{sigkey.Hashed(sum(crypto.SHA256, message), nil, nil), sigkey.Hashed(nil, nil, nil)} {
				if k.Verify(m, forged) == nil || k.VerifyAs(m, forged, crypto.SHA384) == nil || k.VerifyAs(m, forged, crypto.SHA512) == nil {
					t.Errorf("%s: a signature over a digest of %d bytes is accepted for one that is not known", name, len(digest))
				}
			}
		}
		signed, err := ecdsa.SignASN1(rand.Reader, key, sum(crypto.SHA256, message))
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Verify(sigkey.Hashed(sum(crypto.SHA256, message), nil, nil), signed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown := sigkey.Hashed(nil, nil, nil)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	if keyOf(t, rsaKey).Verify(unknown, make([]byte, 256)) == nil {
		t.Error("RSA")
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if keyOf(t, edKey).Verify(unknown, ed25519.Sign(edKey, nil)) == nil {
		t.Error("Ed25519: a signature over the empty message is accepted")
	}
	if unknown.Held() || unknown.Sum(crypto.SHA256) != nil || unknown.Sum(crypto.SHA384) != nil || unknown.Sum(crypto.SHA512) != nil {
		t.Error("a message that is not known has a digest")
	}
}
