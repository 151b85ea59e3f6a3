// Package b64 decodes base64 as evidence may hold it.
//
// DSSE (envelope.md, "Base64") allows the standard and the URL-safe alphabet
// (RFC 4648 sections 4 and 5); the JSON mapping of Protocol Buffers, by which
// Sigstore bundles are written, allows either with or without padding. Line
// breaks, mixed alphabets and non-zero trailing bits, which encoding/base64
// partly lets pass, are refused: one text has one meaning.
package b64

import (
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

// DecodedLen is how many bytes text decodes to, if it is well-formed.
func DecodedLen(text []byte) int {
	n := len(text)
	for n > 0 && len(text)-n < 2 && text[n-1] == '=' {
		n--
	}
	return n/4*3 + max(n%4-1, 0)
}

// AppendDecode appends what text decodes to.
func AppendDecode(to, text []byte) ([]byte, error) {
	urlSafe := false
	for _, c := range text {
		switch c {
		case '\r', '\n':
			return nil, ErrMalformed
		case '-', '_':
			urlSafe = true
		}
	}
	padded := len(text)%4 == 0
	enc := rawStd
	switch {
	case urlSafe && padded:
		enc = url
	case urlSafe:
		enc = rawURL
	case padded:
		enc = std
	}
	have := len(to)
	to = slices.Grow(to, DecodedLen(text))
	// Decode may use more than it returns, and what it uses must be there.
	n, err := enc.Decode(to[have:have+DecodedLen(text)], text)
	if err != nil {
		return nil, ErrMalformed
	}
	return to[:have+n], nil
}

// Encode encodes data in the standard alphabet with padding.
func Encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// EncodedLen is the length of n bytes once encoded.
func EncodedLen(n int) int { return base64.StdEncoding.EncodedLen(n) }

// AppendEncode appends the encoding of data.
func AppendEncode(to, data []byte) []byte { return base64.StdEncoding.AppendEncode(to, data) }

// step is how many bytes a reader encodes at a time; a multiple of 3.
const step = 24 << 10

// NewReader encodes data as it is read.
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
