// Package segments matches text with patterns of whole segments between slashes.
package segments

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Wildcards. They stand for whole segments.
const (
	one  = "*"
	many = "**"
)

// Pattern matches text.
type Pattern []string

// Parse reads a pattern: * is one whole segment, ** any number of them, at the end at
// least one. Text without wildcards matches itself.
func Parse(text string) (Pattern, error) {
	p := Pattern(strings.Split(text, "/"))
	wide := 0
	for _, s := range p {
		switch {
		case s == many:
			wide++
		case s != one && strings.Contains(s, one):
			return nil, fmt.Errorf("%.200q, which has * in a segment; it stands for a whole one", text)
		}
	}
	if wide > 1 {
		return nil, fmt.Errorf("%.200q, which has ** twice", text)
	}
	return p, nil
}

// HasWildcard reports whether the pattern matches more than its own text.
func (p Pattern) HasWildcard() bool { return slices.Contains(p, one) || slices.Contains(p, many) }

// Separators are what some who read a segment may take for the end of it.
const Separators = `/\%`

// Match reports whether the pattern matches all of a text. No wildcard stands for a way
// up, nor for a segment with a control character or one of the unfit characters, escaped or
// not. ** stands for empty segments, but not at the end.
func (p Pattern) Match(text, unfit string) bool {
	plain := func(segment string) bool { return isPlain(segment, unfit) }
	all := strings.Split(text, "/")
	at := slices.Index(p, many)
	if at < 0 {
		return len(p) == len(all) && matchEach(p, all, plain)
	}
	tail := p[at+1:]
	rest := len(all) - at - len(tail)
	if rest < 0 || len(tail) == 0 && (rest == 0 || all[len(all)-1] == "") {
		return false
	}
	return !slices.ContainsFunc(all[at:at+rest], func(s string) bool { return !plain(s) }) &&
		matchEach(p[:at], all[:at], plain) && matchEach(tail, all[at+rest:], plain)
}

func matchEach(p, all []string, plain func(string) bool) bool {
	for i, s := range all {
		if p[i] != s && (p[i] != one || s == "" || !plain(s)) {
			return false
		}
	}
	return true
}

// isPlain reports whether a segment names something below what stands before it. Browsers
// leave control characters out, which makes a way up of others.
func isPlain(segment, unfit string) bool {
	text, err := url.PathUnescape(segment)
	return err == nil && text != "." && text != ".." && !strings.ContainsAny(text, unfit) && !strings.ContainsFunc(text, unicode.IsControl)
}
