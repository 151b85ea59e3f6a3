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

// Bounds of a Dockerfile.
const (
	maxDockerfile      = 1 << 20 // bytes
	maxDockerfileWord  = 4096    // bytes of a word, after expansion
	maxDockerfileLines = 20_000
	maxDockerImages    = 1000
)

// DockerfileOptions say how a Dockerfile was built.
type DockerfileOptions struct {
	// Args are the build arguments, those that the builder sets itself
	// (TARGETPLATFORM, BUILDPLATFORM and others) among them. Arguments that the
	// Dockerfile does not declare before its first FROM change nothing here.
	// They are not recorded. Nil: none.
	Args map[string]string
	// Target is the name or number of the stage that was built. Empty: the
	// last one.
	Target string
	// Resolve returns the digest ("sha256:…") of an image reference that has
	// none, as it was at the time of the build. Nil: a reference without a
	// digest is an error.
	Resolve func(ctx context.Context, reference string) (digest string, err error)
	// NoFrontend is for builders that do not run the image which the "# syntax"
	// directive names, such as buildah. False: it is one of the dependencies.
	NoFrontend bool
}

// Dockerfile gives the images that the target of a Dockerfile was built from, as
// dependencies: those of FROM, of "COPY --from" and of "RUN --mount=from", in the
// target and in the stages that it needs, and the image of the "# syntax"
// directive. Images that have a digest in the Dockerfile are taken by it, all
// others are resolved. The package URLs are those of BaseImage.
//
// What the Dockerfile downloads in other ways (ADD, RUN) it does not know, nor
// what a build context that was named on the command line stands for.
//
// Errors are ErrOrigin: malformed, out of bounds, what one builder could read in
// another way than another, no such stage, an image that
// cannot be named (a variable that nobody set) or resolved; the error of Resolve
// is wrapped. attest.ErrOptions is for a Resolve that is needed and nil.
//
// Source: Dockerfile reference (docs.docker.com/reference/dockerfile) for
// Dockerfile syntax 1.x.
func Dockerfile(ctx context.Context, text []byte, o DockerfileOptions) (Facts, error) {
	if len(text) > maxDockerfile {
		return Facts{}, fmt.Errorf("%w: a Dockerfile of %d bytes, at most %d are read", ErrOrigin, len(text), maxDockerfile)
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
	platform  string // empty: the builder's choice
	line      int
}

func resolveImages(ctx context.Context, images []usedImage, resolve func(context.Context, string) (string, error)) (Facts, error) {
	if len(images) > maxDockerImages {
		return Facts{}, fmt.Errorf("%w: a Dockerfile of more than %d images", ErrOrigin, maxDockerImages)
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
		return "", fmt.Errorf("%w: Dockerfile line %d: the image %s has no digest; give DockerfileOptions.Resolve", attest.ErrOptions, image.line, text)
	}
	digest, err := resolve(ctx, image.reference)
	if err != nil {
		return "", fmt.Errorf("%w: Dockerfile line %d: resolving %s: %w", ErrOrigin, image.line, text, err)
	}
	if !isSHA256(digest) {
		return "", fmt.Errorf("%w: Dockerfile line %d: %s was resolved to something that is no sha256 digest", ErrOrigin, image.line, text)
	}
	return digest, nil
}

// dockerfile collects the stages of a Dockerfile.
type dockerfile struct {
	escape byte
	args   map[string]string // given from outside
	global map[string]string // declared before the first FROM
	stages []stage
}

// stage is one FROM and what it needs.
type stage struct {
	name string
	base source
	from []source // of COPY --from and RUN --mount
}

// source is where a stage takes files from.
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
		return fmt.Errorf("%.20q is no instruction", keyword)
	case keyword == "ONBUILD" && (len(flags) > 0 || len(rest) == 0 || !known(strings.ToUpper(rest[0]))):
		return fmt.Errorf("ONBUILD of no instruction")
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

// known reports whether an instruction is one that builders know. What they make of
// others, or how they part a word that looks like another one, nobody knows here.
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

// splitFlags separates the words that begin with two dashes at the beginning. Quotes
// and escapes could make another name of what looks like one, and bytes that are
// not ASCII could part words: only a value may be in quotes, as a whole.
func (d *dockerfile) splitFlags(words []string) (flags []flag, rest []string, err error) {
	for i, w := range words {
		text, isFlag := strings.CutPrefix(w, "--")
		if !isFlag {
			return flags, words[i:], nil
		}
		name, value, _ := strings.Cut(text, "=")
		if !flagName().MatchString(name) || strings.IndexByte(w, d.escape) >= 0 || strings.ContainsFunc(w, func(r rune) bool { return r > unicode.MaxASCII }) {
			return nil, nil, fmt.Errorf("the flag %.50q is not certain", w)
		}
		flags = append(flags, flag{name, unquote(value)})
	}
	return flags, nil, nil
}

// arg declares arguments: what is given from outside stands over the default.
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

// lookup finds a variable for FROM. The arguments about platforms need no
// declaration.
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
		return fmt.Errorf("FROM of nothing: %.100q is empty", rest[0])
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
			return fmt.Errorf("two stages are called %.50q", s.name)
		}
	}
	d.stages = append(d.stages, s)
	return nil
}

// copyFrom notes COPY --from=X.
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

// mountFrom notes RUN --mount=…,from=X,….
func (d *dockerfile) mountFrom(flags []flag, line int) error {
	for _, flag := range flags {
		if flag.name != "mount" {
			continue
		}
		for option := range strings.SplitSeq(flag.value, ",") {
			key, value, _ := strings.Cut(unquote(option), "=")
			value = unquote(value)
			if strings.ContainsAny(key+value, `"'`) {
				return fmt.Errorf("the option %.50q of a mount is not certain", option)
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

// need notes what the current stage takes files from. There, variables are not
// expanded by builders.
func (d *dockerfile) need(text string, line int) error {
	if text == "" || strings.ContainsAny(text, "$\"'") {
		return fmt.Errorf("files from %.100q, which names neither a stage nor an image", text)
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

// stageByName finds a stage among the first n by its name, which is
// case-insensitive; -1 where there is none.
func (d *dockerfile) stageByName(name string, n int) int {
	for i := range n {
		if d.stages[i].name != "" && d.stages[i].name == strings.ToLower(name) {
			return i
		}
	}
	return -1
}

// stageOf finds a stage by name or number.
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

// imagesOf lists the images that a stage needs, and the stages that it needs, in
// the order of the Dockerfile.
func (d *dockerfile) imagesOf(target string) ([]usedImage, error) {
	if len(d.stages) == 0 {
		return nil, fmt.Errorf("there is no FROM")
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

// needs lists the stages that one stage needs, and stores its images. FROM can
// only be of an earlier stage, and by its name alone.
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
