// Package keyfile reads files that hold one key, as openssl, cosign and people
// write them, and names what other files hold.
//
// A key file is PEM (RFC 7468, RFC 1421) of at most 64 KiB. It may have text before
// the block, a byte order mark, line breaks of any system, indented lines, and
// escaped line breaks as JSON strings and variables have them.
//
//   - [ParsePublic] reads "PUBLIC KEY" (PKIX, RFC 5280) and "RSA PUBLIC KEY" (PKCS#1,
//     RFC 8017).
//   - [ReadPrivate] reads "PRIVATE KEY" (PKCS#8, RFC 5958), "EC PRIVATE KEY" (SEC 1,
//     RFC 5915) and "RSA PRIVATE KEY" (PKCS#1), and the encrypted forms of openssl
//     and cosign.
//
// Every other file is an *sigkey.Error that says what it is.
package keyfile

import (
	"crypto/x509"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// ParsePublic reads a file that holds one public key.
func ParsePublic(text []byte) (*sigkey.Key, error) {
	block, err := only(text, wantPublic)
	if err != nil {
		return nil, err
	}
	var public any
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, ofType(block, wantPublic)
	}
	if err != nil {
		return nil, ofDER(block.Bytes, "malformed "+block.Type)
	}
	return sigkey.New(public)
}
