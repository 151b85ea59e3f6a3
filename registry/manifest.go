package registry

import (
	"encoding/json"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// describe computes the descriptor of manifest bytes.
func describe(mediaType string, data []byte) Manifest {
	return Manifest{Descriptor: oci.Describe(mediaType, data), Bytes: data}
}

// written is a document of ours as JSON, described. It consists of strings,
// numbers, and lists and maps of them, which encode without an error.
func written(mediaType string, document any) Manifest {
	data, _ := json.Marshal(document)
	return describe(mediaType, data)
}

// BlobHashOf returns the digest of the blob that ref names: sha256 or sha512, in
// lower-case hex digits. Other digests are ErrReference.
func BlobHashOf(ref name.Digest) (v1.Hash, error) {
	h, err := v1.NewHash(ref.DigestStr())
	if err != nil || h.Algorithm != "sha256" && h.Algorithm != "sha512" {
		return v1.Hash{}, &Error{Op: "read digest of", Ref: text(ref), Kind: ErrReference,
			Detail: "only sha256 and sha512 digests of blobs are supported, in lower-case hex digits"}
	}
	return h, nil
}

// HashOf returns the digest of the manifest that ref names. A name.Digest can hold any algorithm; only
// sha256 with 64 lower-case hex digits is supported. Other digests are ErrReference.
func HashOf(ref name.Digest) (v1.Hash, error) {
	h, err := v1.NewHash(ref.DigestStr())
	if err != nil || h.Algorithm != "sha256" {
		return v1.Hash{}, &Error{Op: "read digest of", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrReference,
			Detail: "only sha256 digests of 64 lower-case hex digits are supported"}
	}
	return h, nil
}
