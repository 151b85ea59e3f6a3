// Package sign signs image digests, indexes with their children, and files.
//
// A [Signer] signs; [New] makes one of any crypto.Signer, [Load] of a key file,
// [FromSigstore] of a sigstore signer such as a KMS key. [Image] attaches a
// signature to a digest in a registry or layout, [PushAndSign] pushes an image
// so that no tag ever points at it unsigned, [Blob] signs a file.
//
// Every signature is verified with the signer's public key before it is
// written, and read back from the store after it has been written.
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

// Errors of this package, for errors.Is. Errors of the store are those of
// package registry.
var (
	// ErrKey: a key is too weak, of an unsupported type, or malformed.
	ErrKey = sigkey.ErrKey
	// ErrSigner: a signer failed, or returned something other than its
	// signature over the message.
	ErrSigner = signer.ErrSigner
	// ErrOptions: the call contradicts itself, or lacks something.
	ErrOptions = errors.New("wrong use")
)

// Signer signs messages with one key. Sigstore's and go-securesystemslib's
// DSSE signers fit. An implementation hashes as its key requires, is safe for
// concurrent use, and should honour the context; where it does not, callers of
// this package get their answer when the context ends all the same.
type Signer interface {
	// Sign returns the signature over message.
	Sign(ctx context.Context, message []byte) ([]byte, error)
	// Public returns the public key of the pair.
	Public() crypto.PublicKey
}

// SignerOptions choose among the algorithms of one key. The zero value is what
// most verifiers expect.
type SignerOptions struct {
	// Hash is used with ECDSA. Zero: the curve's own, SHA-256, SHA-384 or
	// SHA-512. cosign verifies signatures of P-384 and P-521 keys only with
	// SHA-256, or when told with --signature-digest-algorithm.
	Hash crypto.Hash
	// PSS selects RSASSA-PSS. Zero: PKCS#1 v1.5, which cosign and
	// containers/image expect. Both are with SHA-256.
	PSS bool
	// Prehash selects Ed25519ph, as cosign signs. Zero: pure Ed25519, which
	// cosign, containers/image and in-toto verify.
	Prehash bool
}

// New makes a Signer of a private key: ECDSA P-256, P-384 or P-521, Ed25519, or
// RSA of 2048 to 4096 bits. Other keys and combinations are ErrKey.
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

// SignHashed signs a message of which the hash is enough.
func (s *keySigner) SignHashed(_ context.Context, m *sigkey.Message) ([]byte, error) {
	return s.key.Sign(rand.Reader, m.Sum(s.opts.HashFunc()), s.opts)
}

// FromSigstore makes a Signer of a sigstore signer: a KMS or hardware key, or
// a key that sigstore has loaded.
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

// checkSigners returns the signers with the identities of their keys, each key
// once.
func checkSigners(signers []Signer) ([]signer.Checked, error) {
	checked, err := signer.Check(signers)
	if errors.Is(err, signer.ErrNone) {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return checked, err
}
