// Package sign signs container images and files.
//
// Signing an image takes a key and a digest:
//
//	signer, err := sign.Load(ctx, "release.key", sign.LoadOptions{Password: password})
//	...
//	signed, err := sign.Image(ctx, store, digest, sign.ImageOptions{}, signer)
//
// # Signers
//
// A [Signer] holds one private key. There are three ways to get one:
//
//   - [Load] and [LoadPEM] read a key file, as cosign or openssl write it.
//   - [New] takes any crypto.Signer.
//   - [FromSigstore] takes a signer of the sigstore module, such as a KMS key.
//
// Package sign/keyless has one whose key is certified for a person or a CI job.
//
// Keys are ECDSA P-256, P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits.
// [Generate] makes a key pair.
//
// # What is signed
//
//   - [Image] signs the digest of a manifest, with ImageOptions.Recursive that of
//     every manifest an index lists, and attaches the signature to it.
//   - [PushAndSign] pushes an image, signs it, and only then sets its tag.
//   - [Blob] signs the bytes of a file and returns a Sigstore bundle.
//
// Only digests are signed. Resolve a tag first, once, and sign its digest.
//
// # What is checked
//
//   - Before a signature is written, it is verified with the signer's public key.
//   - All signatures are made before the first is attached. A signer that fails leaves
//     nothing behind.
//   - After a signature was written to a store, it is read back.
//   - A signature by a key that is there already is kept, and none is added.
//
// All functions are safe for concurrent use. They return when the context ends,
// even if a signer does not.
package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/signer"
)

// Errors of this package, for errors.Is. A store's errors are those of package
// registry.
var (
	// ErrKey: a key is too weak, of an unsupported type, or malformed.
	ErrKey = sigkey.ErrKey
	// ErrSigner: a signer failed, or returned something other than its
	// signature over the message.
	ErrSigner = signer.ErrSigner
	// ErrOptions: an argument is missing, or contradicts another one.
	ErrOptions = errors.New("wrong use")
)

// Signer signs messages with one key. The DSSE signers of go-securesystemslib
// are Signers. An implementation
//
//   - hashes the message as its key requires,
//   - is safe for concurrent use,
//   - returns early when the context ends, if it can.
type Signer interface {
	// Sign returns the signature over message.
	Sign(ctx context.Context, message []byte) ([]byte, error)
	// Public returns the public key of the pair.
	Public() crypto.PublicKey
}

// MaterialSigner is a Signer whose signatures come with verification material, such as
// a certificate and entries of a log. Package sign/keyless has one. [Image], [Blob],
// attest.Image and attest.Bundle write the material beside the signature: into the
// bundle, or into the annotations of the .sig or .att tag. Functions that have no
// place for it call Sign, which may return an error.
type MaterialSigner interface {
	Signer
	// SignWithMaterial returns the signature over a message, and its material. Nil: none.
	SignWithMaterial(ctx context.Context, m Message) (signature []byte, material *Material, err error)
}

// Message is what a [MaterialSigner] signs. Its fields are
//
//   - Bytes, the message, which is not changed. Nil: a file above 64 MiB.
//   - SHA256, its digest
//   - PayloadType and Payload, those of the DSSE envelope whose pre-authentication
//     encoding the message is. Empty: a file, or a simple signing payload.
//   - Annotations: the material goes into annotations, which hold one entry of a log,
//     with a signed entry timestamp as Rekor v1 makes it, and one timestamp
type Message = signer.Message

// Material is the verification material of one signature. Its fields are
//
//   - Certificate, the signer's in DER. Nil: the key has none. It must be for the
//     signer's key.
//   - Chain, the certificates above it in DER, without the root. Annotations hold it, and
//     bundles do not.
//   - Entries, entries of transparency logs: the JSON of TransparencyLogEntry, with an
//     inclusion proof
//   - Timestamps, time-stamp responses by RFC 3161
type Material = signer.Material

// SignerOptions choose among the algorithms of one key. Most verifiers expect
// the zero value.
type SignerOptions struct {
	// Hash is the hash that ECDSA signs: SHA-256, or the curve's own. Zero: the
	// curve's own, which is SHA-256, SHA-384 or SHA-512. Without its flag
	// --signature-digest-algorithm, cosign verifies P-384 and P-521 keys only over
	// SHA-256.
	Hash crypto.Hash
	// PSS selects RSASSA-PSS with SHA-256. False: PKCS#1 v1.5 with SHA-256, which
	// cosign and containers/image verify.
	PSS bool
	// Prehash selects Ed25519ph, which cosign writes. False: pure Ed25519, which
	// cosign, containers/image and in-toto verify.
	Prehash bool
}

// New returns a Signer for a private key: ECDSA P-256, P-384 or P-521, Ed25519,
// or RSA of 2048 to 4096 bits. It returns ErrKey for any other key, and for
// options that do not fit the key.
func New(key crypto.Signer, o SignerOptions) (Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no private key", ErrKey)
	}
	public, err := sigkey.New(key.Public())
	if err != nil {
		return nil, err
	}
	s := &keySigner{key: key, public: public.Public(), opts: crypto.SHA256}
	switch s.public.(type) {
	case *ecdsa.PublicKey:
		s.opts = sigkey.NaturalHash(s.public)
		switch o.Hash {
		case 0:
		case crypto.SHA256, s.opts.HashFunc():
			s.opts = o.Hash
		default:
			return nil, fmt.Errorf("%w: %s does not go with %s", ErrKey, o.Hash, public.Algorithm())
		}
	case *rsa.PublicKey:
		if o.PSS {
			s.opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
	case ed25519.PublicKey:
		s.opts = crypto.Hash(0)
		if o.Prehash {
			s.opts = &ed25519.Options{Hash: crypto.SHA512}
		}
	}
	return s, nil
}

type keySigner struct {
	key    crypto.Signer
	public crypto.PublicKey
	opts   crypto.SignerOpts
}

func (s *keySigner) Public() crypto.PublicKey { return s.public }

// SignerOpts implements signer.Chooser.
func (s *keySigner) SignerOpts() crypto.SignerOpts { return s.opts }

func (s *keySigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if s.opts.HashFunc() == 0 {
		return s.key.Sign(rand.Reader, message, s.opts)
	}
	return s.SignHashed(ctx, &sigkey.Message{Bytes: message})
}

// SignHashed signs a message by its hash alone.
func (s *keySigner) SignHashed(_ context.Context, m *sigkey.Message) ([]byte, error) {
	return s.key.Sign(rand.Reader, m.Sum(s.opts.HashFunc()), s.opts)
}

// FromSigstore returns a Signer for a signer of the sigstore module: a key in a
// key service, in hardware, or one that the module has loaded. It returns
// ErrSigner if the signer does not tell its public key, and ErrKey if that key
// is unusable.
func FromSigstore(ctx context.Context, s signature.Signer) (Signer, error) {
	public, err := s.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("%w: no public key: %w", ErrSigner, err)
	}
	if _, err := sigkey.New(public); err != nil {
		return nil, err
	}
	return sigstoreSigner{s, public}, nil
}

type sigstoreSigner struct {
	signer signature.Signer
	public crypto.PublicKey
}

func (s sigstoreSigner) Public() crypto.PublicKey { return s.public }

func (s sigstoreSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return s.signer.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
}

// checkSigners returns the signers with their public keys, each key once.
func checkSigners(signers []Signer) ([]signer.Checked, error) {
	checked, err := signer.Check(signers)
	if errors.Is(err, signer.ErrNone) {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return checked, err
}
