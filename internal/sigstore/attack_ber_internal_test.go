package sigstore

import (
	"bytes"
	"runtime"
	"testing"
)

// A timestamp is read before any signature is checked: what it costs must follow its size.
func TestAttack_T20_ElementsOfIndefiniteLength(t *testing.T) {
	const size = 128 << 10
	deep := append(bytes.Repeat([]byte{0x30, 0x80}, maxBERDepth-3), make([]byte, 2*(maxBERDepth-3))...)
	for name, c := range map[string]struct {
		tag  byte
		each []byte
	}{
		"in a row":       {0x30, []byte{0x30, 0x80, 0, 0}},
		"pieces":         {0x24, []byte{0x24, 0x80, 0, 0}},
		"deep, in a row": {0x30, deep},
	} {
		text := append([]byte{c.tag, 0x80}, bytes.Repeat(c.each, size/len(c.each))...)
		text = append(text, 0, 0)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := fromBER(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64*size {
			t.Errorf("%s: %d bytes were allocated for a text of %d", name, used, len(text))
		}
	}
}
