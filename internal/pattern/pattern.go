// Package pattern matches repositories with patterns of whole path segments, and
// decides which of several patterns that match is the most specific.
package pattern

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
)

// ErrPattern is wrapped by every error of Parse.
var ErrPattern = errors.New("malformed pattern")

// Wildcards. They stand for whole segments only.
const (
	one  = "*"
	many = "**"
)

// maxSegments bounds a pattern; a repository's name has at most 255 characters.
const maxSegments = 128

// Pattern matches repositories: a registry's host and the segments of a path.
//
//   - "*" is any one segment.
//   - "**" is any number of segments, as in gitignore: at the end at least one, elsewhere
//     also none. A pattern has at most one.
//   - "**" alone matches every repository.
type Pattern struct {
	text     string
	segments []string
	// many is the index of "**", or -1.
	many int
}

// segment is the grammar of one segment of a repository's name. Source: OCI
// Distribution Specification v1.1, "Pulling manifests".
var segment = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)

// Parse reads a pattern. What could never match is refused.
func Parse(text string) (Pattern, error) {
	fail := func(format string, args ...any) (Pattern, error) {
		return Pattern{}, fmt.Errorf("%w %.300q: %s", ErrPattern, text, fmt.Sprintf(format, args...))
	}
	p := Pattern{text: text, segments: strings.Split(text, "/"), many: -1}
	if len(p.segments) > maxSegments {
		return fail("it has more than %d segments", maxSegments)
	}
	for i, s := range p.segments {
		switch {
		case s == many && p.many >= 0:
			return fail("** may stand in it once")
		case s == many:
			p.many = i
		case s == one:
		case s == "":
			return fail("it has an empty segment")
		case strings.Contains(s, one):
			return fail("* stands for a whole segment, so %q matches nothing that it seems to", s)
		case i > 0 && strings.ContainsAny(s, "@:"):
			return fail("it has a tag or digest; patterns are about repositories")
		case i > 0 && !segment.MatchString(s):
			return fail("no repository's name has the segment %q", s)
		}
	}
	if text == many {
		return p, nil
	}
	return p, p.normalise(text)
}

// normalise checks the host, and writes it as references have it.
func (p *Pattern) normalise(text string) error {
	host := p.segments[0]
	fail := func(detail string) error { return fmt.Errorf("%w %.300q: %s", ErrPattern, text, detail) }
	switch {
	case host == many || host == one:
		return fail("the registry must be named, as in registry.example/**")
	case len(p.segments) == 1:
		return fail("it names a registry alone; all of its repositories are " + host + "/**")
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return fail("it names no registry; those of Docker Hub are written index.docker.io/library/nginx")
	case host != strings.ToLower(host):
		return fail("hosts are written in lower case")
	}
	registry, err := name.NewRegistry(host, name.StrictValidation)
	if err != nil {
		return fail("the registry is malformed")
	}
	if !isASCII(registry.RegistryStr()) {
		return fail("the registry is not ASCII; write it as the DNS has it, xn--…")
	}
	p.segments[0] = canonicalHost(registry.RegistryStr())
	if p.segments[0] == name.DefaultRegistry && len(p.segments) == 2 && p.many < 0 {
		return fail("repositories of Docker Hub have two segments; that of an official image is index.docker.io/library/nginx")
	}
	return nil
}

// canonicalHost writes a registry in one way. Hosts have no case, and a dot at the end
// says nothing. 443 is the port of HTTPS, and ports do not begin with 0. Docker Hub has
// several names.
func canonicalHost(host string) string {
	host, port := strings.ToLower(host), ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	host = strings.TrimSuffix(host, ".")
	if ip, is := address(strings.Trim(host, "[]")); is {
		if host = ip.Unmap().String(); ip.Unmap().Is6() {
			host = "[" + host + "]"
		}
	}
	if port = strings.TrimLeft(port, "0"); port != "" && port != "443" {
		return host + ":" + port
	}
	switch host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return name.DefaultRegistry
	}
	return host
}

