// Package seal keeps values in stores that others can write to: what comes back is
// what was put there under that name, or nothing.
package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// MinKeyBytes is how long a key must be.
const MinKeyBytes = 32

// Box seals values of one kind. It is safe for concurrent use.
type Box struct {
	// Kind tells what a value is for. No value passes for one of another kind under the
	// same key.
	Kind string
	// Key authenticates: an owner of the key can make any value. MinKeyBytes at least.
	Key []byte
}

// Name is what a value is called in the store; nothing in it tells what the value
// is about.
func (b Box) Name(about ...string) string {
	return b.Kind + ":" + hex.EncodeToString(b.mac("name", about, nil))
}

// Seal binds a value to what it is about: it can be neither forged nor moved.
func (b Box) Seal(value []byte, about ...string) []byte {
	return slices.Concat(b.mac("value", about, value), value)
}

// Open returns a value that was sealed about the same. An old value that was put
// back is opened, too: what ends must say so itself.
func (b Box) Open(sealed []byte, about ...string) (value []byte, ok bool) {
	if len(sealed) < sha256.Size {
		return nil, false
	}
	sum, value := sealed[:sha256.Size], sealed[sha256.Size:]
	return value, hmac.Equal(sum, b.mac("value", about, value))
}

// mac covers each part with its length: no part runs into the next.
func (b Box) mac(purpose string, about []string, value []byte) []byte {
	m := hmac.New(sha256.New, b.Key)
	for _, part := range slices.Concat([]string{b.Kind, purpose}, about, []string{string(value)}) {
		_, _ = m.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part)))) // a hash does not fail
		_, _ = m.Write([]byte(part))
	}
	return m.Sum(nil)
}
