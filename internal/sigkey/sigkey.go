// Package sigkey verifies signatures with public keys.
//
// The key decides the algorithms, never the evidence: each type of key verifies
// with a short fixed list (see [Key.Verify]). Nothing in a signature, an envelope or
// an annotation can widen it.
package sigkey

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// Bounds of keys and of the files that hold them.
const (
	MinRSABits = 2048
	MaxRSABits = 4096
	// MinRSAExponent refuses e=1, which verifies anything, and small exponents.
	MinRSAExponent = 65537
)

// ErrSignature is returned for a signature that is not the key's over the message.
var ErrSignature = errors.New("signature does not verify")

// Key is a public key of a type and size that may be trusted. It is safe for
// concurrent use.
type Key struct {
	public crypto.PublicKey
	sum    [sha256.Size]byte
	id     string
	hint   string
	name   string
}

// New returns a Key for a public key, or an *Error.
func New(public crypto.PublicKey) (*Key, error) {
	name, err := check(public)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(der)
	return &Key{
		public: public, sum: sum, name: name,
		id: hex.EncodeToString(sum[:]), hint: base64.StdEncoding.EncodeToString(sum[:]),
	}, nil
}

// check returns the key's name.
func check(public crypto.PublicKey) (string, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		case nil:
			return "", Errorf(KindCurve, "an ECDSA key without a curve")
		default:
			return "", Errorf(KindCurve, "an ECDSA key on the curve %.40s; use P-256, P-384 or P-521", k.Curve.Params().Name)
		}
		if _, err := k.ECDH(); err != nil {
			return "", Errorf(KindWeak, "the point is not on the curve %s", k.Curve.Params().Name)
		}
		return "ECDSA " + k.Curve.Params().Name, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", Errorf(KindDamaged, "an Ed25519 key of %d bytes; want %d", len(k), ed25519.PublicKeySize)
		}
		if hasSmallOrder(k) {
			return "", Errorf(KindWeak, "an Ed25519 point of small order, for which anyone can sign")
		}
		return "Ed25519", nil
	case *rsa.PublicKey:
		if err := CheckRSASize(k.N.BitLen()); err != nil {
			return "", err
		}
		if k.E < MinRSAExponent || k.E%2 == 0 {
			return "", Errorf(KindExponent, "an RSA key with the exponent %d; want an odd one of at least %d", k.E, MinRSAExponent)
		}
		return fmt.Sprintf("RSA-%d", k.N.BitLen()), nil
	case *ecdh.PublicKey:
		return "", Errorf(KindAlgorithm, "an %s key, which cannot sign; use ECDSA P-256, P-384 or P-521, Ed25519 or RSA", k.Curve())
	case nil:
		return "", Errorf(KindNone, "there is no key")
	}
	return "", Errorf(KindAlgorithm, "a key of the type %T; use ECDSA P-256, P-384 or P-521, Ed25519 or RSA", public)
}

// CheckRSASize returns an error for RSA keys of a size that is not supported, and nil
// for others.
func CheckRSASize(bits int) *Error {
	if bits < MinRSABits || bits > MaxRSABits {
		return Errorf(KindRSASize, "an RSA key of %d bits; want %d to %d", bits, MinRSABits, MaxRSABits)
	}
	return nil
}

// smallOrder holds the y coordinates of Ed25519's points of order 1, 2, 4 and 8, in
// each encoding that decoders accept: 0, 1, p-1, those of order 8, p and p+1.
var smallOrder = func() (all [7][ed25519.PublicKeySize]byte) {
	for i, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		_, _ = hex.Decode(all[i][:], []byte(text))
	}
	return all
}()

func hasSmallOrder(k ed25519.PublicKey) bool {
	y := [ed25519.PublicKeySize]byte(k)
	y[len(y)-1] &= 0x7f // the sign of x
	return slices.Contains(smallOrder[:], y)
}

// PEM returns the key as PKIX PEM text.
func (k *Key) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		panic(err) // New has marshalled the same key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.public }

