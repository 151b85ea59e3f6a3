package provenance

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// Limits of a Dockerfile.
const (
	maxDockerfile      = 1 << 20 // bytes
	maxDockerfileWord  = 4096    // bytes of a word, after expansion
	maxDockerfileLines = 20_000
	maxDockerImages    = 1000
)

// DockerfileOptions say how an image was built from a Dockerfile.
type DockerfileOptions struct {
	// Args are the build arguments, with those that the builder sets itself, such
	// as TARGETPLATFORM and BUILDPLATFORM. Arguments have an effect if the
	// Dockerfile declares them before its first FROM. They are not recorded.
	// Nil: none.
	Args map[string]string
	// Target is the name or number of the stage that was built. Empty: the last
	// stage.
	Target string
	// Resolve returns the digest ("sha256:…") that an image reference without a
	// digest had at the time of the build. Nil: such a reference is an error.
	Resolve func(ctx context.Context, reference string) (digest string, err error)
	// NoFrontend leaves out the image of the "# syntax" directive, for builders
	// that do not run it, such as buildah. False: the image is a dependency.
	NoFrontend bool
}

// Dockerfile returns the images that a target of a Dockerfile was built from, as
// dependencies. The package URLs are those of BaseImage.
//
//   - The images are those of FROM, "COPY --from" and "RUN --mount=from", in the
//     target and the stages that it needs, and the one of the "# syntax" directive.
//   - An image without a digest in the Dockerfile is resolved with Resolve.
//   - Not found are downloads by ADD and RUN, and build contexts that were named on
//     the command line.
//
// Errors are attest.ErrOptions if Resolve is needed and nil, and otherwise
// ErrOrigin:
//
//   - The Dockerfile is malformed, or exceeds 1 MiB, 20,000 lines or 1000 images.
//   - Builders could read it in different ways.
//   - The stage does not exist, or a variable in an image's name is not set.
//   - Resolve fails. Its error is wrapped.
//
// Source: Dockerfile reference (docs.docker.com/reference/dockerfile) for
// Dockerfile syntax 1.x.
func Dockerfile(ctx context.Context, text []byte, o DockerfileOptions) (Facts, error) {
	if len(text) > maxDockerfile {
		return Facts{}, fmt.Errorf("%w: the Dockerfile has %d bytes, the limit is %d", ErrOrigin, len(text), maxDockerfile)
	}
	lines, directives, err := dockerfileLines(string(text))
	if err != nil {
		return Facts{}, err
	}
	d := &dockerfile{escape: directives.escape, args: o.Args, global: make(map[string]string)}
	for _, l := range lines {
		if err := d.instruction(l); err != nil {
			return Facts{}, fmt.Errorf("%w: Dockerfile line %d: %w", ErrOrigin, l.number, err)
		}
	}
	images, err := d.imagesOf(o.Target)
	if err != nil {
		return Facts{}, fmt.Errorf("%w: Dockerfile: %w", ErrOrigin, err)
	}
	if directives.syntax != "" && !o.NoFrontend {
		images = append([]usedImage{{reference: directives.syntax, line: 1}}, images...)
	}
	return resolveImages(ctx, images, o.Resolve)
}

// usedImage is an image that a stage needs.
type usedImage struct {
	reference string
	platform  string // empty: the builder chooses
	line      int
}

func resolveImages(ctx context.Context, images []usedImage, resolve func(context.Context, string) (string, error)) (Facts, error) {
	if len(images) > maxDockerImages {
		return Facts{}, fmt.Errorf("%w: the Dockerfile has more than %d images", ErrOrigin, maxDockerImages)
	}
	var all []predicate.ResourceDescriptor
	known := make(map[string]string)
	for _, image := range images {
		parsed, err := parseImage(image.reference)
		if err != nil {
			return Facts{}, fmt.Errorf("Dockerfile line %d: %w", image.line, err)
		}
		if parsed.digest == "" && known[image.reference] == "" {
			digest, err := resolveImage(ctx, image, resolve)
			if err != nil {
				return Facts{}, err
			}
			known[image.reference] = digest
		}
		if parsed.digest == "" {
			parsed.digest = known[image.reference]
		}
		all = append(all, parsed.dependency(image.platform))
	}
	return Facts{Dependencies: union(nil, all)}, nil
}

