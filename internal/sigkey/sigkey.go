// Package sigkey holds public keys that signatures are verified with.
//
// The key decides the algorithms, never the evidence: a key verifies with the
// short fixed list of its type (see Key.Verify), and nothing in a signature,
// an envelope or an annotation can widen it.
package sigkey

import (
	"bytes"
	"crypto"
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
	"strings"
)

// Bounds of keys and of the files that hold them.
const (
	MinRSABits = 2048
	MaxRSABits = 4096
	// MinRSAExponent refuses e=1, which verifies anything, and small exponents.
	MinRSAExponent = 65537
	// MaxFileSize bounds a key file.
	MaxFileSize = 64 << 10
)

// ErrKey is wrapped by every error about a key.
var ErrKey = errors.New("unusable key")

// ErrSignature says that a signature is not one of the key over the message.
var ErrSignature = errors.New("signature does not verify")

// Key is a public key that is strong enough to be trusted.
type Key struct {
	public crypto.PublicKey
	sum    [sha256.Size]byte
	id     string
	hint   string
	name   string
}

// New checks a public key and derives its identifiers.
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

func check(public crypto.PublicKey) (string, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return "", fmt.Errorf("%w: ECDSA curve is not P-256, P-384 or P-521", ErrKey)
		}
		if _, err := k.ECDH(); err != nil {
			return "", fmt.Errorf("%w: the point is not on curve %s", ErrKey, k.Curve.Params().Name)
		}
		return "ECDSA " + k.Curve.Params().Name, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", fmt.Errorf("%w: Ed25519 key of %d bytes", ErrKey, len(k))
		}
		if hasSmallOrder(k) {
			return "", fmt.Errorf("%w: Ed25519 point of small order, for which anybody can sign", ErrKey)
		}
		return "Ed25519", nil
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < MinRSABits || n > MaxRSABits {
			return "", fmt.Errorf("%w: RSA key of %d bits, want %d to %d", ErrKey, n, MinRSABits, MaxRSABits)
		}
		if k.E < MinRSAExponent || k.E%2 == 0 {
			return "", fmt.Errorf("%w: RSA exponent %d, want an odd one of at least %d", ErrKey, k.E, MinRSAExponent)
		}
		return fmt.Sprintf("RSA-%d", k.N.BitLen()), nil
	case nil:
		return "", fmt.Errorf("%w: no key", ErrKey)
	}
	return "", fmt.Errorf("%w: type %T; use ECDSA P-256/384/521, Ed25519 or RSA", ErrKey, public)
}

// smallOrder are the y coordinates of Ed25519's points of order 1, 2, 4 and 8, in
// each encoding that decoders take: 0, 1, p-1, those of order 8, p and p+1.
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

// DecodePEM returns the first PEM block of a text and what follows it. Text before
// it is none of a key's; but a damaged block there, which pem.Decode skips, is an
// error: of two keys, the second must not be taken for the first.
func DecodePEM(text []byte) (block *pem.Block, rest []byte, err error) {
	block, rest = pem.Decode(text)
	if block == nil {
		return nil, nil, fmt.Errorf("%w: no PEM block", ErrKey)
	}
	if bytes.Count(text[:len(text)-len(rest)], []byte("-----BEGIN")) != 1 {
		clear(block.Bytes)
		return nil, nil, fmt.Errorf("%w: the first PEM block is damaged", ErrKey)
	}
	return block, rest, nil
}

// ParsePEM reads exactly one public key from PEM text: "PUBLIC KEY" (PKIX, RFC
// 5280) or "RSA PUBLIC KEY" (PKCS#1, RFC 8017).
func ParsePEM(text []byte) (*Key, error) {
	if len(text) > MaxFileSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrKey, MaxFileSize)
	}
	block, rest, err := DecodePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%w; want -----BEGIN PUBLIC KEY-----", err)
	}
	if more, _ := pem.Decode(rest); more != nil || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("%w: more than one PEM block; give each key on its own", ErrKey)
	}
	var public any
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		return nil, fmt.Errorf("%w: this is a certificate; want its public key", ErrKey)
	default:
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, fmt.Errorf("%w: this is a private key; want the public key of the pair", ErrKey)
		}
		return nil, fmt.Errorf("%w: PEM block %.40q; want PUBLIC KEY", ErrKey, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return New(public)
}

// PEM returns the key as PKIX PEM text.
func (k *Key) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		panic(err) // New has marshalled the same key
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Public returns the key itself.
func (k *Key) Public() crypto.PublicKey { return k.public }

