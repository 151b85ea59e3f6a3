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
func Decode(text []byte) ([]byte, error) {
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
	out := make([]byte, enc.DecodedLen(len(text)))
	n, err := enc.Decode(out, text)
	if err != nil {
		return nil, ErrMalformed
	}
	return out[:n], nil
}

// Encode encodes data in the standard alphabet with padding.
func Encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
