package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/budget"
)

// Digest returns the sha256 digest of bytes.
func Digest(data []byte) v1.Hash {
	sum := sha256.Sum256(data)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// Hasher computes digests of an algorithm. The caller has checked that it is sha256 or
// sha512.
func Hasher(h v1.Hash) hash.Hash {
	sum, err := v1.Hasher(h.Algorithm)
	if err != nil {
		return sha256.New() // its sum is never the other's
	}
	return sum
}

// Holds reports whether bytes have a digest, by its algorithm.
func Holds(h v1.Hash, data []byte) bool {
	sum, err := v1.Hasher(h.Algorithm)
	if err != nil {
		return false
	}
	_, _ = sum.Write(data) // a hash does not fail
	return hex.EncodeToString(sum.Sum(nil)) == h.Hex
}

// Describe computes the descriptor of bytes.
func Describe(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: Digest(data), Size: int64(len(data))}
}

// SameContent reports whether two descriptors describe the same bytes as the same
// type, whatever else they say.
func SameContent(a, b v1.Descriptor) bool {
	return a.Digest == b.Digest && a.Size == b.Size && a.MediaType == b.MediaType
}

// Listed is the descriptor by which the referrers API lists a manifest. d describes
// its bytes, and doc is what they say.
//
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
func Listed(d v1.Descriptor, doc *Document) v1.Descriptor {
	d.Annotations = doc.Annotations
	d.ArtifactType = doc.ArtifactType
	if doc.Config != nil {
		d.ArtifactType = cmp.Or(d.ArtifactType, string(doc.Config.MediaType))
	}
	return d
}

// MayRefer reports whether an entry of a fallback tag may be a referrer of subject. An
// index that lists images has other entries: the platforms of an image, BuildKit's
// attestations, and perhaps the subject.
func MayRefer(entry v1.Descriptor, subject v1.Hash) bool {
	return entry.Digest != subject && (entry.ArtifactType != "" || entry.Platform == nil) &&
		entry.Annotations["vnd.docker.reference.type"] == ""
}

// DigestTag is a digest in the form of a tag: the fallback tag and, with a suffix,
// one of cosign's tags.
func DigestTag(h v1.Hash) string { return h.Algorithm + "-" + h.Hex }

const (
	letters      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	tagStart     = letters + "0123456789_"
	tagRest      = tagStart + ".-"
	maxTagLength = 128
)

// IsTag reports whether s is a well-formed tag.
//
// Source: OCI Distribution Specification v1.1, "Pulling manifests".
func IsTag(s string) bool {
	return s != "" && len(s) <= maxTagLength && strings.IndexByte(tagStart, s[0]) >= 0 && strings.Trim(s, tagRest) == ""
}

// ParseInBudget is Parse within the budget of a context.
func ParseInBudget(ctx context.Context, mediaType string, data []byte) (*Document, error) {
	leave, err := budget.Parse(ctx, data)
	if err != nil {
		return nil, err
	}
	defer leave()
	return Parse(mediaType, data)
}
