// Package uri tells absolute URIs (RFC 3986) from other text.
package uri

import "strings"

// IsAbsolute reports whether text is an absolute URI: a scheme, and something after it
// in the characters that RFC 3986 allows. All of them are ASCII, so a homoglyph is
// refused. Case is not normalised and percent escapes are not decoded: URIs are
// compared as they are written.
func IsAbsolute(text string) bool {
	scheme, rest, found := strings.Cut(text, ":")
	if !found || rest == "" || scheme == "" || !isLetter(scheme[0]) {
		return false
	}
	for _, c := range []byte(scheme) {
		if !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	for _, c := range []byte(rest) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
