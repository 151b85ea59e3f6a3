package sign

import (
	"context"
	"crypto"
	"fmt"
	"io"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// maxHeldBlob is the largest blob that is held in memory, for signers that
// must see the whole message: pure Ed25519, and signers not made by New. A larger
// blob cannot be a simple signing payload.
const maxHeldBlob = simplesigning.MaxSize

// Blob signs the bytes of a file. It returns a Sigstore bundle v0.3 in JSON with
// a messageSignature, which verify.Verifier.Blob and cosign verify-blob read.
// The messageDigest in the bundle is the digest that was signed; for pure Ed25519
// it is the SHA-256.
//
// ECDSA, RSA and Ed25519ph signers from New and Load stream a blob of any size, and a
// [MaterialSigner] signs its digest. Other signers take at most 64 MiB.
//
// Blob returns ErrOptions if
//
//   - the signer takes no blob of that size,
//   - the blob is what an image signature covers: a simple signing payload, or the
//     encoding of a DSSE envelope. Its signature would also be one of an image, and
//     who may sign files must not sign images.
//
// Other errors are ErrSigner, ErrKey, those of blob and of the context.
func Blob(ctx context.Context, blob io.Reader, by Signer) ([]byte, error) {
	checked, err := checkSigners([]Signer{by})
	if err != nil {
		return nil, err
	}
	s := checked[0]
	m, size, err := sigkey.HashAll(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return blob.Read(p)
	}), maxHeldBlob)
	if err != nil {
		return nil, err
	}
	if evidence.IsSigned(m.Start(), m.Bytes) {
		return nil, fmt.Errorf("%w: the file is what an image signature covers; sign the image", ErrOptions)
	}
	signed, err := signHashed(ctx, s, m, size)
	if err != nil {
		return nil, err
	}
	hash, err := s.Key.SignedHash(m, signed.Signature)
	if err != nil {
		return nil, err
	}
	if hash == 0 {
		hash = crypto.SHA256
	}
	return bundle.NewMessage(signed.Bundle(), hash, m.Sum(hash), signed.Signature)
}

func signHashed(ctx context.Context, s signer.Checked, m *sigkey.Message, size int64) (signer.Signed, error) {
	if ours, ok := s.Signer.(*keySigner); ok && ours.opts.HashFunc() != 0 {
		sig, err := s.SignedBy(ctx, m, func() ([]byte, error) { return ours.SignHashed(ctx, m) })
		return signer.Signed{Signature: sig, Hint: s.Key.Hint()}, err
	}
	if size > maxHeldBlob && !s.GivesMaterial() {
		return signer.Signed{}, fmt.Errorf("%w: this signer takes at most %d bytes, the blob has %d; use an ECDSA, RSA or Ed25519ph key file", ErrOptions, maxHeldBlob, size)
	}
	return s.SignBlob(ctx, m)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
