package remote

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/internal/pause"
)

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/token",service="s",scope="repository:x:pull"`)
	f.Add(`Basic realm="a, \"b\"", Bearer realm=x , Negotiate`)
	f.Fuzz(func(t *testing.T, header string) {
		all := parseChallenges(header)
		for _, ch := range all {
			if ch.scheme == "" || ch.scheme != strings.ToLower(ch.scheme) {
				t.Fatalf("%q: scheme %q", header, ch.scheme)
			}
		}
		if len(all) > len(header) {
			t.Fatalf("%q: %d challenges", header, len(all))
		}
		chosen := chooseChallenge([]string{header})
		if chosen != nil && chosen.scheme != "basic" && (chosen.scheme != "bearer" || chosen.realm == "") {
			t.Fatalf("%q: chose %+v", header, chosen)
		}
	})
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</v2/a?n=1>; rel="next"`)
	f.Add(`<a>; rel="first"; title="x, y", <b>; rel=next`)
	f.Fuzz(func(t *testing.T, header string) {
		if target := nextLink([]string{header}); !strings.Contains(header, "<"+target+">") && target != "" {
			t.Fatalf("%q: %q is no target in it", header, target)
		}
	})
}

func FuzzErrorTextsAreFitToBePrinted(f *testing.F) {
	f.Add([]byte(`{"errors":[{"code":"DENIED","message":"see https://u:p@host/x?sig=1"}]}`), "120")
	f.Fuzz(func(t *testing.T, body []byte, after string) {
		_, text := explanation(body)
		if !utf8.ValidString(text) || len(text) > 2*512 || strings.ContainsAny(text, "\x1b\n\r\u202e") {
			t.Fatalf("%q", text)
		}
		if wait, _ := pause.Asked(after, time.Unix(0, 0)); wait < 0 {
			t.Fatalf("Retry-After %q is a negative wait", after)
		}
	})
}