// address parses an IP address. Names, which most hosts are, are told from it first:
// the error of parsing one costs more than looking at it.
func address(host string) (netip.Addr, bool) {
	isOther := func(r rune) bool { return !strings.ContainsRune("0123456789abcdef.:", r) }
	if !strings.Contains(host, "%") && strings.ContainsFunc(host, isOther) {
		return netip.Addr{}, false // not even one with a zone
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// expand returns the pattern as n segments without "**"; nil where it matches
// nothing of that length.
func (p Pattern) expand(n int) []string {
	if p.many < 0 {
		if n != len(p.segments) {
			return nil
		}
		return p.segments
	}
	more := n - (len(p.segments) - 1)
	if more < p.least() {
		return nil
	}
	return slices.Concat(p.segments[:p.many], slices.Repeat([]string{one}, more), p.segments[p.many+1:])
}

// least is how many segments "**" stands for at least.
func (p Pattern) least() int {
	if p.many == len(p.segments)-1 {
		return 1
	}
	return 0
}

// matches reports whether the pattern matches a name's segments.
func (p Pattern) matches(segments []string) bool {
	if p.many < 0 && len(segments) != len(p.segments) || p.many >= 0 && len(segments) < len(p.segments)-1+p.least() {
		return false
	}
	head, tail := p.segments, []string(nil)
	if p.many >= 0 {
		head, tail = p.segments[:p.many], p.segments[p.many+1:]
	}
	return fits(head, segments[:len(head)]) && fits(tail, segments[len(segments)-len(tail):])
}

func fits(pattern, segments []string) bool {
	for i, s := range pattern {
		if s != one && s != segments[i] {
			return false
		}
	}
	return true
}

// Within reports whether q matches everything that p matches.
func (p Pattern) Within(q Pattern) bool {
	for n := 1; n <= len(p.segments)+len(q.segments); n++ {
		a, b := p.expand(n), q.expand(n)
		if a == nil {
			continue
		}
		if b == nil {
			return false
		}
		for i := range a {
			if b[i] != one && a[i] != b[i] {
				return false
			}
		}
	}
	return true
}

// Meets reports whether some name is matched by both.
func (p Pattern) Meets(q Pattern) bool {
	for n := 1; n <= len(p.segments)+len(q.segments); n++ {
		a, b := p.expand(n), q.expand(n)
		if a != nil && b != nil && compatible(a, b) {
			return true
		}
	}
	return false
}

func compatible(a, b []string) bool {
	for i := range a {
		if a[i] != one && b[i] != one && a[i] != b[i] {
			return false
		}
	}
	return true
}

// fixed is the part before the first wildcard, joined.
func (p Pattern) fixed() string {
	for i, s := range p.segments {
		if s == one || s == many {
			return strings.Join(p.segments[:i], "/")
		}
	}
	return strings.Join(p.segments, "/")
}

// Set finds, among the patterns of many rules, the most specific one that
// matches. It is safe for concurrent use.
type Set struct {
	// byFixed holds the patterns by the part before their first wildcard: only
	// those of a name's own prefixes can match it.
	byFixed map[string][]Entry
}

// Entry is a pattern of a rule.
type Entry struct {
	Pattern Pattern
	// Rule is the rule's number.
	Rule int
}

// ConflictError says that two rules' patterns match the same repositories, and
// neither is the more specific one.
type ConflictError struct{ A, B Entry }

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%q and %q match the same repositories, and neither is more specific", e.A.Pattern, e.B.Pattern)
}

// maxComparisons bounds what it takes to find conflicts: about a second.
const maxComparisons = 4_000_000

// ErrTooMany says that too many patterns may match the same names.
var ErrTooMany = errors.New("too many patterns have wildcards behind the same part; use fewer, or put the wildcards further behind")

// NewSet makes a set. An error is a *ConflictError, or ErrTooMany.
func NewSet(entries []Entry) (*Set, error) {
	s := &Set{byFixed: make(map[string][]Entry, len(entries))}
	for _, e := range entries {
		fixed := e.Pattern.fixed()
		s.byFixed[fixed] = append(s.byFixed[fixed], e)
	}
	// Of two patterns that meet, one's fixed part is a prefix of the other's.
	comparisons := 0
	for _, e := range entries {
		for prefix := range prefixes(e.Pattern.fixed()) {
			if comparisons += len(s.byFixed[prefix]); comparisons > maxComparisons {
				return nil, ErrTooMany
			}
			for _, other := range s.byFixed[prefix] {
				if !e.conflicts(other) {
					continue
				}
				if e.Rule < other.Rule {
					e, other = other, e // the later rule is the one to be changed
				}
				return nil, &ConflictError{A: other, B: e}
			}
		}
	}
	return s, nil
}

// All are the entries, in any order.
func (s *Set) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, group := range s.byFixed {
			for _, e := range group {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// Pair is an entry of one set, and one of another, that match a name in common.
type Pair struct{ A, B Entry }

// Pairs are the pairs of an entry of s and an entry of other. The error is ErrTooMany.
func (s *Set) Pairs(other *Set) (all []Pair, err error) {
	comparisons := 0
	compare := func(in *Set, prefix string, do func(Entry)) error {
		if comparisons += len(in.byFixed[prefix]); comparisons > maxComparisons {
			return ErrTooMany
		}
		for _, e := range in.byFixed[prefix] {
			do(e)
		}
		return nil
	}
	add := func(a, b Entry) {
		if a.Pattern.Meets(b.Pattern) {
			all = append(all, Pair{a, b})
		}
	}
	// Of two patterns that meet, one's fixed part is a prefix of the other's.
	for fixed, group := range other.byFixed {
		for _, b := range group {
			for prefix := range prefixes(fixed) {
				if err := compare(s, prefix, func(a Entry) { add(a, b) }); err != nil {
					return nil, err
				}
			}
		}
	}
	for fixed, group := range s.byFixed {
		for _, a := range group {
			for prefix := range prefixes(fixed) {
				if prefix == fixed {
					continue // compared above
				}
				if err := compare(other, prefix, func(b Entry) { add(a, b) }); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// Unreached are the entries that decide about no repository: others that are more
// specific match all that they match.
func (s *Set) Unreached() (all []Entry) {
	for _, group := range s.byFixed { // what covers a pattern has the same fixed part
		for _, e := range group {
			if e.Pattern.covered(group) {
				all = append(all, e)
			}
		}
	}
	return all
}

// covered reports whether for each number of segments another pattern, a more specific
// one, matches all names that p matches.
func (p Pattern) covered(group []Entry) bool {
	longest := 0
	for _, e := range group {
		longest = max(longest, len(e.Pattern.segments))
	}
	for n := 1; n <= len(p.segments)+longest; n++ {
		form := p.expand(n)
		if form != nil && !slices.ContainsFunc(group, func(e Entry) bool {
			q := e.Pattern
			other := q.expand(n)
			return q.text != p.text && other != nil && fits(other, form) && q.Within(p)
		}) {
			return false
		}
	}
	return true
}

// SetOf makes a set of those texts that are patterns.
func SetOf(texts []string) (*Set, error) {
	var entries []Entry
	for _, text := range texts {
		if p, err := Parse(text); err == nil {
			entries = append(entries, Entry{Pattern: p})
		}
	}
	return NewSet(entries)
}

func (e Entry) conflicts(other Entry) bool {
	a, b := e.Pattern, other.Pattern
	return e.Rule != other.Rule && a.Meets(b) && a.Within(b) == b.Within(a)
}

// prefixes yields "", the first segment, the first two, and so on.
func prefixes(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield("") {
			return
		}
		for i := range len(path) {
			if path[i] == '/' && !yield(path[:i]) {
				return
			}
		}
		if path != "" {
			yield(path)
		}
	}
}

// Match returns the most specific pattern that matches a repository.
func (s *Set) Match(repo name.Repository) (e Entry, ok bool) {
	path := repo.Name()
	host, rest, _ := strings.Cut(path, "/")
	if !isASCII(host) {
		return Entry{}, false // IDNA makes many of one name: none of them has a rule
	}
	if canonical := canonicalHost(host); canonical != host {
		path = canonical + "/" + rest
		if canonical == name.DefaultRegistry && !strings.Contains(rest, "/") {
			path = canonical + "/library/" + rest
		}
	}
	var room [8]string // saves the usual name an allocation
	segments := slices.AppendSeq(room[:0], strings.SplitSeq(path, "/"))
	var best *Entry
	for prefix := range prefixes(path) {
		for i, e := range s.byFixed[prefix] {
			if e.Pattern.matches(segments) && (best == nil || e.Pattern.Within(best.Pattern)) {
				best = &s.byFixed[prefix][i]
			}
		}
	}
	if best == nil {
		return Entry{}, false
	}
	return *best, true
}
