package keyfile

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// ErrPassword is wrapped if the password of a private key is missing or wrong.
var ErrPassword = errors.New("wrong or missing password")

// PEM types of cosign's encrypted private keys (cosign v2, pkg/cosign/keys.go).
const (
	TypeSigstore = "ENCRYPTED SIGSTORE PRIVATE KEY"
	typeCosign   = "ENCRYPTED COSIGN PRIVATE KEY"
)

// typePKCS8 is the PEM type of a PKCS#8 key that is not encrypted.
const typePKCS8 = "PRIVATE KEY"

// Private is the file of a private key that has not been opened.
type Private struct {
	block *pem.Block
	// opener opens an encrypted key; nil: it is not encrypted.
	opener opener
	inner  string // PEM type of what the opener returns
}

// opener opens an encrypted key with a password. Anything but a wrong password was
// found before.
type opener func(password []byte) (der []byte, ok bool)

// ReadPrivate reads a file that holds one private key. It refuses every key that no
// password could open, before a password is asked for.
func ReadPrivate(text []byte) (*Private, error) {
	block, err := only(text, wantPrivate)
	if err != nil {
		return nil, err
	}
	p := &Private{block: block, inner: typePKCS8}
	switch block.Type {
	case typePKCS8, "EC PRIVATE KEY", "RSA PRIVATE KEY":
		p.inner = block.Type
		if _, encrypted := block.Headers["DEK-Info"]; encrypted {
			p.opener, err = openLegacy(block)
		}
	case TypeSigstore, typeCosign:
		p.opener, err = openCosign(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		p.opener, err = openPKCS8(block.Bytes)
	default:
		err = ofType(block, wantPrivate)
	}
	if err != nil {
		p.Clear()
		return nil, err
	}
	return p, nil
}

// Encrypted reports whether the key needs a password.
func (p *Private) Encrypted() bool { return p.opener != nil }

// Clear overwrites the key.
func (p *Private) Clear() { clear(p.block.Bytes) }

// Open returns the key. It calls password once, and only for an encrypted key. Nil:
// there is no password.
func (p *Private) Open(password func() ([]byte, error)) (crypto.Signer, error) {
	if p.opener == nil {
		return parsePrivate(p.inner, p.block.Bytes)
	}
	if password == nil {
		return nil, fmt.Errorf("%w: the key is encrypted", ErrPassword)
	}
	given, err := password()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassword, err)
	}
	der, ok := p.opener(given)
	defer clear(der)
	// A wrong password leaves what looks like a key once in some hundred times.
	if !ok || len(sequence(der)) == 0 {
		return nil, fmt.Errorf("%w: the key does not open with it", ErrPassword)
	}
	return parsePrivate(p.inner, der)
}

func parsePrivate(pemType string, der []byte) (crypto.Signer, error) {
	var key any
	var err error
	switch pemType {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	default:
		key, err = x509.ParsePKCS8PrivateKey(der)
	}
	if err != nil {
		// The parser's error may quote the key.
		return nil, ofDER(der, "malformed "+pemType)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, ofDER(der, "a key that cannot sign")
	}
	if _, err := sigkey.New(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// sequence returns the elements of a DER SEQUENCE that is all of der; nil: it is
// something else.
func sequence(der []byte) (elements []asn1.RawValue) {
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &whole); err != nil || len(rest) > 0 || whole.Class != asn1.ClassUniversal || whole.Tag != asn1.TagSequence {
		return nil
	}
	for rest := whole.Bytes; len(rest) > 0; {
		var element asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &element); err != nil {
			return nil
		}
		elements = append(elements, element)
	}
	return elements
}
