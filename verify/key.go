package verify

import (
	"crypto"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// ErrKey is the error of every key that cannot be trusted: too weak, of an
// unsupported type, malformed, or not a public key at all.
var ErrKey = sigkey.ErrKey

// Key is a public key whose signatures count. The zero Key is refused by New.
type Key struct {
	key *sigkey.Key
	// Name is how people call it, for results and errors. It carries no trust:
	// keys are told apart by ID. Empty: the ID is shown.
	Name string
}

// NewKey makes a Key of a public key: ECDSA P-256, P-384 or P-521, Ed25519, or
// RSA of 2048 to 4096 bits. The key decides the algorithms: a signature counts
// over the curve's own hash or SHA-256 (ECDSA), as Ed25519ph or pure Ed25519,
// or as PKCS#1 v1.5 or PSS with SHA-256 (RSA).
func NewKey(public crypto.PublicKey) (Key, error) {
	k, err := sigkey.New(public)
	return Key{key: k}, err
}

// ParseKey reads a public key from PEM text that holds exactly one, as PKIX
// ("PUBLIC KEY") or PKCS#1 ("RSA PUBLIC KEY").
func ParseKey(pem []byte) (Key, error) {
	k, err := sigkey.ParsePEM(pem)
	return Key{key: k}, err
}

// LoadKey is ParseKey for a file, which must be a regular one of at most 64
// KiB. The path becomes the key's name.
func LoadKey(path string) (Key, error) {
	text, _, err := file.Read(path, sigkey.MaxFileSize)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	k, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	k.Name = path
	return k, nil
}

// ID is the SHA-256 of the key's SubjectPublicKeyInfo, in hex; empty for the
// zero Key.
func (k Key) ID() string {
	if k.key == nil {
		return ""
	}
	return k.key.ID()
}

// Algorithm names the key's type and size, such as "ECDSA P-256".
func (k Key) Algorithm() string {
	if k.key == nil {
		return ""
	}
	return k.key.Algorithm()
}

// Public is the public key itself; nil for the zero Key.
func (k Key) Public() crypto.PublicKey {
	if k.key == nil {
		return nil
	}
	return k.key.Public()
}
