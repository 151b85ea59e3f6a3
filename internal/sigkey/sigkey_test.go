package sigkey_test

import (
	"bytes"
	"crypto"
	//lint:ignore SA1019 only to see DSA keys refused
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

var message = []byte("what is signed")

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func sum(h crypto.Hash, m []byte) []byte {
	w := h.New()
	w.Write(m)
	return w.Sum(nil)
}

func keyOf(t testing.TB, s crypto.Signer) *sigkey.Key {
	t.Helper()
	return must(sigkey.New(s.Public()))(t)
}

func TestKeyVerifiesTheAlgorithmsOfItsType(t *testing.T) {
	race.Skip(t, "one goroutine checks signatures")
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))(t)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsa2048 := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	for _, c := range []struct {
		name string
		key  crypto.Signer
		opts crypto.SignerOpts
	}{
		{"P-256 SHA-256", p256, crypto.SHA256},
		{"P-384 SHA-384", p384, crypto.SHA384},
		{"P-384 SHA-256", p384, crypto.SHA256},
		{"P-521 SHA-512", p521, crypto.SHA512},
		{"P-521 SHA-256", p521, crypto.SHA256},
		{"Ed25519", ed, crypto.Hash(0)},
		{"Ed25519ph", ed, &ed25519.Options{Hash: crypto.SHA512}},
		{"RSA PKCS#1 v1.5", rsa2048, crypto.SHA256},
		{"RSA PSS", rsa2048, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}},
	} {
		signed := message
		if h := c.opts.HashFunc(); h != 0 {
			signed = sum(h, message)
		}
		sig := must(c.key.Sign(rand.Reader, signed, c.opts))(t)
		k := keyOf(t, c.key)
		if err := k.Verify(&sigkey.Message{Bytes: message}, sig); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := k.VerifyAs(&sigkey.Message{Bytes: message}, sig, c.opts); err != nil {
			t.Errorf("%s: as such: %v", c.name, err)
		}
		for _, other := range []crypto.SignerOpts{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			if _, isECDSA := c.key.(*ecdsa.PrivateKey); isECDSA && (k.VerifyAs(&sigkey.Message{Bytes: message}, sig, other) == nil) != (other == c.opts) {
				t.Errorf("%s: as %s", c.name, other)
			}
		}
		if err := k.Verify(&sigkey.Message{Bytes: append([]byte("x"), message...)}, sig); !errors.Is(err, sigkey.ErrSignature) {
			t.Errorf("%s: verifies another message: %v", c.name, err)
		}
		for i := range sig {
			bad := bytes.Clone(sig)
			bad[i] ^= 1
			if k.Verify(&sigkey.Message{Bytes: message}, bad) == nil {
				t.Errorf("%s: verifies with byte %d changed", c.name, i)
			}
		}
		streamed, n, err := sigkey.HashAll(bytes.NewReader(message), 3)
		if err != nil || n != int64(len(message)) {
			t.Fatal(n, err)
		}
		if err := k.Verify(streamed, sig); (err == nil) != (c.opts.HashFunc() != 0) {
			t.Errorf("%s: over hashes alone: %v", c.name, err)
		}
	}
}

func TestAttack_E10_TheKeyDecidesTheAlgorithm(t *testing.T) {
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	other := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	rsa2048 := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	k := keyOf(t, p256)
	sha1sum := sha1.Sum(message)
	for name, sig := range map[string][]byte{
		"SHA-1":               must(p256.Sign(rand.Reader, sha1sum[:], crypto.SHA1))(t),
		"SHA-512":             must(p256.Sign(rand.Reader, sum(crypto.SHA512, message), crypto.SHA512))(t),
		"another curve's key": must(other.Sign(rand.Reader, sum(crypto.SHA256, message), crypto.SHA256))(t),
		"RSA":                 must(rsa2048.Sign(rand.Reader, sum(crypto.SHA256, message), crypto.SHA256))(t),
		"Ed25519":             must(ed.Sign(rand.Reader, message, crypto.Hash(0)))(t),
		"empty":               {},
		"zero r and s":        {0x30, 6, 2, 1, 0, 2, 1, 0},
	} {
		if err := k.Verify(&sigkey.Message{Bytes: message}, sig); !errors.Is(err, sigkey.ErrSignature) {
			t.Errorf("P-256 key, %s: %v, want ErrSignature", name, err)
		}
	}
	kr := keyOf(t, rsa2048)
	for name, sig := range map[string][]byte{
		"PKCS#1 v1.5 SHA-1":   must(rsa2048.Sign(rand.Reader, sha1sum[:], crypto.SHA1))(t),
		"PKCS#1 v1.5 SHA-512": must(rsa2048.Sign(rand.Reader, sum(crypto.SHA512, message), crypto.SHA512))(t),
		"PSS SHA-512":         must(rsa2048.Sign(rand.Reader, sum(crypto.SHA512, message), &rsa.PSSOptions{Hash: crypto.SHA512}))(t),
		"ECDSA":               must(p256.Sign(rand.Reader, sum(crypto.SHA256, message), crypto.SHA256))(t),
	} {
		if err := kr.Verify(&sigkey.Message{Bytes: message}, sig); !errors.Is(err, sigkey.ErrSignature) {
			t.Errorf("RSA key, %s: %v, want ErrSignature", name, err)
		}
	}
}

