// Package license finds SPDX identifiers in what bills of materials say of licences.
package license

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// Holds reports whether an SPDX identifier stands anywhere in what is said of a licence.
// Case says nothing (SPDX specification, annex D). Anything may stand between
// identifiers: licences such as "MIT/Apache-2.0" are not expressions.
func Holds(text, id string) bool {
	for word := range strings.FieldsFuncSeq(joinedVersions(plainDashes(text)), func(r rune) bool { return !isIdentifierRune(r) && r != ':' && r != '+' }) {
		if wordHolds(word, id) {
			return true
		}
	}
	return false
}

// IsIdentifier reports whether text has the form of an SPDX identifier of a licence (SPDX
// specification, annex D).
func IsIdentifier(text string) bool {
	if rest, of := strings.CutPrefix(text, "DocumentRef-"); of {
		if document, id, found := strings.Cut(rest, ":"); found {
			return isWord(document) && isWord(id)
		}
	}
	return isWord(text)
}

func isWord(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !isIdentifierRune(r) })
}

// wordHolds looks for an identifier in a word: after a colon (DocumentRef-x) and between
// plus signs. A plus sign at the end means "or later".
func wordHolds(word, id string) bool {
	if isOne(word, false, id) {
		return true
	}
	for part := range strings.SplitSeq(word, ":") {
		names := strings.Split(part, "+")
		for i, name := range names {
			later := i+1 < len(names)
			alone := i+2 != len(names) || names[i+1] != ""
			if later && isOne(name, true, id) || alone && isOne(name, false, id) {
				return true
			}
		}
	}
	return false
}

// isOne compares identifiers. later says that a plus sign stands behind the word.
func isOne(word string, later bool, id string) bool {
	for _, w := range []string{word, withoutExtension(strings.Trim(word, ".-"))} {
		if strings.EqualFold(currentName(w), currentName(id)) {
			return true
		}
		base, isGNU := gnuLicense(withoutException(w))
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
	l := gnu{name: strings.ToUpper(currentName(id))}
	for _, form := range []string{gnuOnly, gnuOrLater} {
		if name, found := strings.CutSuffix(l.name, strings.ToUpper(form)); found {
			l = gnu{name, form}
		}
	}
	family, version, ok := gnuName(l.name)
	if !strings.Contains(version, ".") {
		version += ".0"
	}
	l.name = family + "-" + version
	return l, ok
}

// gnuName takes apart the name of a GNU licence, in upper case, as SPDX (GPL-3.0), Debian
// (GPL-3) and Fedora (GPLv3) write it.
func gnuName(name string) (family, version string, ok bool) {
	for _, family := range []string{"AGPL", "LGPL", "GPL", "GFDL"} {
		rest, is := strings.CutPrefix(name, family)
		version := strings.TrimPrefix(strings.TrimPrefix(rest, "-"), "V")
		if is && version != "" && version[0] != '.' && strings.Trim(version, "0123456789.") == "" {
			return family, version, true
		}
	}
	return "", "", false
}

// gnuSpaced is a GNU licence whose version stands apart, as in "GPL v3".
var gnuSpaced = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b([al]?gpl|gfdl)[\s_,]+(?:version\s+)?(v?[0-9])`)
})

func joinedVersions(text string) string { return gnuSpaced().ReplaceAllString(text, "$1-$2") }

// withoutException is the licence that a deprecated name such as
// GPL-2.0-with-GCC-exception has an exception from.
func withoutException(id string) string {
	if i := strings.Index(strings.ToUpper(id), "-WITH-"); i > 0 {
		return id[:i]
	}
	return id
}

// currentName is what a deprecated identifier stands for, without exceptions (SPDX
// licence list, "Deprecated License Identifiers").
func currentName(id string) string {
	switch strings.ToLower(id) {
	case "ecos-2.0":
		return "GPL-2.0-or-later"
	case "wxwindows":
		return "LGPL-2.0-or-later"
	case "standardml-nj":
		return "SMLNJ"
	case "bsd-2-clause-netbsd":
		return "BSD-2-Clause"
	case "bsd-2-clause-freebsd":
		return "BSD-2-Clause-Views"
	}
	return id
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

// plainDashes removes characters that are not visible, and makes all dashes hyphens.
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

// isIdentifierRune reports whether SPDX identifiers hold a character.
func isIdentifierRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-'
}
