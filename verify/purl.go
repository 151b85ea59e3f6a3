package verify

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// isPURL reports whether text is a package URL.
func isPURL(text string) bool { return len(text) > 4 && strings.EqualFold(text[:4], "pkg:") }

// caselessTypes are the types of package URLs whose namespaces and names have no
// case (purl-spec, "Known purl types"), and nuget, whose registry knows none.
var caselessTypes = []string{
	"alpm", "apk", "bitbucket", "bitnami", "composer", "deb", "github", "golang", "hex", "luarocks", "npm", "nuget", "oci", "pub", "pypi",
}

// canonicalPURL is a package URL in one of its spellings: without slashes behind
// "pkg:" and empty segments, with escapes decoded, so that pkg:npm/%40a/b and
// pkg:npm/@a/b are one, and in lower case where case says nothing.
func canonicalPURL(purl string) string {
	if !isPURL(purl) {
		return purl
	}
	segments := slices.DeleteFunc(strings.Split(purl[4:], "/"), func(s string) bool { return s == "" })
	if len(segments) == 0 {
		return purl
	}
	for i, s := range segments {
		if text, err := url.PathUnescape(s); err == nil {
			segments[i] = text
		}
	}
	kind := strings.ToLower(segments[0])
	name := strings.Join(segments[1:], "/")
	if slices.Contains(caselessTypes, kind) {
		name = strings.ToLower(name)
	}
	if kind == "pypi" {
		name = pypiSeparators.ReplaceAllString(name, "-")
	}
	return "pkg:" + kind + "/" + name
}

// pypiSeparators are one and the same in names of Python packages (PEP 503).
var pypiSeparators = regexp.MustCompile(`[-_.]+`)

// plainPURL is a package URL without version, qualifiers and subpath. The version
// stands behind the last @ and may hold slashes; an @ that begins a segment is
// npm's scope, which many write unescaped.
func plainPURL(purl string) string {
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		purl = purl[:i]
	}
	for i := len(purl) - 1; i > 0; i-- {
		if purl[i] == '@' && purl[i-1] != '/' {
			purl = purl[:i]
			break
		}
	}
	return canonicalPURL(purl)
}

// purlForm is what is written of a package URL before version, qualifiers and subpath:
// its type, and then namespace and name.
var purlForm = regexp.MustCompile(`^(?i:pkg):/*[A-Za-z][A-Za-z0-9.+-]*/[!-~]+$`)

// purlReadable reports whether a package URL can be compared with others: it has the
// form of one, and no escapes that leave open where its name ends.
func purlReadable(purl string) bool {
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		purl = purl[:i]
	}
	if _, err := url.PathUnescape(purl); err != nil || !purlForm.MatchString(purl) {
		return false
	}
	_, name, _ := strings.Cut(strings.TrimLeft(plainPURL(purl)[4:], "/"), "/")
	return strings.Trim(name, "/") != "" && !strings.ContainsAny(name, "?#") && strings.LastIndexByte(strings.ReplaceAll(name, "/@", "/"), '@') < 1
}
