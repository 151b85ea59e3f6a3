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

// HashOf returns the digest that ref names. A name.Digest can hold any algorithm; only
// sha256 with 64 lower-case hex digits is supported. Other digests are ErrReference.
func HashOf(ref name.Digest) (v1.Hash, error) {
	h, err := v1.NewHash(ref.DigestStr())
	if err != nil || h.Algorithm != "sha256" {
		return v1.Hash{}, &Error{Op: "read digest of", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrReference,
			Detail: "only sha256 digests of 64 lower-case hex digits are supported"}
	}
	return h, nil
}