func TestAttack_E10_WeakKeysAreRefused(t *testing.T) {
	rsa2048 := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	//lint:ignore SA1019 the only way to make a key that is wrong
	offCurve := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	for name, public := range map[string]crypto.PublicKey{
		"RSA-1024":            &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537},
		"RSA-16384":           &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16383), E: 65537},
		"RSA e=1":             &rsa.PublicKey{N: rsa2048.N, E: 1},
		"RSA e=3":             &rsa.PublicKey{N: rsa2048.N, E: 3},
		"RSA even e":          &rsa.PublicKey{N: rsa2048.N, E: 65538},
		"P-224":               must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))(t).Public(),
		"off the curve":       offCurve,
		"short Ed25519":       ed25519.PublicKey("short"),
		"DSA":                 &dsa.PublicKey{},
		"a private key":       rsa2048,
		"nothing":             nil,
		"RSA without modulus": &rsa.PublicKey{N: new(big.Int), E: 65537},
	} {
		if k, err := sigkey.New(public); !errors.Is(err, sigkey.ErrKey) {
			t.Errorf("%s: %v, %v; want ErrKey", name, k, err)
		}
	}
}

func TestKeyIDIsDerivedFromTheKeyAlone(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	k := keyOf(t, key)
	spki := sha256.Sum256(must(x509.MarshalPKIXPublicKey(key.Public()))(t))
	if k.ID() != hex.EncodeToString(spki[:]) || k.Hint() != base64.StdEncoding.EncodeToString(spki[:]) {
		t.Errorf("ID %s, hint %s: not those of %x", k.ID(), k.Hint(), spki)
	}
	if block, _ := pem.Decode(k.PEM()); block == nil || block.Type != "PUBLIC KEY" || sha256.Sum256(block.Bytes) != spki || k.Algorithm() != "ECDSA P-256" {
		t.Errorf("PEM %s, algorithm %s", k.PEM(), k.Algorithm())
	}
}

// With a public key of small order, R = 1 and S = 0 is a signature over one message
// in eight at least.
func TestAttack_E10_AnEd25519KeyThatAnybodySignsForIsRefused(t *testing.T) {
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		point, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		signature := make([]byte, ed25519.SignatureSize)
		signature[0] = 1
		forged := false
		for i := range 200 {
			forged = forged || ed25519.Verify(point, fmt.Append(nil, i), signature)
		}
		if !forged {
			t.Errorf("%s is no point of small order", text)
		}
		if _, err := sigkey.New(ed25519.PublicKey(point)); !errors.Is(err, sigkey.ErrKey) {
			t.Errorf("%s: %v, want ErrKey", text, err)
		}
	}
}

// What is hashed once counts once; pure Ed25519 hashes the message for each signature.
func TestAttack_E22_TheTollOfAKeyCountsTheBytesThatItHashes(t *testing.T) {
	p256 := keyOf(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t))
	p384 := keyOf(t, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t))
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	ed := keyOf(t, private)
	m := &sigkey.Message{Bytes: make([]byte, 1<<20)}
	three := [][]byte{make([]byte, ed25519.SignatureSize), make([]byte, ed25519.SignatureSize), []byte("not one")}
	for _, c := range []struct {
		what string
		key  *sigkey.Key
		sum  crypto.Hash // taken before
		want int
	}{
		{"P-256", p256, 0, 3 + 8}, {"Ed25519", ed, 0, 3 + 3*32}, {"P-384", p384, 0, 36 + 32 + 8},
		{"P-256 again", p256, crypto.SHA256, 3}, {"P-384 with one hash", p384, 0, 36 + 32}, {"P-384 again", p384, crypto.SHA384, 36},
		{"Ed25519 again", ed, crypto.SHA512, 3 + 2*32},
	} {
		if c.sum != 0 {
			m.Sum(c.sum)
		}
		if got := c.key.Toll(m, three); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	hashes := sigkey.Hashed(make([]byte, 32), make([]byte, 48), make([]byte, 64))
	if got := ed.Toll(hashes, three); got != 3 {
		t.Errorf("of hashes alone: %d", got)
	}
}
