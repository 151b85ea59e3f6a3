package provenance

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// BuiltImage is an image that a build tool says it has made.
type BuiltImage struct {
	// Image is what to sign or attest: the repository, and the digest of the
	// image or index.
	Image name.Digest
	// Tag is the tag that it was pushed under. Empty: none, or not known.
	Tag string
	// Target is the target of docker buildx bake. Empty: another tool.
	Target string
}

// BuildKitImages lists the images that the metadata file of buildctl, docker
// buildx build or docker buildx bake names (image.name and containerimage.digest):
// one for each name, in the order of the file.
//
// The file says under which names and digest BuildKit has exported the image, not
// that it was pushed. It is ErrOrigin where there is no name or no digest, or
// where the digest is that of the image's configuration, as with an image that is
// only in a docker daemon: no registry knows it by that. Digests that differ
// within the file are ErrConflict.
//
// Sources: as for BuildKitMetadata.
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
		return nil, fmt.Errorf("%w: the metadata file does not name the image%s; build it with a name", ErrOrigin, t)
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

// String names the target in messages.
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
		return "", fmt.Errorf("%w: the digest of the image%s is that of its configuration; push it to a registry", ErrOrigin, t)
	case isDescribed && described != digest:
		return "", fmt.Errorf("%w: two digests of the image%s", ErrConflict, t)
	}
	return digest, nil
}

// KoImages lists the images that a file names which ko has written with
// "ko build --image-refs": one reference with a digest on each line, of an index
// followed by those of the images in it. Each is listed once. A reference without
// a sha256 digest, as of an image that is only in a docker daemon or that was
// pushed by its tag alone, is ErrOrigin; so is a file that names none.
//
// What an image by ko was made from is in its annotations (BaseImage), in its
// binary (GoBinary), and in the SBOM that ko pushes under the tag
// sha256-<hex>.sbom.
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
			return nil, fmt.Errorf("%w: more than %d images", ErrOrigin, maxModules)
		}
		all = append(all, BuiltImage{Image: image.repository.Digest(image.digest), Tag: image.tag})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the file names no image", ErrOrigin)
	}
	return all, nil
}
