package seal

import (
	"bytes"
	"testing"
)

func TestAttack_P8_OnlyWhatWasSealedAboutTheSameIsOpened(t *testing.T) {
	box := Box{Kind: "test-1", Key: bytes.Repeat([]byte{1}, MinKeyBytes)}
	sealed := box.Seal([]byte("value"), "a", "b")
	if got, ok := box.Open(sealed, "a", "b"); !ok || string(got) != "value" {
		t.Fatalf("%q, %t", got, ok)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for label, open := range map[string]func() ([]byte, bool){
		"a bit was changed":     func() ([]byte, bool) { return box.Open(flipped, "a", "b") },
		"about something else":  func() ([]byte, bool) { return box.Open(sealed, "a", "c") },
		"parts cut differently": func() ([]byte, bool) { return box.Open(sealed, "ab", "") },
		"fewer parts":           func() ([]byte, bool) { return box.Open(sealed, "a") },
		"of another kind":       func() ([]byte, bool) { return Box{"test-2", box.Key}.Open(sealed, "a", "b") },
		"another key":           func() ([]byte, bool) { return Box{box.Kind, bytes.Repeat([]byte{2}, 32)}.Open(sealed, "a", "b") },
		"cut off":               func() ([]byte, bool) { return box.Open(sealed[:len(sealed)-1], "a", "b") },
		"shorter than a sum":    func() ([]byte, bool) { return box.Open(sealed[:31], "a", "b") },
		"nothing":               func() ([]byte, bool) { return box.Open(nil, "a", "b") },
		"a name in place of it": func() ([]byte, bool) { return box.Open([]byte(box.Name("a", "b")), "a", "b") },
	} {
		if got, ok := open(); ok {
			t.Errorf("%s: opened %q", label, got)
		}
	}
	first, again := box.Name("a"), box.Name("a")
	if box.Name("a", "b") == box.Name("ab") || first != again {
		t.Error("names do not tell what they are about")
	}
}
