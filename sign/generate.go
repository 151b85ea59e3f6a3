package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// Algorithm is a type and size of key, for Generate.
type Algorithm string

// The algorithms.
const (
	ECDSAP256 Algorithm = "ecdsa-p256"
	ECDSAP384 Algorithm = "ecdsa-p384"
	ECDSAP521 Algorithm = "ecdsa-p521"
	Ed25519   Algorithm = "ed25519"
	RSA2048   Algorithm = "rsa-2048"
	RSA3072   Algorithm = "rsa-3072"
	RSA4096   Algorithm = "rsa-4096"
)

// Algorithms returns the algorithms that Generate accepts.
func Algorithms() []Algorithm {
	return []Algorithm{ECDSAP256, ECDSAP384, ECDSAP521, Ed25519, RSA2048, RSA3072, RSA4096}
}

// KeyOptions choose the key pair that Generate makes and the files it writes.
type KeyOptions struct {
	// Algorithm is the type of key. Empty: ECDSAP256, which every verifier supports.
	Algorithm Algorithm
	// Password encrypts the private key with scrypt and NaCl secretbox, as cosign
	// does. Empty: ErrPassword, unless InsecureEmptyPassword is set.
	Password []byte
	// PrivatePath and PublicPath are the files to write, with modes 0600 and 0644.
	// Neither may exist. Empty: no file; the KeyPair holds the text of both keys.
	PrivatePath, PublicPath string
	// InsecureEmptyPassword allows a private key that everyone with the file can
	// use. False: Password must not be empty.
	InsecureEmptyPassword bool
}

// KeyPair is a generated key.
type KeyPair struct {
	// Signer signs with the key.
	Signer Signer
	// PrivatePEM is the encrypted private key, PublicPEM the public one.
	PrivatePEM, PublicPEM []byte
	// ID is the SHA-256 of the SubjectPublicKeyInfo, in hex.
	ID string
}

// Generate makes a key pair and writes it to the files that o names.
//
//   - An existing file is never overwritten: the error is fs.ErrExist.
//   - Each file is written whole or not at all.
//   - If the public key cannot be written, the private key's file is removed.
//
// Generate returns ErrPassword without a password, and ErrKey for an unknown
// algorithm.
func Generate(ctx context.Context, o KeyOptions) (*KeyPair, error) {
	if len(o.Password) == 0 && !o.InsecureEmptyPassword {
		return nil, fmt.Errorf("%w: a new private key needs a password", ErrPassword)
	}
	key, err := generate(o.Algorithm)
	if err != nil {
		return nil, err
	}
	return keep(ctx, key, o)
}

// Import encrypts a private key that exists, as Generate does a new one. text is that of a
// key file, which from says how to open; Signer and InsecurePermissions of from do not
// count. The Algorithm of o must be empty: the key has its own. Errors are those of
// LoadPEM and Generate.
func Import(ctx context.Context, text []byte, from LoadOptions, o KeyOptions) (*KeyPair, error) {
	switch {
	case len(o.Password) == 0 && !o.InsecureEmptyPassword:
		return nil, fmt.Errorf("%w: the imported private key needs a password", ErrPassword)
	case o.Algorithm != "":
		return nil, fmt.Errorf("%w: an imported key has an algorithm already", ErrKey)
	}
	key, err := openKey(ctx, text, from, func(bool) error { return nil })
	if err != nil {
		return nil, err
	}
	return keep(ctx, key, o)
}

// keep encrypts a key and writes it.
func keep(ctx context.Context, key crypto.Signer, o KeyOptions) (*KeyPair, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pair, err := encode(key, o.Password)
	if err != nil {
		return nil, err
	}
	if err := write(pair, o); err != nil {
		return nil, err
	}
	return pair, nil
}

func generate(a Algorithm) (crypto.Signer, error) {
	switch a {
	case "", ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECDSAP521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	var known []string
	for _, k := range Algorithms() {
		known = append(known, string(k))
	}
	return nil, fmt.Errorf("%w: unknown algorithm %.40q; use one of %s", ErrKey, a, strings.Join(known, ", "))
}

func encode(key crypto.Signer, password []byte) (*KeyPair, error) {
	signer, err := New(key, SignerOptions{})
	if err != nil {
		return nil, err
	}
	public, err := sigkey.New(key.Public())
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	sealed, err := encrypted.Encrypt(der, password)
	if err != nil {
		return nil, err
	}
	return &KeyPair{
		Signer: signer, ID: public.ID(), PublicPEM: public.PEM(),
		PrivatePEM: pem.EncodeToMemory(&pem.Block{Type: keyfile.TypeSigstore, Bytes: sealed}),
	}, nil
}

func write(pair *KeyPair, o KeyOptions) error {
	if o.PrivatePath != "" {
		if err := file.Create(o.PrivatePath, pair.PrivatePEM, 0o600); err != nil {
			return fmt.Errorf("private key: %w", err)
		}
	}
	if o.PublicPath == "" {
		return nil
	}
	if err := file.Create(o.PublicPath, pair.PublicPEM, 0o644); err != nil {
		if o.PrivatePath != "" {
			err = errors.Join(err, os.Remove(o.PrivatePath))
		}
		return fmt.Errorf("public key: %w", err)
	}
	return nil
}
