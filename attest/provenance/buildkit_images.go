package provenance

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// BuiltImage is an image that a build tool reports.
type BuiltImage struct {
	// Image is the repository with the digest of the image or index, to be signed
	// or attested.
	Image name.Digest
	// Tag is the image's tag. Empty: none, or not known.
	Tag string
	// Target is the target of docker buildx bake. Empty: another tool.
	Target string
}

// BuildKitImages returns the images that a metadata file names, in the order of the
// file. buildctl, docker buildx build and docker buildx bake write such files. The
// names are in image.name, and the digest is in containerimage.digest.
//
// The file says under which name BuildKit exported the image, and not that the image
// was pushed.
//
// Errors are ErrConflict for two digests of one image, and ErrOrigin for an image
// without a name or digest. An image in a docker daemon alone is ErrOrigin too: its
// digest is that of its configuration, which no registry knows.
//
// Sources: those of BuildKitMetadata.
func BuildKitImages(data []byte) ([]BuiltImage, error) {
	targets, err := buildKitTargets(data)
	if err != nil {
		return nil, err
	}
	var all []BuiltImage
	for _, target := range targets {
		images, err := target.images()
		if err != nil {
			return nil, err
		}
		all = append(all, images...)
	}
	return all, nil
}

func (t buildKitTarget) images() ([]BuiltImage, error) {
	names, _ := t.value.Get("image.name").Str()
	digest, err := t.digest()
	if err != nil {
		return nil, err
	}
	if names == "" {
		return nil, fmt.Errorf("%w: the metadata file does not name the image%s; build it with --tag", ErrOrigin, t)
	}
	var images []BuiltImage
	for text := range strings.SplitSeq(names, ",") {
		image, err := parseImage(text)
		if err != nil {
			return nil, err
		}
		if image.digest != "" && image.digest != digest {
			return nil, fmt.Errorf("%w: the image %.200q is named with another digest than %s", ErrConflict, text, digest)
		}
		images = append(images, BuiltImage{Image: image.repository.Digest(digest), Tag: image.tag, Target: t.name})
	}
	return images, nil
}

// String returns the target for messages.
func (t buildKitTarget) String() string {
	if t.name == "" {
		return ""
	}
	return fmt.Sprintf(" of target %.100q", t.name)
}

func (t buildKitTarget) digest() (string, error) {
	digest, _ := t.value.Get("containerimage.digest").Str()
	config, _ := t.value.Get("containerimage.config.digest").Str()
	described, isDescribed := t.value.Get("containerimage.descriptor").Get("digest").Str()
	switch {
	case !isSHA256(digest):
		return "", fmt.Errorf("%w: the metadata file has no sha256 digest of the image%s", ErrOrigin, t)
	case digest == config:
		return "", fmt.Errorf("%w: the digest of the image%s is that of its configuration; build it with --push", ErrOrigin, t)
	case isDescribed && described != digest:
		return "", fmt.Errorf("%w: the metadata file has two digests of the image%s", ErrConflict, t)
	}
	return digest, nil
}

// KoImages returns the images that a file of "ko build --image-refs" names, each once.
// The file has one reference with a digest per line: an index, and then the images
// in it.
//
// The origin of an image by ko is in its annotations (BaseImage), in its binary
// (GoBinary), and in the SBOM that ko pushes under the tag sha256-<hex>.sbom.
//
// Errors are ErrOrigin for a file without images, and for a reference without a
// sha256 digest. ko writes such references for images in a docker daemon.
//
// Source: ko, docs/reference/ko_build.md and pkg/publish/recorder.go.
func KoImages(refsFile []byte) ([]BuiltImage, error) {
	var all []BuiltImage
	seen := make(map[string]bool)
	for line := range strings.Lines(string(refsFile)) {
		text := strings.TrimSpace(line)
		if text == "" || seen[text] {
			continue
		}
		seen[text] = true
		image, err := parseImage(text)
		if err != nil {
			return nil, err
		}
		if image.digest == "" {
			return nil, fmt.Errorf("%w: the image %.200q is named without a digest", ErrOrigin, text)
		}
		if len(all) >= maxModules {
			return nil, fmt.Errorf("%w: the file names more than %d images", ErrOrigin, maxModules)
		}
		all = append(all, BuiltImage{Image: image.repository.Digest(image.digest), Tag: image.tag})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the file names no image", ErrOrigin)
	}
	return all, nil
}
