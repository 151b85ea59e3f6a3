package sigstore

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Wildcards. They stand for whole segments.
const (
	one  = "*"
	many = "**"
)

// pattern matches text: exactly, or by whole segments. An @ divides it into two parts.
type pattern struct {
	text  string
	parts [][]string
}

func (p pattern) String() string { return p.text }

// parseExact reads text that has no wildcards.
func parseExact(text string) (pattern, error) {
	if strings.Contains(text, one) {
		return pattern{}, fmt.Errorf("%.200q holds *, and is compared exactly", text)
	}
	return pattern{text: text}, nil
}

// parsePattern reads text of segments.
func parsePattern(text string) (pattern, error) {
	if !strings.Contains(text, one) {
		return pattern{text: text}, nil
	}
	p := pattern{text: text}
	for part := range strings.SplitSeq(text, "@") {
		segments := strings.Split(part, "/")
		wide := 0
		for _, s := range segments {
			switch {
			case s == many:
				wide++
			case s != one && strings.Contains(s, one):
				return pattern{}, fmt.Errorf("%.200q has * in a segment; it stands for a whole one", text)
			}
		}
		if wide > 1 {
			return pattern{}, fmt.Errorf("%.200q has ** twice", text)
		}
		p.parts = append(p.parts, segments)
	}
	if len(p.parts) > 2 {
		return pattern{}, fmt.Errorf("%.200q has more than one @", text)
	}
	return p, nil
}

// parseURI reads a pattern of URIs, whose beginning names an owner.
func parseURI(text string) (pattern, error) {
	p, err := parsePattern(text)
	if err != nil {
		return p, err
	}
	if strings.Count(text, "@") > 1 {
		return pattern{}, fmt.Errorf("%.200q has more than one @", text)
	}
	whole, _, _ := strings.Cut(text, "@")
	u, err := url.Parse(whole)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
		return pattern{}, fmt.Errorf("%.200q is not a URI with scheme and host", text)
	}
	if p.parts == nil {
		return p, nil
	}
	if fixed := p.parts[0]; len(fixed) < 4 || slices.ContainsFunc(fixed[:4], func(s string) bool { return strings.Contains(s, one) }) || fixed[3] == "" {
		return pattern{}, fmt.Errorf("%.200q has a wildcard in scheme, host or first segment, so it would match what belongs to anyone", text)
	}
	return p, nil
}

// matches reports whether the pattern matches all of a text.
func (p pattern) matches(text string) bool {
	if p.parts == nil {
		return text == p.text && strings.Count(text, "@") <= 1
	}
	if text == "" {
		return false
	}
	parts := strings.Split(text, "@")
	if len(parts) != len(p.parts) {
		return false
	}
	for i, part := range parts {
		unfit := separators
		if i == 0 && strings.Contains(part, "://") {
			unfit += "?#" // what follows is not a path
		}
		if !matchSegments(p.parts[i], strings.Split(part, "/"), unfit) {
			return false
		}
	}
	return true
}

// separators are what some who read a segment may take for the end of it.
const separators = `/\%`

// matchSegments matches whole segments. ** stands for any number, at the end for one at
// least. Neither wildcard stands for a way up, nor for a segment with one of the unfit
// characters, escaped or not. ** stands for empty segments, but not at the end.
func matchSegments(p, segments []string, unfit string) bool {
	at := slices.Index(p, many)
	if at < 0 {
		return len(p) == len(segments) && matchEach(p, segments, unfit)
	}
	tail := p[at+1:]
	rest := len(segments) - at - len(tail)
	if rest < 0 || len(tail) == 0 && (rest == 0 || segments[len(segments)-1] == "") {
		return false
	}
	for _, s := range segments[at : at+rest] {
		if !isPlain(s, unfit) {
			return false
		}
	}
	return matchEach(p[:at], segments[:at], unfit) && matchEach(tail, segments[at+rest:], unfit)
}

func matchEach(p, segments []string, unfit string) bool {
	for i, s := range segments {
		if p[i] != s && (p[i] != one || s == "" || !isPlain(s, unfit)) {
			return false
		}
	}
	return true
}

// isPlain reports whether a segment names something below what stands before it.
func isPlain(segment, unfit string) bool {
	text, err := url.PathUnescape(segment)
	return err == nil && text != "." && text != ".." && !strings.ContainsAny(text, unfit)
}

var errManySubjects = errors.New("it has several signatures, and a certificate makes one")
