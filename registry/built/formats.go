package built

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/buildkit"
)

// maxLine bounds a line of a list, in bytes. A path may be longer than a reference.
const maxLine = 4 << 10

// lines reads a list, ko's output, and GoReleaser's digests.txt.
func lines(data []byte) ([]entry, error) {
	if !utf8.Valid(data) || strings.HasPrefix(string(data), "\ufeff") {
		return nil, fmt.Errorf("%w: it is not UTF-8 without a byte order mark; PowerShell writes others with >", ErrFormat)
	}
	var all []entry
	for line := range strings.Lines(string(data)) {
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		if len(all) > MaxImages { // read says so
			break
		}
		e, err := lineEntry(text)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func lineEntry(text string) (entry, error) {
	if len(text) > maxLine {
		return entry{}, fmt.Errorf("%w: a line has more than %d bytes", ErrFormat, maxLine)
	}
	hex, image, two := strings.Cut(text, " ")
	switch {
	case isBareDigest(text):
		return entry{}, fmt.Errorf("%w: the file holds the digest %s without an image.\nThe digest of an --iidfile is that of a configuration, by which no registry serves an image.\n"+
			"Build with docker buildx build --push --metadata-file FILE, or write REPOSITORY@sha256:… if it is the digest of a manifest", ErrNoDigest, text)
	case two && isSHA256("sha256:"+hex):
		return goReleaserLine(hex, strings.TrimLeft(image, " *"))
	case text == "null":
		return entry{}, fmt.Errorf("%w: a line is null, which jq prints for what is not there; for an image of this name, write docker.io/library/null", ErrFormat)
	case strings.ContainsFunc(text, isSpaceOrControl):
		return entry{}, fmt.Errorf("%w: the line %.200q is not an image", ErrFormat, text)
	}
	return entry{text: text}, nil
}

// goReleaserLine reads a line of digests.txt, whose digest has no algorithm.
func goReleaserLine(hex, image string) (entry, error) {
	e := entry{text: image + "@sha256:" + hex}
	if _, err := e.image(); err != nil {
		return entry{}, err
	}
	return e, nil
}

func isSpaceOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// isBareDigest reports whether text is a digest alone.
func isBareDigest(text string) bool {
	return isSHA256(text) || isSHA256("sha256:"+text) || strings.HasPrefix(text, "sha512:")
}

func isSHA256(digest string) bool {
	hex, ok := strings.CutPrefix(digest, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// goReleaser reads artifacts.json. Its images have types such as "Docker Image",
// "Published Docker Image" and "Docker Manifest". An image that was built and not
// pushed has no digest, and stands beside the one that was pushed.
func goReleaser(data []byte) ([]entry, error) {
	root, err := strictjson.ParseExact(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	digests := make(map[string]string) // by name; empty: not pushed
	var names []string
	for artifact := range root.Elems() {
		kind, _ := artifact.Get("type").Str()
		if !strings.Contains(kind, "Docker") {
			continue
		}
		image, _ := artifact.Get("name").Str()
		digest, _ := artifact.Get("extra").Get("Digest").Str()
		before, known := digests[image]
		switch {
		case !known:
			names = append(names, image)
		case before != "" && digest != "" && before != digest:
			return nil, fmt.Errorf("%w: artifacts.json has %.100q and %.100q of %.200q", ErrConflict, before, digest, image)
		}
		if !known || digest != "" {
			digests[image] = digest
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: an array that names no image of GoReleaser's artifacts.json", ErrFormat)
	}
	var all []entry
	for _, image := range names {
		digest := digests[image]
		if digest == "" {
			return nil, fmt.Errorf("%w: artifacts.json has no digest of %.200q; release without --snapshot and --skip=publish", ErrNoDigest, image)
		}
		e := entry{text: image + "@" + digest}
		if _, err := e.image(); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// buildKit reads a metadata file: the names in image.name, and the digest in
// containerimage.digest.
func buildKit(data []byte) ([]entry, error) {
	targets, err := buildkit.Targets(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var all []entry
	for _, t := range targets {
		digest, err := targetDigest(t)
		if err != nil {
			return nil, err
		}
		names, _ := t.Value.Get("image.name").Str()
		if names == "" {
			return nil, fmt.Errorf("%w: the metadata file does not name the image%s; build it with --tag", ErrNoDigest, ofTarget(t))
		}
		for named := range strings.SplitSeq(names, ",") {
			named, other, pinned := strings.Cut(named, "@")
			if pinned && other != digest {
				return nil, fmt.Errorf("%w: the image %.200q is named with another digest than %s", ErrConflict, named, digest)
			}
			e := entry{text: named + "@" + digest, target: t.Name}
			if _, err := e.image(); err != nil {
				return nil, err
			}
			all = append(all, e)
		}
	}
	return all, nil
}

func targetDigest(t buildkit.Target) (string, error) {
	digest, _ := t.Value.Get("containerimage.digest").Str()
	config, _ := t.Value.Get("containerimage.config.digest").Str()
	described, isDescribed := t.Value.Get("containerimage.descriptor").Get("digest").Str()
	switch {
	case !isSHA256(digest):
		return "", fmt.Errorf("%w: the metadata file has no sha256 digest of the image%s; build it with --push", ErrNoDigest, ofTarget(t))
	case digest == config:
		return "", fmt.Errorf("%w: the digest of the image%s is that of its configuration; build it with --push", ErrNoDigest, ofTarget(t))
	case isDescribed && described != digest:
		return "", fmt.Errorf("%w: the metadata file has them%s", ErrConflict, ofTarget(t))
	}
	return digest, nil
}

func ofTarget(t buildkit.Target) string {
	if t.Name == "" {
		return ""
	}
	return fmt.Sprintf(" of target %.100q", t.Name)
}
