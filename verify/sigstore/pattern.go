package sigstore

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/segments"
)

// wildcard stands for a whole segment.
const wildcard = "*"

// pattern matches text: exactly, or by whole segments. An @ divides it into two parts.
type pattern struct {
	text  string
	parts []segments.Pattern
}

func (p pattern) String() string { return p.text }

// parseExact reads text that has no wildcards.
func parseExact(text string) (pattern, error) {
	if strings.Contains(text, wildcard) {
		return pattern{}, fmt.Errorf("%.200q holds *, and is compared exactly", text)
	}
	return pattern{text: text}, nil
}

// parsePattern reads text of segments.
func parsePattern(text string) (pattern, error) {
	if !strings.Contains(text, wildcard) {
		return pattern{text: text}, nil
	}
	p := pattern{text: text}
	for part := range strings.SplitSeq(text, "@") {
		parsed, err := segments.Parse(part)
		if err != nil {
			return pattern{}, err
		}
		p.parts = append(p.parts, parsed)
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
	if fixed := p.parts[0]; len(fixed) < 4 || fixed[:4].HasWildcard() || fixed[3] == "" {
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
		unfit := segments.Separators
		if i == 0 && strings.Contains(part, "://") {
			unfit += "?#" // what follows is not a path
		}
		if !p.parts[i].Match(part, unfit) {
			return false
		}
	}
	return true
}

var errManySubjects = errors.New("it has several signatures, and a certificate makes one")
