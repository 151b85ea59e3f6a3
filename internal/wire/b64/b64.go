// Package b64 decodes base64 as evidence may hold it, and encodes it.
//
// Decode accepts
//
//   - the standard and the URL-safe alphabet (RFC 4648, sections 4 and 5), which DSSE
//     allows (envelope.md, "Base64"), but not both in one text,
//   - text with or without padding, as the JSON mapping of Protocol Buffers allows,
//   - line breaks, CR and LF, anywhere, as common decoders do.
//
// It refuses everything else: blanks, other characters, bits that are set after the
// last byte, and padding that is incomplete or not at the end.
package b64

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
)

// ErrMalformed is returned for text that is not base64.
var ErrMalformed = errors.New("malformed base64")

var (
	std    = base64.StdEncoding.Strict()
	rawStd = base64.RawStdEncoding.Strict()
	url    = base64.URLEncoding.Strict()
	rawURL = base64.RawURLEncoding.Strict()
)

// Decode decodes text.
func Decode(text []byte) ([]byte, error) { return AppendDecode(nil, text) }

// DecodedLen returns how many bytes text decodes to, if it is well-formed.
func DecodedLen(text []byte) int { return decodedLen(text, digits(text)) }

// digits returns the number of characters without line breaks.
func digits(text []byte) int {
	return len(text) - bytes.Count(text, []byte{'\n'}) - bytes.Count(text, []byte{'\r'})
}

func decodedLen(text []byte, digits int) int {
	padding := 0
	for i := len(text) - 1; i >= 0 && padding < 2; i-- {
		if c := text[i]; c == '=' {
			padding++
		} else if c != '\n' && c != '\r' {
			break
		}
	}
	n := digits - padding
	return n/4*3 + max(n%4-1, 0)
}

// AppendDecode appends what text decodes to.
func AppendDecode(to, text []byte) ([]byte, error) {
	count := digits(text)
	padded := count%4 == 0
	urlSafe := bytes.IndexByte(text, '-') >= 0 || bytes.IndexByte(text, '_') >= 0
	enc := rawStd
	switch {
	case urlSafe && padded:
		enc = url
	case urlSafe:
		enc = rawURL
	case padded:
		enc = std
	}
	have, size := len(to), decodedLen(text, count)
	to = slices.Grow(to, size)
	n, err := enc.Decode(to[have:have+size], text)
	if err != nil {
		return nil, ErrMalformed
	}
	return to[:have+n], nil
}

// Encode encodes data in the standard alphabet with padding.
func Encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// EncodedLen returns the length of n bytes once encoded.
func EncodedLen(n int) int { return base64.StdEncoding.EncodedLen(n) }

// AppendEncode appends the encoding of data.
func AppendEncode(to, data []byte) []byte { return base64.StdEncoding.AppendEncode(to, data) }

// step is how many bytes a reader encodes at a time; a multiple of 3.
const step = 24 << 10

// NewReader returns a reader of the encoding of data, which it encodes as it is read.
func NewReader(data []byte) io.Reader { return &reader{rest: data} }

type reader struct {
	rest    []byte // not encoded yet
	encoded []byte // not read yet
	buffer  []byte
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.encoded) == 0 {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		next := r.rest[:min(step, len(r.rest))]
		r.rest = r.rest[len(next):]
		r.buffer = AppendEncode(r.buffer[:0], next)
		r.encoded = r.buffer
	}
	n := copy(p, r.encoded)
	r.encoded = r.encoded[n:]
	return n, nil
}
