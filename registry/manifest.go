package registry

import (
	"bytes"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// describe computes the descriptor of manifest bytes.
func describe(mediaType string, data []byte) (Manifest, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return Manifest{}, err
	}
	return Manifest{
		Descriptor: v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: size},
		Bytes:      data,
	}, nil
}

// HashOf returns the digest that ref names. ref comes from name.NewDigest or
// ParseReference, but a name.Digest can hold any algorithm: only sha256 with 64
// lower-case hex digits is supported.
func HashOf(ref name.Digest) (v1.Hash, error) {
	h, err := v1.NewHash(ref.DigestStr())
	if err != nil || h.Algorithm != "sha256" {
		return v1.Hash{}, &Error{Op: "read digest of", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrReference,
			Detail: "only sha256 digests of 64 lower-case hex digits are supported"}
	}
	return h, nil
}
