package b64_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/b64"
)

func TestAttack_E7_OneTextHasOneMeaning(t *testing.T) {
	want := []byte{0xfb, 0xff, 0xfe, 0x01}
	for _, text := range []string{"+//+AQ==", "-__-AQ==", "+//+AQ", "-__-AQ"} {
		if got, err := b64.Decode([]byte(text)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %x, %v; want %x", text, got, err, want)
		}
	}
	for name, text := range map[string]string{
		"line feed":         "+//+\nAQ==",
		"carriage return":   "+//+AQ==\r\n",
		"blank":             "+//+ AQ==",
		"mixed alphabets":   "+__+AQ==",
		"trailing bits":     "+//+AR==",
		"trailing bits raw": "+//+AR",
		"half a padding":    "+//+AQ=",
		"inner padding":     "AQ==AQ==",
		"one character":     "A",
		"not base64":        "!!!!",
	} {
		if got, err := b64.Decode([]byte(text)); !errors.Is(err, b64.ErrMalformed) {
			t.Errorf("%s: %x, %v; want ErrMalformed", name, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("+//+AQ=="))
	f.Add([]byte("-__-AQ"))
	f.Fuzz(func(t *testing.T, text []byte) {
		data, err := b64.Decode(text)
		if err != nil {
			return
		}
		if len(data) != b64.DecodedLen(text) {
			t.Fatalf("%q decodes to %d bytes, not %d", text, len(data), b64.DecodedLen(text))
		}
		again, err := b64.Decode([]byte(b64.Encode(data)))
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q decodes to %x, whose encoding decodes to %x, %v", text, data, again, err)
		}
	})
}
