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
		"tab":               "+//+\tAQ==",
		"blank before":      " +//+AQ==",
		"blank after":       "+//+AQ== ",
		"form feed":         "+//+\fAQ==",
		"another separator": "+//+\u2028AQ==",
		"zero byte":         "+//+\x00AQ==",
		"half, broken":      "+//+AQ=\n",
		"inner, broken":     "AQ=\n=AQ==",
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

func TestLineBreaksAreSkipped(t *testing.T) {
	want := []byte{0xfb, 0xff, 0xfe, 0x01}
	for _, text := range []string{
		"+//+\nAQ==", "+//+AQ==\r\n", "\n\n+//+AQ==", "+/\r\n/+A\nQ=\n=\n", "-__-\nAQ", "+//+AQ\n\r\n", "-\n_\n_\n-\nA\nQ\n=\n=\n",
	} {
		got, err := b64.AppendDecode([]byte("before "), []byte(text))
		if err != nil || string(got) != "before "+string(want) || b64.DecodedLen([]byte(text)) != len(want) {
			t.Errorf("%q: %x, %v; want %x", text, got, err, want)
		}
	}
	long := bytes.Repeat([]byte("0123456789"), 1000)
	var lines bytes.Buffer
	for i, c := range []byte(b64.Encode(long)) {
		if lines.WriteByte(c); i%76 == 75 {
			lines.WriteString("\r\n")
		}
	}
	if got, err := b64.Decode(lines.Bytes()); err != nil || !bytes.Equal(got, long) {
		t.Errorf("76 to a line: %v", err)
	}
	for _, text := range []string{"", "\n", "\r\n\r\n"} {
		if got, err := b64.Decode([]byte(text)); err != nil || len(got) != 0 {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("+//+AQ=="))
	f.Add([]byte("-__-AQ"))
	f.Add([]byte("+/\r\n/+A\nQ=\n=\n"))
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
