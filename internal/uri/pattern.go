package uri

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/segments"
)

// wildcard stands for a whole segment, twice for any number of segments.
const wildcard = "*"

// HasWildcard reports whether text is a pattern that matches more than itself.
func HasWildcard(text string) bool { return strings.Contains(text, wildcard) }

// Pattern matches text: exactly, or by whole segments. An @ divides it into two parts.
type Pattern struct {
	text  string
	parts []segments.Pattern
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// ParseExact reads text that has no wildcards.
func ParseExact(text string) (Pattern, error) {
	if HasWildcard(text) {
		return Pattern{}, fmt.Errorf("%.200q holds *, and is compared exactly", text)
	}
	return Pattern{text: text}, nil
}

// ParsePattern reads text of segments.
func ParsePattern(text string) (Pattern, error) {
	if !HasWildcard(text) {
		return Pattern{text: text}, nil
	}
	p := Pattern{text: text}
	for part := range strings.SplitSeq(text, "@") {
		parsed, err := segments.Parse(part)
		if err != nil {
			return Pattern{}, err
		}
		p.parts = append(p.parts, parsed)
	}
	if len(p.parts) > 2 {
		return Pattern{}, fmt.Errorf("%.200q has more than one @", text)
	}
	return p, nil
}

// ParseOwned reads a pattern of URIs, whose beginning names an owner.
func ParseOwned(text string) (Pattern, error) {
	p, err := ParsePattern(text)
	if err != nil {
		return p, err
	}
	if strings.Count(text, "@") > 1 {
		return Pattern{}, fmt.Errorf("%.200q has more than one @", shown(text))
	}
	whole, _, _ := strings.Cut(text, "@")
	u, err := url.Parse(whole)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
		return Pattern{}, fmt.Errorf("%.200q is not a URI with scheme and host", shown(text))
	}
	if p.parts == nil {
		return p, nil
	}
	if !p.isOwned() {
		return Pattern{}, fmt.Errorf("%.200q has a wildcard in scheme, host or first segment, so it would match what belongs to anyone", shown(text))
	}
	return p, nil
}

// isOwned reports whether scheme, host and first segment stand without a wildcard.
func (p Pattern) isOwned() bool {
	fixed := p.parts[0]
	return len(fixed) >= 4 && !fixed[:4].HasWildcard() && fixed[3] != ""
}

// Match reports whether the pattern matches all of a text.
func (p Pattern) Match(text string) bool {
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

// List are texts and patterns. A text that is one of them, or matches one, is in the list.
type List struct {
	exact    map[string]bool
	patterns []Pattern
	unfit    string // characters that no wildcard stands for, here
}

// Characters that no wildcard stands for: in the URI of a source, and in a ref. A ref
// with one of the latter is not a ref of git, or ends in a ref of another part.
const (
	unfitSource = "?#:@ "
	unfitRef    = "?:@~^[* "
)

// Sources is a List of sources without refs.
func Sources(texts []string) List { return newList(texts, unfitSource) }

// Refs is a List of refs.
func Refs(texts []string) List { return newList(texts, unfitRef) }

// Builders is a List of builder IDs.
func Builders(texts []string) List { return newList(texts, "") }

// newList reads texts that were checked. A malformed pattern matches nothing.
func newList(texts []string, unfit string) List {
	l := List{unfit: unfit}
	for _, text := range texts {
		if !HasWildcard(text) {
			if l.exact == nil {
				l.exact = make(map[string]bool, len(texts))
			}
			l.exact[text] = true
		} else if p, err := ParsePattern(text); err == nil {
			l.patterns = append(l.patterns, p)
		}
	}
	return l
}

// IsEmpty reports whether the list matches nothing.
func (l List) IsEmpty() bool { return len(l.exact)+len(l.patterns) == 0 }

// Has reports whether a text is in the list, or matches one of its patterns.
func (l List) Has(text string) bool {
	if l.exact[text] {
		return true
	}
	for _, p := range l.patterns {
		if p.Match(text) && (l.unfit == "" || p.fits(text, l.unfit)) {
			return true
		}
	}
	return false
}

// fits reports whether what a wildcard stands for has no empty segment and none of the
// unfit characters. The pattern matches the text.
func (p Pattern) fits(text, unfit string) bool {
	_, path, is := strings.Cut(text, "://")
	if !is {
		path = text
	}
	open := text[min(strings.Index(p.text, wildcard), len(text)):]
	return !strings.Contains(path, "//") && !strings.ContainsAny(open, unfit)
}