func resolveImage(ctx context.Context, image usedImage, resolve func(context.Context, string) (string, error)) (string, error) {
	text := fmt.Sprintf("%.200q", image.reference)
	if resolve == nil {
		return "", fmt.Errorf("%w: Dockerfile line %d: the image %s has no digest, and DockerfileOptions.Resolve is not set", attest.ErrOptions, image.line, text)
	}
	digest, err := resolve(ctx, image.reference)
	if err != nil {
		return "", fmt.Errorf("%w: Dockerfile line %d: resolving %s: %w", ErrOrigin, image.line, text, err)
	}
	if !isSHA256(digest) {
		return "", fmt.Errorf("%w: Dockerfile line %d: Resolve returned another digest than a sha256 for %s", ErrOrigin, image.line, text)
	}
	return digest, nil
}

// dockerfile collects the stages of a Dockerfile.
type dockerfile struct {
	escape byte
	args   map[string]string // DockerfileOptions.Args
	global map[string]string // declared before the first FROM
	stages []stage
}

// stage is one FROM and what it needs.
type stage struct {
	name string
	base source
	from []source // of COPY --from and RUN --mount
}

// source is an image or stage from which a stage takes files.
type source struct {
	text     string
	platform string
	line     int
}

func (d *dockerfile) instruction(l dockerfileLine) error {
	words, _ := dockerfileWords(l.text, d.escape)
	keyword := strings.ToUpper(words[0])
	flags, rest, err := d.splitFlags(words[1:])
	switch {
	case !known(keyword):
		return fmt.Errorf("%.20q is not an instruction", keyword)
	case keyword == "ONBUILD" && (len(flags) > 0 || len(rest) == 0 || !known(strings.ToUpper(rest[0]))):
		return fmt.Errorf("ONBUILD without an instruction")
	case err != nil:
		return err
	case keyword == "FROM":
		return d.from(flags, rest, l.number)
	case len(d.stages) == 0:
		if keyword != "ARG" {
			return fmt.Errorf("%.20q before the first FROM", keyword)
		}
		return d.arg(rest)
	case keyword == "COPY":
		return d.copyFrom(flags, l.number)
	case keyword == "RUN":
		return d.mountFrom(flags, l.number)
	}
	return nil
}

// known reports whether builders know an instruction. Builders differ in how they read
// others.
func known(keyword string) bool {
	switch keyword {
	case "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
		"ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR":
		return true
	}
	return false
}

// flag is --NAME=VALUE at the beginning of an instruction.
type flag struct{ name, value string }

var flagName = lazy.Regexp(`^[a-z][a-z0-9-]*$`)

// splitFlags separates the words at the beginning that begin with two dashes. A whole
// value may be in quotes. Other quotes, escapes and bytes that are not ASCII are
// refused, because builders could read another flag.
func (d *dockerfile) splitFlags(words []string) (flags []flag, rest []string, err error) {
	for i, w := range words {
		text, isFlag := strings.CutPrefix(w, "--")
		if !isFlag {
			return flags, words[i:], nil
		}
		name, value, _ := strings.Cut(text, "=")
		if !flagName().MatchString(name) || strings.IndexByte(w, d.escape) >= 0 || strings.ContainsFunc(w, func(r rune) bool { return r > unicode.MaxASCII }) {
			return nil, nil, fmt.Errorf("builders differ in how they read the flag %.50q", w)
		}
		flags = append(flags, flag{name, unquote(value)})
	}
	return flags, nil, nil
}

// arg declares arguments. A value of DockerfileOptions.Args overrides the default.
func (d *dockerfile) arg(declarations []string) error {
	for _, declaration := range declarations {
		name, value, hasDefault := strings.Cut(declaration, "=")
		given, ok := d.args[name]
		switch {
		case ok:
			d.global[name] = given
		case hasDefault:
			expanded, err := expandWord(value, d.escape, d.lookup)
			if err != nil {
				return err
			}
			d.global[name] = expanded
		}
	}
	return nil
}

// lookup finds a variable for FROM. The arguments of platforms need no declaration.
func (d *dockerfile) lookup(name string) (string, bool) {
	if value, ok := d.global[name]; ok {
		return value, true
	}
	switch name {
	case "TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT":
		value, ok := d.args[name]
		return value, ok
	}
	return "", false
}