// ID returns the SHA-256 of the key's SubjectPublicKeyInfo, in hex.
func (k *Key) ID() string { return k.id }

// Hint returns the ID in base64, as bundles hold it in publicKey.hint.
func (k *Key) Hint() string { return k.hint }

// Algorithm returns the key's type and size, such as "ECDSA P-256".
func (k *Key) Algorithm() string { return k.name }

// Message is what a signature covers. It keeps each hash that a key has asked for:
// many keys cost one hash each. It is not safe for concurrent use.
type Message struct {
	Bytes  []byte
	sha256 []byte
	sha384 []byte
	sha512 []byte
	hashed bool              // Bytes were not kept
	start  []byte            // if hashed
	room   [sha256.Size]byte // for sha256
}

// Hashed returns a message that is known by its hashes alone, such as a large file. A hash
// that is nil, or of another size, is not known, and no signature over it verifies. No pure
// Ed25519 signature does.
func Hashed(s256, s384, s512 []byte) *Message {
	sized := func(sum []byte, h crypto.Hash) []byte {
		if len(sum) != h.Size() {
			return nil
		}
		return sum
	}
	return &Message{sha256: sized(s256, crypto.SHA256), sha384: sized(s384, crypto.SHA384), sha512: sized(s512, crypto.SHA512), hashed: true}
}

// Held reports whether the bytes of the message are known, not its hashes alone.
func (m *Message) Held() bool { return !m.hashed }

// Start returns at least the first 16 bytes of the message, or all of a shorter one.
func (m *Message) Start() []byte {
	if m.hashed {
		return m.start
	}
	return m.Bytes
}

// Sum returns the message's hash by SHA-256, SHA-384 or SHA-512. Nil: it is not known.
func (m *Message) Sum(h crypto.Hash) []byte {
	switch h {
	case crypto.SHA384:
		if m.sha384 == nil && !m.hashed {
			s := sha512.Sum384(m.Bytes)
			m.sha384 = s[:]
		}
		return m.sha384
	case crypto.SHA512:
		if m.sha512 == nil && !m.hashed {
			s := sha512.Sum512(m.Bytes)
			m.sha512 = s[:]
		}
		return m.sha512
	}
	if m.sha256 == nil && !m.hashed {
		m.room = sha256.Sum256(m.Bytes)
		m.sha256 = m.room[:]
	}
	return m.sha256
}

// NaturalHash returns the hash that goes with a key by its size.
func NaturalHash(public crypto.PublicKey) crypto.Hash {
	if k, ok := public.(*ecdsa.PublicKey); ok {
		switch k.Curve {
		case elliptic.P384():
			return crypto.SHA384
		case elliptic.P521():
			return crypto.SHA512
		}
	}
	return crypto.SHA256
}

// Effort returns about how long a check with the key takes, in checks with a P-256
// key. A check may have to try two hashes, or two kinds of padding. BenchmarkVerify
// measures it.
func (k *Key) Effort() int {
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P384():
			return 12
		case elliptic.P521():
			return 32
		}
	case *rsa.PublicKey:
		switch bits := public.N.BitLen(); {
		case bits > 3072:
			return 11
		case bits > 2048:
			return 7
		}
	}
	return 1
}

// How many bytes are hashed in about the time of one check with a P-256 key.
const (
	sha256PerCheck = 128 << 10
	sha512PerCheck = 32 << 10
)

