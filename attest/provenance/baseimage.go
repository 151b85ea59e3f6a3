package provenance

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// The annotations by which an image names its base (OCI image-spec,
// annotations.md).
const (
	annotationBaseName   = "org.opencontainers.image.base.name"
	annotationBaseDigest = "org.opencontainers.image.base.digest"
)

// BaseImage returns the base image that the annotations of a manifest or index name,
// as a dependency. Without such annotations it returns no facts and no error.
//
// The package URL has the form of BuildKit: "pkg:docker/", the name as docker shows
// it, "@" and the tag, and the qualifiers digest and platform.
//
// Errors are ErrOrigin for a base image without a valid digest, because its name
// does not say which image was used.
func BaseImage(annotations map[string]string) (Facts, error) {
	text, digest := annotations[annotationBaseName], annotations[annotationBaseDigest]
	if text == "" && digest == "" {
		return Facts{}, nil
	}
	if !isSHA256(digest) {
		return Facts{}, fmt.Errorf("%w: the base image %.200q has no sha256 digest in %s", ErrOrigin, text, annotationBaseDigest)
	}
	if text == "" {
		return Facts{Dependencies: []predicate.ResourceDescriptor{{Name: "base image", Digest: digestSet(digest)}}}, nil
	}
	image, err := parseImage(text)
	if err != nil {
		return Facts{}, err
	}
	if image.digest != "" && image.digest != digest {
		return Facts{}, fmt.Errorf("%w: the base image %.200q is named with another digest", ErrOrigin, text)
	}
	image.digest = digest
	return Facts{Dependencies: []predicate.ResourceDescriptor{image.dependency("")}}, nil
}

// imageName holds the parts of an image reference.
type imageName struct {
	repository name.Repository
	tag        string // empty: the reference has a digest and no tag
	digest     string // "sha256:…", or empty
}

// parseImage reads "repository[:tag][@digest]".
func parseImage(text string) (imageName, error) {
	named, digest, pinned := strings.Cut(text, "@")
	if pinned && !isSHA256(digest) {
		return imageName{}, fmt.Errorf("%w: image reference %.200q has no sha256 digest after its @", ErrOrigin, text)
	}
	tag, err := name.NewTag(named)
	if err != nil || !repositoryPath(tag.RepositoryStr()) {
		return imageName{}, fmt.Errorf("%w: %.200q is not an image reference", ErrOrigin, text)
	}
	image := imageName{repository: tag.Context(), tag: tag.TagStr(), digest: digest}
	if pinned && !strings.HasSuffix(named, ":"+tag.TagStr()) {
		image.tag = "" // "latest" is not written there
	}
	return image, nil
}

// repositoryPath reports whether all parts of a repository's name begin and end as
// the OCI distribution-spec demands. go-containerregistry checks the characters
// alone.
func repositoryPath(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part != strings.Trim(part, "._-") || part == "" {
			return false
		}
	}
	return true
}

// dependency describes an image that has a digest.
func (i imageName) dependency(platform string) predicate.ResourceDescriptor {
	uri := purl("docker", i.familiar(), i.tag) + "?digest=" + i.digest
	if platform != "" {
		uri += "&platform=" + purlEscape(platform)
	}
	return predicate.ResourceDescriptor{URI: uri, Digest: digestSet(i.digest)}
}

// familiar returns the repository as docker shows it: without the default registry.
func (i imageName) familiar() string {
	if i.repository.RegistryStr() != name.DefaultRegistry {
		return i.repository.RegistryStr() + "/" + i.repository.RepositoryStr()
	}
	return strings.TrimPrefix(i.repository.RepositoryStr(), "library/")
}

func digestSet(digest string) map[string]string {
	algorithm, hash, _ := strings.Cut(digest, ":")
	return map[string]string{algorithm: hash}
}

func isSHA256(digest string) bool {
	text, ok := strings.CutPrefix(digest, "sha256:")
	return ok && len(text) == 64 && isHex(text)
}
