// Package built reads which images a build tool made, and their digests.
//
//	images, err := built.Images(data)
//	for _, image := range images {
//		signed, err := sign.Image(ctx, client, image.Digest, sign.ImageOptions{}, signer)
//		...
//	}
//
// # What is read
//
//   - the metadata file of docker buildx build, docker buildx bake and buildctl
//     (--metadata-file), and the output "metadata" of docker/build-push-action
//   - the references that ko build prints, and its file of --image-refs
//   - dist/artifacts.json and dist/digests.txt of GoReleaser
//   - a list: one image in each line. Empty lines and lines that begin with "#" are
//     skipped.
//
// The content tells which of them a file is; its name does not matter.
//
// # What is not an image
//
// A file that holds a digest and no repository names no image. Such files come from
// docker build --iidfile, buildah and podman --iidfile and --digestfile, kaniko
// --digest-file, and jib. The digest of an --iidfile is that of a configuration, by
// which no registry serves an image. They are ErrNoDigest, and the error says what to
// use instead.
//
// # What a result is worth
//
// A result is a claim of the build tool, and nothing here asks a registry. Signing
// an image needs the digest that the build pushed. A tag read later may be another
// image.
//
// # Limits
//
//   - a file: [MaxSize] bytes
//   - images in a file: [MaxImages]
//
// # Concurrency
//
// All functions are safe for concurrent use.
//
// # Sources
//
//   - docker buildx, docs/reference/buildx_build.md and buildx_bake.md (measured with
//     v0.38); buildctl (v0.34)
//   - ko, docs/reference/ko_build.md and pkg/publish/recorder.go
//   - GoReleaser, internal/artifact/artifact.go, internal/pipe/docker, internal/pipe/ko
//     and internal/pipe/dockerdigest (v2.12)
package built

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// Limits of a file.
const (
	// MaxSize is the size of a file, in bytes.
	MaxSize = 64 << 20
	// MaxImages is how many images a file may name.
	MaxImages = 100_000
)

// Errors of Images and Names, for errors.Is.
var (
	// ErrFormat: the file is not a result that this package reads, it names no
	// image, or it exceeds a limit.
	ErrFormat = errors.New("not a list of images or a result of a build tool")
	// ErrNoDigest: an image is named without the digest of its manifest, or a digest
	// without an image.
	ErrNoDigest = errors.New("no image with a digest")
	// ErrConflict: the file gives one image two digests.
	ErrConflict = errors.New("two digests of one image")
)

// Image is an image that a build tool made.
type Image struct {
	// Digest is the repository with the digest of the image or index.
	Digest name.Digest
	// Tag is the image's tag. Empty: none, or not known.
	Tag string
	// Target is the target of docker buildx bake. Empty: another tool.
	Target string
}

// Images returns the images that a result or list names, in its order, each once. All
// of them have a sha256 digest; an image without one is ErrNoDigest, because its tag
// may name another image by now.
//
// Errors are ErrFormat, ErrNoDigest and ErrConflict. Images returns no images with an
// error.
func Images(data []byte) ([]Image, error) {
	entries, err := read(data)
	if err != nil {
		return nil, err
	}
	var all []Image
	seen := make(map[Image]bool)
	for _, e := range entries {
		image, err := e.image()
		if err != nil {
			return nil, err
		}
		if seen[image] {
			continue
		}
		seen[image] = true
		all = append(all, image)
	}
	return all, nil
}

// Names returns the same images as text, each once: REPOSITORY:TAG@DIGEST, or without
// the tag. The lines of a list are returned as they are. So they may be tags, or the
// directories of layouts.
//
// Errors are those of Images, except that a line of a list needs no digest.
func Names(data []byte) ([]string, error) {
	entries, err := read(data)
	if err != nil {
		return nil, err
	}
	var all []string
	seen := make(map[string]bool)
	for _, e := range entries {
		if !seen[e.text] {
			seen[e.text] = true
			all = append(all, e.text)
		}
	}
	return all, nil
}

// entry is one image as a file names it.
type entry struct {
	text, target string
}

// image parses "repository[:tag]@digest".
func (e entry) image() (Image, error) {
	named, digest, pinned := strings.Cut(e.text, "@")
	ref, err := registry.ParseReference(named)
	if err != nil {
		return Image{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !pinned {
		return Image{}, fmt.Errorf("%w: %.200q is named without a digest; want %.200s@sha256:…", ErrNoDigest, e.text, named)
	}
	if !isSHA256(digest) {
		return Image{}, fmt.Errorf("%w: %.200q has no sha256 digest after its @", ErrNoDigest, e.text)
	}
	image := Image{Digest: ref.Context().Digest(digest), Target: e.target}
	if tag := ref.Identifier(); strings.HasSuffix(named, ":"+tag) { // else "latest" is not written there
		image.Tag = tag
	}
	return image, nil
}

// read returns what a file names: at least one image.
func read(data []byte) ([]entry, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrFormat, MaxSize)
	}
	var entries []entry
	var err error
	switch text := bytes.TrimSpace(data); {
	case len(text) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrFormat)
	case text[0] == '[':
		entries, err = goReleaser(text)
	case text[0] == '{':
		entries, err = buildKit(text)
	default:
		entries, err = lines(text)
	}
	switch {
	case err != nil:
		return nil, err
	case len(entries) == 0:
		return nil, fmt.Errorf("%w: it names no image", ErrFormat)
	case len(entries) > MaxImages:
		return nil, fmt.Errorf("%w: it names more than %d images", ErrFormat, MaxImages)
	}
	return entries, nil
}
