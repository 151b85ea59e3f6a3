// Package purl compares package URLs.
//
// Source: purl-spec, PURL-SPECIFICATION.rst and PURL-TYPES.rst.
package purl

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Is reports whether text is a package URL.
func Is(text string) bool { return len(text) >= 4 && strings.EqualFold(text[:4], "pkg:") }

// caselessTypes are the types of package URLs whose namespaces and names have no
// case (purl-spec, "Known purl types"), and nuget, whose registry knows none.
var caselessTypes = []string{
	"alpm", "apk", "bitbucket", "bitnami", "composer", "deb", "github", "golang", "hex", "luarocks", "npm", "nuget", "oci", "pub", "pypi", "vscode-extension",
}

// caselessNamespaces are the types whose namespaces have no case, and names have.
var caselessNamespaces = []string{"qpkg", "rpm"}

// Canonical is a package URL in one of its spellings: without slashes after "pkg:" and
// without empty segments. Escapes are decoded, and letters are lower case where case says
// nothing. pkg:npm/%40a/b and pkg:npm/@a/b are one.
func Canonical(purl string) string {
	if !Is(purl) {
		return purl
	}
	segments := segmentsOf(purl)
	if len(segments) == 0 {
		return purl
	}
	kind := strings.ToLower(segments[0])
	namespace, name := "", ""
	if last := len(segments) - 1; last > 0 {
		namespace, name = strings.Join(append(segments[1:last:last], ""), "/"), segments[last]
	}
	if caseless := slices.Contains(caselessTypes, kind); caseless || slices.Contains(caselessNamespaces, kind) {
		namespace = strings.ToLower(namespace)
		if caseless {
			name = strings.ToLower(name)
		}
	}
	if kind == "pypi" {
		name = pypiName(name)
	}
	return "pkg:" + kind + "/" + namespace + name
}

// segmentsOf are the type of a package URL, and the segments of its namespace and
// name, decoded. A slash that was escaped separates too.
func segmentsOf(purl string) (segments []string) {
	for s := range strings.SplitSeq(purl[4:], "/") {
		if text, err := url.PathUnescape(s); err == nil {
			s = text
		}
		for part := range strings.SplitSeq(s, "/") {
			if part != "" {
				segments = append(segments, part)
			}
		}
	}
	return segments
}

// pypiName is the name of a Python package with one hyphen for each run of hyphens,
// underscores and dots (PEP 503).
func pypiName(name string) string {
	var b strings.Builder
	separated := false
	for _, c := range []byte(name) {
		separator := c == '-' || c == '_' || c == '.'
		switch {
		case !separator:
			b.WriteByte(c)
		case !separated:
			b.WriteByte('-')
		}
		separated = separator
	}
	return b.String()
}

// Plain is a package URL without version, qualifiers and subpath. The version
// stands behind the last @ and may hold slashes; an @ that begins a segment is
// npm's scope, which many write unescaped.
func Plain(purl string) string {
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		purl = purl[:i]
	}
	for i := len(purl) - 1; i > 0; i-- {
		if purl[i] == '@' && purl[i-1] != '/' {
			purl = purl[:i]
			break
		}
	}
	return Canonical(purl)
}

// hasForm reports whether purl, which has neither qualifiers nor subpath, is "pkg:", a type,
// a slash, and printable ASCII.
func hasForm(purl string) bool {
	if !Is(purl) {
		return false
	}
	kind, rest, _ := strings.Cut(strings.TrimLeft(purl[4:], "/"), "/")
	for i, c := range []byte(kind) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && strings.IndexByte(".+-", c) < 0) {
			return false
		}
	}
	return kind != "" && rest != "" && !strings.ContainsFunc(rest, func(r rune) bool { return r < '!' || r > '~' })
}

// Readable reports whether a package URL can be compared with others. It has the form of
// a package URL, and a name that others read in the same way.
func Readable(purl string) bool {
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		purl = purl[:i]
	}
	if _, err := url.PathUnescape(purl); err != nil || !hasForm(purl) {
		return false
	}
	_, name, _ := strings.Cut(Plain(purl)[4:], "/")
	segments := strings.Split(name, "/")
	for i, s := range segments {
		if i == 0 && len(segments) > 1 {
			s = strings.TrimPrefix(s, "@") // npm's scope
		}
		if !segmentReadable(s) {
			return false
		}
	}
	return true
}

// segmentReadable reports whether a decoded segment of a package URL can be part of a
// name: letters, digits, signs, and blanks between them. A % would be an escape that
// was escaped, and @, ? and # leave open where the name ends.
func segmentReadable(s string) bool {
	if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "%@?#") || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		seen := unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
		if r != ' ' && !seen || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}
