package verify

import (
	"slices"
	"strings"
	"unicode"
)

// is reports whether the package has a name, or a package URL apart from version,
// qualifiers and subpath.
func (p listed) is(denied string) bool {
	return slices.Contains(p.names, denied) || slices.ContainsFunc(p.purls, func(purl string) bool { return plainPURL(purl) == canonicalPURL(denied) })
}

// hasLicense reports whether an identifier stands anywhere in the package's
// licences, whatever its case (SPDX specification, annex D) and whatever is
// written between identifiers: many a licence is no expression, as in
// "MIT/Apache-2.0".
func (p listed) hasLicense(id string) bool {
	for _, text := range p.licenses {
		for word := range strings.FieldsFuncSeq(plainDashes(text), func(r rune) bool { return !inLicense(r) && r != ':' && r != '+' }) {
			if wordHasLicense(word, id) {
				return true
			}
		}
	}
	return false
}

// wordHasLicense looks for an identifier in a word, behind what stands before a colon
// (DocumentRef-x) and between plus signs; one at the end means "or later".
func wordHasLicense(word, id string) bool {
	if isLicense(word, false, id) {
		return true
	}
	for part := range strings.SplitSeq(word, ":") {
		names := strings.Split(part, "+")
		for i, name := range names {
			later := i+1 < len(names)
			alone := i+2 != len(names) || names[i+1] != ""
			if later && isLicense(name, true, id) || alone && isLicense(name, false, id) {
				return true
			}
		}
	}
	return false
}

// isLicense compares identifiers. later says that a plus sign stands behind the word.
func isLicense(word string, later bool, id string) bool {
	for _, w := range []string{word, withoutExtension(strings.Trim(word, ".-"))} {
		if strings.EqualFold(w, id) {
			return true
		}
		base, isGNU := gnuLicense(w)
		wanted, wantsGNU := gnuLicense(id)
		if !isGNU || !wantsGNU || base.name != wanted.name {
			continue
		}
		if base.form == "" {
			base.form = gnuOnly
			if later {
				base.form = gnuOrLater
			}
		}
		if wanted.form == "" || wanted.form == base.form {
			return true
		}
	}
	return false
}

// gnu is an identifier of a GNU licence. Those without "-only" and "-or-later" are
// deprecated names of both (SPDX licence list, "Deprecated License Identifiers").
type gnu struct{ name, form string }

const gnuOnly, gnuOrLater = "-only", "-or-later"

func gnuLicense(id string) (gnu, bool) {
	l := gnu{name: strings.ToUpper(id)}
	for _, form := range []string{gnuOnly, gnuOrLater} {
		if name, found := strings.CutSuffix(l.name, strings.ToUpper(form)); found {
			l = gnu{name, form}
		}
	}
	family, version, found := strings.Cut(l.name, "-")
	known := slices.Contains([]string{"GPL", "LGPL", "AGPL", "GFDL"}, family)
	return l, found && known && version != "" && strings.Trim(version, "0123456789.") == ""
}

// withoutExtension is the last part of a URL such as
// https://spdx.org/licenses/MIT.html without its ending.
func withoutExtension(word string) string {
	for _, end := range []string{".html", ".json", ".txt"} {
		if len(word) > len(end) && strings.EqualFold(word[len(word)-len(end):], end) {
			return word[:len(word)-len(end)]
		}
	}
	return word
}

// plainDashes leaves out what is not seen, and makes all dashes hyphens.
func plainDashes(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r):
			return -1
		case unicode.Is(unicode.Pd, r):
			return '-'
		}
		return r
	}, text)
}

// inLicense reports whether SPDX identifiers hold a character.
func inLicense(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-'
}
