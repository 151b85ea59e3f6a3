// Package safetext makes text from outside fit to be shown to people.
package safetext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Of makes text from outside fit to be shown on a terminal or in a log. Control and
// formatting characters and invalid UTF-8 become visible escapes. Text beyond limit bytes
// is cut.
func Of(s string, limit int) string {
	if len(s) < limit && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ' || unicode.IsGraphic(r) && !unicode.In(r, unicode.Zl, unicode.Zp):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
		if b.Len() >= limit {
			if i < len(s) {
				b.WriteString("…")
			}
			break
		}
	}
	return b.String()
}
