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
// must see the whole message: pure Ed25519, and those from outside.
// What is larger is no simple signing payload, so that it need not be looked at
// for one.
const maxHeldBlob = simplesigning.MaxSize

// Blob signs the bytes of a file and returns a Sigstore bundle v0.3 (JSON, with
// a messageSignature over the bytes, as cosign sign-blob writes it), which
// verify.Verifier.Blob and cosign verify-blob check.
//
// A file that is a simple signing payload, or begins as what is signed of a DSSE
// envelope does, is refused (ErrOptions): its signature would be one about an
// image, and whoever may have files signed must not sign images. Beyond 64 MiB
// only the beginning is looked at: a payload of that size counts as none in this
// library.
//
// ECDSA, RSA and Ed25519ph signers from New stream a blob of any size; others
// take up to 64 MiB (ErrOptions beyond).
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
		return nil, fmt.Errorf("%w: the file is what a signature about an image covers, and its signature would be one; sign the image", ErrOptions)
	}
	sig, err := signHashed(ctx, s, m, size)
	if err != nil {
		return nil, err
	}
	return bundle.NewMessage(s.Key.Hint(), m.Sum(crypto.SHA256), sig)
}

func signHashed(ctx context.Context, s signer.Checked, m *sigkey.Message, size int64) ([]byte, error) {
	if ours, ok := s.Signer.(*keySigner); ok && ours.opts.HashFunc() != 0 {
		return s.Await(ctx, m, func() ([]byte, error) { return ours.SignHashed(ctx, m) })
	}
	if size > maxHeldBlob {
		return nil, fmt.Errorf("%w: this signer takes at most %d bytes, the blob has %d; use an ECDSA, RSA or Ed25519ph key file", ErrOptions, maxHeldBlob, size)
	}
	return s.SignChecked(ctx, m.Bytes)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