// Toll returns about how long it takes to check these signatures over a message with
// the key, in checks with a P-256 key. It counts the bytes to hash, too: once for each
// hash that the message lacks, and for each signature of pure Ed25519.
func (k *Key) Toll(m *Message, signatures [][]byte) int {
	toll := k.Effort() * len(signatures)
	if m.hashed {
		return toll
	}
	size := len(m.Bytes)
	switch pub := k.public.(type) {
	case ed25519.PublicKey:
		hashed := 0
		if m.sha512 == nil {
			hashed = size
		}
		for _, sig := range signatures {
			if len(sig) == ed25519.SignatureSize {
				hashed += size
			}
		}
		return toll + hashed/sha512PerCheck
	case *ecdsa.PublicKey:
		switch natural := NaturalHash(pub); {
		case natural == crypto.SHA384 && m.sha384 == nil, natural == crypto.SHA512 && m.sha512 == nil:
			toll += size / sha512PerCheck
		}
	}
	if m.sha256 == nil {
		toll += size / sha256PerCheck
	}
	return toll
}

// Verify returns nil if sig is the key's signature over the message, and otherwise
// ErrSignature. It tries, in this order:
//
//   - ECDSA: over the curve's natural hash (SHA-256, SHA-384, SHA-512), then over
//     SHA-256; see ecdsaDER for the encodings
//   - Ed25519: as Ed25519ph (RFC 8032, no context), then as pure Ed25519
//   - RSA: PKCS#1 v1.5 with SHA-256, then PSS with SHA-256
func (k *Key) Verify(m *Message, sig []byte) error {
	_, err := k.SignedHash(m, sig)
	return err
}

// SignedHash is Verify that returns the hash that was signed; 0 for pure Ed25519.
func (k *Key) SignedHash(m *Message, sig []byte) (crypto.Hash, error) {
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		return verifyECDSA(pub, m, sig)
	case ed25519.PublicKey:
		switch {
		case len(sig) != ed25519.SignatureSize:
		case verifyEd25519ph(pub, m, sig):
			return crypto.SHA512, nil
		case !m.hashed && ed25519.Verify(pub, m.Bytes, sig):
			return 0, nil
		}
	case *rsa.PublicKey:
		sum := m.Sum(crypto.SHA256)
		if sum != nil && len(sig) == pub.Size() && (rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum, sig) == nil ||
			rsa.VerifyPSS(pub, crypto.SHA256, sum, sig, nil) == nil) {
			return crypto.SHA256, nil
		}
	}
	return 0, ErrSignature
}

// VerifyAs is Verify for the one algorithm that opts selects, and for the encoding
// that a crypto.Signer of this key writes with it.
func (k *Key) VerifyAs(m *Message, sig []byte, opts crypto.SignerOpts) error {
	ok := false
	if opts.HashFunc() != 0 && m.Sum(opts.HashFunc()) == nil {
		return ErrSignature
	}
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(pub, m.Sum(opts.HashFunc()), sig)
	case ed25519.PublicKey:
		if opts.HashFunc() == 0 {
			ok = !m.hashed && len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, m.Bytes, sig)
		} else {
			ok = verifyEd25519ph(pub, m, sig)
		}
	case *rsa.PublicKey:
		if pss, isPSS := opts.(*rsa.PSSOptions); isPSS {
			ok = rsa.VerifyPSS(pub, opts.HashFunc(), m.Sum(opts.HashFunc()), sig, pss) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(pub, opts.HashFunc(), m.Sum(opts.HashFunc()), sig) == nil
		}
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func verifyECDSA(pub *ecdsa.PublicKey, m *Message, sig []byte) (crypto.Hash, error) {
	der := ecdsaDER(pub, sig)
	if der == nil {
		return 0, ErrSignature
	}
	hashes := []crypto.Hash{NaturalHash(pub), crypto.SHA256}
	if hashes[0] == hashes[1] {
		hashes = hashes[:1]
	}
	for _, h := range hashes {
		// Anyone can sign a digest that is empty.
		if sum := m.Sum(h); sum != nil && ecdsa.VerifyASN1(pub, sum, der) {
			return h, nil
		}
	}
	return 0, ErrSignature
}

func verifyEd25519ph(pub ed25519.PublicKey, m *Message, sig []byte) bool {
	sum := m.Sum(crypto.SHA512)
	return sum != nil && ed25519.VerifyWithOptions(pub, sum, sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
}