// from begins a stage: FROM [--platform=P] IMAGE [AS NAME].
func (d *dockerfile) from(flags []flag, rest []string, line int) error {
	if len(rest) != 1 && (len(rest) != 3 || !strings.EqualFold(rest[1], "AS")) {
		return fmt.Errorf("malformed FROM")
	}
	image, err := expandWord(rest[0], d.escape, d.lookup)
	if err != nil {
		return err
	}
	if image == "" {
		return fmt.Errorf("the image %.100q of FROM is empty", rest[0])
	}
	s := stage{base: source{text: image, line: line}}
	for _, flag := range flags {
		if flag.name != "platform" {
			return fmt.Errorf("unknown flag %.50q of FROM", flag.name)
		}
		if s.base.platform, err = expandWord(flag.value, d.escape, d.lookup); err != nil {
			return err
		}
	}
	if len(rest) == 3 {
		s.name = strings.ToLower(rest[2])
		if d.stageByName(s.name, len(d.stages)) >= 0 {
			return fmt.Errorf("two stages have the name %.50q", s.name)
		}
	}
	d.stages = append(d.stages, s)
	return nil
}

// copyFrom records COPY --from=X.
func (d *dockerfile) copyFrom(flags []flag, line int) error {
	for _, flag := range flags {
		if flag.name == "from" {
			if err := d.need(flag.value, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountFrom records RUN --mount=…,from=X,….
func (d *dockerfile) mountFrom(flags []flag, line int) error {
	for _, flag := range flags {
		if flag.name != "mount" {
			continue
		}
		for option := range strings.SplitSeq(flag.value, ",") {
			key, value, _ := strings.Cut(unquote(option), "=")
			value = unquote(value)
			if strings.ContainsAny(key+value, `"'`) {
				return fmt.Errorf("builders differ in how they read the mount option %.50q", option)
			}
			if !strings.EqualFold(strings.TrimSpace(key), "from") {
				continue
			}
			if err := d.need(value, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// need records a source of the current stage. Builders do not expand variables there.
func (d *dockerfile) need(text string, line int) error {
	if text == "" || strings.ContainsAny(text, "$\"'") {
		return fmt.Errorf("%.100q names neither a stage nor an image to take files from", text)
	}
	last := &d.stages[len(d.stages)-1]
	last.from = append(last.from, source{text: text, line: line})
	return nil
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// stageByName returns the index of the stage of a name among the first n, or -1. Names
// are case-insensitive.
func (d *dockerfile) stageByName(name string, n int) int {
	for i := range n {
		if d.stages[i].name != "" && d.stages[i].name == strings.ToLower(name) {
			return i
		}
	}
	return -1
}

// stageOf returns the index of a stage by its name or number, or -1.
func (d *dockerfile) stageOf(text string) (int, error) {
	if i := d.stageByName(text, len(d.stages)); i >= 0 {
		return i, nil
	}
	i, err := strconv.Atoi(text)
	if err != nil {
		return -1, nil
	}
	if i < 0 || i >= len(d.stages) {
		return -1, fmt.Errorf("there is no stage %d", i)
	}
	return i, nil
}

// imagesOf returns the images that a stage and the stages which it needs are built from,
// in the order of the Dockerfile.
func (d *dockerfile) imagesOf(target string) ([]usedImage, error) {
	if len(d.stages) == 0 {
		return nil, fmt.Errorf("the Dockerfile has no FROM")
	}
	at := len(d.stages) - 1
	if target != "" {
		var err error
		if at, err = d.stageOf(target); err != nil || at < 0 {
			return nil, fmt.Errorf("there is no stage %.50q", target)
		}
	}
	needed := make([]bool, len(d.stages))
	needed[at] = true
	images := make([][]usedImage, len(d.stages))
	for queue := []int{at}; len(queue) > 0; {
		i := queue[0]
		queue = queue[1:]
		more, err := d.needs(i, &images[i])
		if err != nil {
			return nil, err
		}
		for _, n := range more {
			if !needed[n] {
				needed[n] = true
				queue = append(queue, n)
			}
		}
	}
	var all []usedImage
	for _, list := range images {
		all = append(all, list...)
	}
	return all, nil
}

// needs returns the stages that one stage needs, and stores its images. FROM can name
// an earlier stage by its name, and not by its number.
func (d *dockerfile) needs(i int, images *[]usedImage) (stages []int, err error) {
	s := d.stages[i]
	if n := d.stageByName(s.base.text, i); n >= 0 {
		stages = append(stages, n)
	} else if s.base.text != "scratch" {
		*images = append(*images, usedImage{s.base.text, s.base.platform, s.base.line})
	}
	for _, from := range s.from {
		n, err := d.stageOf(from.text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", from.line, err)
		case n >= 0:
			stages = append(stages, n)
		case from.text != "scratch":
			*images = append(*images, usedImage{from.text, from.platform, from.line})
		}
	}
	return stages, nil
}
