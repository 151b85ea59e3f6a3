package strictjson

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// Looking at eight bytes at once must find what looking at one at a time finds.
func TestPlainTextEndsAtTheFirstByteThatIsNot(t *testing.T) {
	special := func(c byte) bool { return c == '"' || c == '\\' || c < 0x20 || c >= 0x80 }
	check := func(text []byte) {
		t.Helper()
		whole := text[:len(text)&^7] // the rest is looked at one by one
		want := slices.IndexFunc(whole, special)
		if want < 0 {
			want = len(whole)
		}
		if got := plain(text); got != want {
			t.Fatalf("%q: %d, want %d", text, got, want)
		}
	}
	for c := range 256 {
		for at := range 24 {
			text := bytes.Repeat([]byte("a"), 24)
			text[at] = byte(c)
			check(text)
			for _, beside := range []byte{0x00, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0xff} {
				text[(at+1)%24] = beside
				check(text)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		text := make([]byte, r.IntN(20))
		for i := range text {
			text[i] = byte(r.Uint32() >> r.IntN(3))
		}
		check(text)
	}
}