// ID is the SHA-256 of the key's SubjectPublicKeyInfo, in hex.
func (k *Key) ID() string { return k.id }

// Hint is the same in base64, as bundles hold it in publicKey.hint.
func (k *Key) Hint() string { return k.hint }

// Algorithm names the key's type and size.
func (k *Key) Algorithm() string { return k.name }

// Message is what a signature covers. It keeps the hashes that keys have asked
// for, so that many keys cost one hash each. Not safe for concurrent use.
type Message struct {
	Bytes  []byte
	sha256 []byte
	sha384 []byte
	sha512 []byte
	hashed bool // Bytes are not at hand
	start  []byte
	room   [sha256.Size]byte
}

// Hashed is a message of which only the hashes are known, as of a large file:
// all but pure Ed25519 signatures can be verified over it.
func Hashed(sha256, sha384, sha512 []byte) *Message {
	return &Message{sha256: sha256, sha384: sha384, sha512: sha512, hashed: true}
}

// Start is how the message begins: 16 bytes at least, if it has as many.
func (m *Message) Start() []byte {
	if m.hashed {
		return m.start
	}
	return m.Bytes
}

// Sum returns the message's hash by SHA-256, SHA-384 or SHA-512.
func (m *Message) Sum(h crypto.Hash) []byte {
	switch h {
	case crypto.SHA384:
		if m.sha384 == nil {
			s := sha512.Sum384(m.Bytes)
			m.sha384 = s[:]
		}
		return m.sha384
	case crypto.SHA512:
		if m.sha512 == nil {
			s := sha512.Sum512(m.Bytes)
			m.sha512 = s[:]
		}
		return m.sha512
	}
	if m.sha256 == nil {
		m.room = sha256.Sum256(m.Bytes)
		m.sha256 = m.room[:]
	}
	return m.sha256
}

// NaturalHash is the hash that goes with a key by its size.
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

// Effort is about how long a check takes with the key, in checks with a P-256 key.
// It counts that a check may have to try two hashes, or two kinds of padding;
// BenchmarkVerify measures it.
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

// Bytes that are hashed in about the time of one check with a P-256 key.
const (
	sha256PerCheck = 128 << 10
	sha512PerCheck = 32 << 10
)

// Toll is about what checking these signatures over a message costs with the key, in
// checks with a P-256 key. Beside the checks it counts the bytes that are hashed:
// those of a hash that the message lacks, once, and those of pure Ed25519, which
// hashes the message for each signature.
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

// Verify returns nil where sig is the key's signature over the message:
//
//   - ECDSA: ASN.1 signature over the curve's natural hash (SHA-256, SHA-384,
//     SHA-512), then over SHA-256;
//   - Ed25519: as Ed25519ph (RFC 8032, no context), then as pure Ed25519;
//   - RSA: PKCS#1 v1.5 with SHA-256, then PSS with SHA-256.
//
// Anything else is ErrSignature.
func (k *Key) Verify(m *Message, sig []byte) error {
	if len(sig) == 0 {
		return ErrSignature
	}
	ok := false
	switch pub := k.public.(type) {
	case *ecdsa.PublicKey:
		ok = k.verifyECDSA(pub, m, sig)
	case ed25519.PublicKey:
		ok = len(sig) == ed25519.SignatureSize && (verifyEd25519ph(pub, m, sig) || !m.hashed && ed25519.Verify(pub, m.Bytes, sig))
	case *rsa.PublicKey:
		sum := m.Sum(crypto.SHA256)
		ok = len(sig) == pub.Size() && (rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum, sig) == nil ||
			rsa.VerifyPSS(pub, crypto.SHA256, sum, sig, nil) == nil)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// VerifyAs is Verify for the one algorithm that opts selects, as a crypto.Signer
// of this key would sign with them.
func (k *Key) VerifyAs(m *Message, sig []byte, opts crypto.SignerOpts) error {
	ok := false
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

func (k *Key) verifyECDSA(pub *ecdsa.PublicKey, m *Message, sig []byte) bool {
	if sig[0] != 0x30 || len(sig) > 160 { // a DER sequence; P-521 needs at most 139 bytes
		return false
	}
	natural := NaturalHash(pub)
	if ecdsa.VerifyASN1(pub, m.Sum(natural), sig) {
		return true
	}
	return natural != crypto.SHA256 && ecdsa.VerifyASN1(pub, m.Sum(crypto.SHA256), sig)
}

func verifyEd25519ph(pub ed25519.PublicKey, m *Message, sig []byte) bool {
	return ed25519.VerifyWithOptions(pub, m.Sum(crypto.SHA512), sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
}
