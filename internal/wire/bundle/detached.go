package bundle

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
)

// maxDetached is more than a detached signature may have: RSA of 4096 bits takes 512
// bytes, and in base64 684, without line breaks.
const maxDetached = 2 << 10

// Sizes of detached signatures, in bytes, from the shortest ECDSA signature in DER to
// RSA of 4096 bits.
const minSignature, maxSignature = 8, 512

// ParseFile reads a signature of a file in each form that there is:
//
//   - a Sigstore bundle
//   - cosign's older bundle, {"base64Signature": ..., "cert": ..., "rekorBundle": ...}
//     (cosign v2, pkg/cosign/fetch.go)
//   - a detached signature: its bytes, or their base64
func ParseFile(data []byte) (*Bundle, error) {
	text := bytes.TrimSpace(data)
	isObject := len(text) > 0 && text[0] == '{' && utf8.Valid(text) // a signature's bytes may begin with any byte
	if !isObject && len(data) <= maxDetached {
		return parseDetached(data, text)
	}
	if root, err := strictjson.Parse(data); err == nil && root.Get("base64Signature").Exists() && !root.Get("mediaType").Exists() {
		return parseOlder(root)
	}
	return Parse(data)
}

// parseDetached reads a signature in bytes, or in base64, which has blanks around it
// when people have edited it.
func parseDetached(sig, text []byte) (*Bundle, error) {
	if decoded, err := b64.Decode(text); err == nil {
		sig = decoded
	}
	if len(sig) < minSignature || len(sig) > maxSignature {
		return nil, fmt.Errorf("%w: neither JSON nor a detached signature", ErrMalformed)
	}
	return &Bundle{Message: &MessageSignature{Signature: sig}}, nil
}

// parseOlder reads cosign's older bundle. Its cert is the PEM of a certificate or,
// from some versions, of a public key.
func parseOlder(root strictjson.Value) (*Bundle, error) {
	text, _ := root.Get("base64Signature").StrBytes()
	sig, err := b64.Decode(text)
	if err != nil || len(sig) == 0 {
		return nil, fmt.Errorf("%w: base64Signature is empty, or not base64", ErrMalformed)
	}
	b := &Bundle{Message: &MessageSignature{Signature: sig}}
	cert, _ := root.Get("cert").StrBytes()
	if decoded, err := b64.Decode(cert); err == nil {
		cert = decoded
	}
	switch block, _ := pem.Decode(cert); {
	case len(cert) == 0:
	case block == nil || block.Type == "CERTIFICATE":
		b.Certificate = true
	default:
		key, err := keyfile.ParsePublic(cert)
		if err != nil {
			return nil, fmt.Errorf("%w: cert: %w", ErrMalformed, err)
		}
		b.Hint = key.Hint()
	}
	return b, nil
}
