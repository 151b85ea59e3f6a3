package policy

import (
	"crypto"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// ErrKey is wrapped by the error about every key that cannot be trusted: too weak,
// of an unsupported type, malformed, or not a public key.
var ErrKey = sigkey.ErrKey

// KeyError says why a public key, or the file that should hold one, is unusable. It
// wraps ErrKey. See sign.KeyError for its fields.
type KeyError = sigkey.Error

// PublicKey is a trusted public key. The zero PublicKey holds no key, and every policy
// with it is refused.
type PublicKey struct {
	key *sigkey.Key
	// Name is shown in results and errors. It carries no trust: keys are told apart
	// by ID. Empty: the ID is shown.
	Name string
}

// NewPublicKey returns a PublicKey for a public key, or ErrKey. The key decides which
// signatures count, never the evidence:
//
//   - ECDSA P-256, P-384, P-521: over the curve's own hash, or SHA-256; in ASN.1 DER,
//     or as r and s of fixed length (IEEE P1363)
//   - Ed25519: as Ed25519ph, or pure
//   - RSA of 2048 to 4096 bits: PKCS#1 v1.5 or PSS, with SHA-256
func NewPublicKey(public crypto.PublicKey) (PublicKey, error) {
	k, err := sigkey.New(public)
	return PublicKey{key: k}, err
}

// ParsePublicKey reads a public key from the text of a PEM file that holds exactly
// one: "PUBLIC KEY" (PKIX) or "RSA PUBLIC KEY" (PKCS#1). The text may have
//
//   - other text before the block, and a byte order mark,
//   - line breaks of any system, and indented lines,
//   - "\n" in place of line breaks, as in JSON strings and variables.
//
// The error is a *KeyError.
func ParsePublicKey(pem []byte) (PublicKey, error) {
	k, err := keyfile.ParsePublic(pem)
	return PublicKey{key: k}, err
}

// LoadPublicKey is ParsePublicKey for a regular file of at most 64 KiB. The path
// becomes the key's name.
func LoadPublicKey(path string) (PublicKey, error) {
	text, _, err := file.Read(path, keyfile.MaxSize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	k, err := ParsePublicKey(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%s: %w", path, sigkey.InFile(err, path))
	}
	k.Name = path
	return k, nil
}

// ID returns the SHA-256 of the key's SubjectPublicKeyInfo in hex, and "" for the
// zero PublicKey.
func (k PublicKey) ID() string {
	if k.key == nil {
		return ""
	}
	return k.key.ID()
}

// Algorithm returns the key's type and size, such as "ECDSA P-256".
func (k PublicKey) Algorithm() string {
	if k.key == nil {
		return ""
	}
	return k.key.Algorithm()
}

// Public returns the public key, and nil for the zero PublicKey.
func (k PublicKey) Public() crypto.PublicKey {
	if k.key == nil {
		return nil
	}
	return k.key.Public()
}
