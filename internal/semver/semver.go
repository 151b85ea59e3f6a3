// Package semver compares semantic versions.
//
// Source: Semantic Versioning 2.0.0.
package semver

import (
	"cmp"
	"strings"
)

// maxDigits bounds the numbers of a version.
const maxDigits = 18

// version is a semantic version without its build metadata, which have no precedence.
type version struct {
	core       [3]string
	prerelease string // empty: none
}

// parse reads a semantic version, with a leading v allowed.
func parse(text string) (v version, ok bool) {
	text, build, hasBuild := strings.Cut(strings.TrimPrefix(text, "v"), "+")
	if hasBuild && (build == "" || !isAll(build, isIdentifierByte, ".")) {
		return v, false
	}
	core, prerelease, hasPrerelease := strings.Cut(text, "-")
	for i := range v.core {
		var more bool
		v.core[i], core, more = strings.Cut(core, ".")
		if !isNumber(v.core[i]) || more != (i < 2) {
			return v, false
		}
	}
	if hasPrerelease {
		for identifier := range strings.SplitSeq(prerelease, ".") {
			if !isIdentifier(identifier) {
				return v, false
			}
		}
	}
	v.prerelease = prerelease
	return v, true
}

// isNumber reports whether text is a number without leading zeros.
func isNumber(text string) bool {
	return text != "" && len(text) <= maxDigits && (text[0] != '0' || len(text) == 1) && isAll(text, isDigit, "")
}

// isIdentifier reports whether text is part of a pre-release: a number, or letters, digits
// and hyphens.
func isIdentifier(text string) bool {
	if isAll(text, isDigit, "") {
		return isNumber(text)
	}
	return isAll(text, isIdentifierByte, "")
}

func isAll(text string, is func(byte) bool, or string) bool {
	for i := range len(text) {
		if !is(text[i]) && strings.IndexByte(or, text[i]) < 0 {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isIdentifierByte(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-'
}

// Compare orders semantic versions by precedence (section 11); ok is false where one of
// them is none.
func Compare(a, b string) (order int, ok bool) {
	x, isX := parse(a)
	y, isY := parse(b)
	if !isX || !isY {
		return 0, false
	}
	for i := range x.core {
		if c := compareNumbers(x.core[i], y.core[i]); c != 0 {
			return c, true
		}
	}
	return comparePrereleases(x.prerelease, y.prerelease), true
}

func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func comparePrereleases(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		if c := compareIdentifiers(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

func compareIdentifiers(a, b string) int {
	numericA, numericB := strings.Trim(a, "0123456789") == "", strings.Trim(b, "0123456789") == ""
	switch {
	case numericA && numericB:
		return compareNumbers(a, b)
	case numericA:
		return -1
	case numericB:
		return 1
	}
	return strings.Compare(a, b)
}
