package steplayout

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/in-toto/in-toto-golang/in_toto"
)

// Bounds of names and paths.
const (
	MaxNameBytes = 256
	MaxPathBytes = 4096
)

// Rule is an artifact rule of a step that has been checked (in-toto specification v1.0,
// section 4.3.3).
type Rule struct {
	Words   []string // as it is written
	Kind    string   // in lower case
	Pattern string
	// Of a match rule: prefixes without a slash at their ends, or empty.
	To, From string
	Artifact string // "materials" or "products"
	Step     string
}

// ParseRule refuses what in-toto-golang would panic on, warn about or pass over:
//
//   - empty rules
//   - malformed patterns
//   - a MATCH with something other than materials or products
func ParseRule(rule []string) (Rule, error) {
	if len(rule) == 0 {
		return Rule{}, errors.New("it is empty")
	}
	words, err := in_toto.UnpackRule(rule)
	if err != nil {
		return Rule{}, errors.New("its words are in none of the forms of in-toto")
	}
	p := Rule{
		Words: rule, Kind: words["type"], Pattern: words["pattern"], Artifact: words["dstType"], Step: words["dstName"],
		To: strings.TrimSuffix(words["srcPrefix"], "/"), From: strings.TrimSuffix(words["dstPrefix"], "/"),
	}
	if err := checkPattern(p.Pattern); err != nil {
		return p, err
	}
	if p.Kind != "match" {
		return p, nil
	}
	if p.Artifact != "materials" && p.Artifact != "products" {
		return p, errors.New("it matches neither materials nor products")
	}
	for _, prefix := range []string{p.To, p.From} {
		if prefix != "" {
			err = errors.Join(err, CheckPath(prefix))
		}
	}
	return p, err
}

// holdsParameter reports whether a pattern holds what in-toto replaces before it applies a
// rule: a name in braces (in-toto-golang, SubstituteParameters).
func holdsParameter(pattern string) bool {
	for {
		_, rest, found := strings.Cut(pattern, "{")
		if !found {
			return false
		}
		name, _, closed := strings.Cut(rest, "}")
		if closed && name != "" && strings.Trim(name, nameBytes) == "" {
			return true
		}
		pattern = rest
	}
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// checkPattern refuses patterns that in-toto-golang cannot read: it passes over them
// with a warning, and a DISALLOW would have no effect. It also refuses patterns that no
// artifact's name can match because they are not such a path.
func checkPattern(pattern string) error {
	switch {
	case len(pattern) > MaxPathBytes || !fs.ValidPath(pattern) || pattern == ".":
		return errors.New("its pattern is not a relative path without empty parts, \".\" and \"..\"")
	case strings.Contains(pattern, `\`) || HasControl(pattern):
		return errors.New("its pattern holds a backslash or a control character")
	case holdsParameter(pattern):
		return errors.New("its pattern holds a parameter to be substituted")
	}
	for rest := []rune(pattern); len(rest) > 0; {
		if rest[0] != '[' {
			rest = rest[1:]
			continue
		}
		var ok bool
		if rest, ok = skipSet(rest[1:]); !ok {
			return errors.New("its pattern has a malformed set of characters")
		}
	}
	return nil
}

// skipSet passes over "[!]{char|char-char}]", whose first bracket has been read, and
// returns what follows.
func skipSet(rest []rune) ([]rune, bool) {
	if len(rest) > 0 && rest[0] == '!' {
		rest = rest[1:]
	}
	for n := 0; len(rest) > 0; n++ {
		if rest[0] == ']' && n > 0 {
			return rest[1:], true
		}
		if rest[0] == ']' || rest[0] == '-' {
			return nil, false
		}
		rest = rest[1:]
		if len(rest) > 1 && rest[0] == '-' {
			if rest[1] == ']' || rest[1] == '-' {
				return nil, false
			}
			rest = rest[2:]
		}
	}
	return nil, false
}

// text is a rule for an error.
func text(words []string) string { return fmt.Sprintf("%.200q", strings.Join(words, " ")) }

// CheckPath refuses every spelling of a path but one. in-toto-golang cleans paths before
// it compares them: the entries "./a" and "a" of one link would overwrite each other.
func CheckPath(path string) error {
	switch {
	case len(path) > MaxPathBytes:
		return fmt.Errorf("the path %s is too long", Printable(path))
	case !fs.ValidPath(path) || path == ".":
		return fmt.Errorf("%s is not a relative path without empty parts, \".\" and \"..\"", Printable(path))
	case strings.Contains(path, `\`) || HasControl(path):
		return fmt.Errorf("the path %s holds a backslash or a control character", Printable(path))
	}
	return nil
}

// HasControl reports whether text holds control characters.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Printable makes text from outside fit for an error: short, and on one line.
func Printable(text string) string { return fmt.Sprintf("%.300q", text) }
