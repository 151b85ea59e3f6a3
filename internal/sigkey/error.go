package sigkey

import (
	"errors"
	"fmt"
	"strings"
)

// ErrKey is wrapped by every error about a key.
var ErrKey = errors.New("unusable key")

// Kind says what was found in place of a usable key. The strings are stable.
type Kind string

// What is found in files.
const (
	KindEmpty       Kind = "empty"               // nothing
	KindFileSize    Kind = "file-size"           // more than a key file may hold
	KindUnknown     Kind = "unknown-format"      // no format that is known
	KindDamaged     Kind = "damaged"             // a known format, malformed
	KindSeveral     Kind = "several"             // more than one key
	KindPrivate     Kind = "private-key"         // in place of a public key
	KindPublic      Kind = "public-key"          // in place of a private key
	KindCertificate Kind = "certificate"         // X.509
	KindRequest     Kind = "certificate-request" // PKCS#10
	KindPKCS7       Kind = "pkcs7"
	KindPKCS12      Kind = "pkcs12"
	KindDER         Kind = "der" // a key without PEM's lines
	KindOpenSSH     Kind = "openssh"
	KindPGP         Kind = "openpgp"
	KindJWK         Kind = "jwk"
	KindForeign     Kind = "foreign-format" // another program's format
	KindEncryption  Kind = "encryption"     // a way of encryption that is not supported
)

// What is found in keys.
const (
	KindNone      Kind = "no-key"
	KindAlgorithm Kind = "algorithm" // a type of key that is not supported
	KindCurve     Kind = "curve"     // an elliptic curve that is not supported
	KindRSASize   Kind = "rsa-size"
	KindExponent  Kind = "rsa-exponent"
	KindWeak      Kind = "weak-point" // a point for which anyone can sign
)

// Error says why a key, or the file that should hold one, is unusable. It wraps
// ErrKey and holds no part of the key.
type Error struct {
	// Kind is what was found.
	Kind Kind
	// Detail describes it.
	Detail string
	// Advice is what a person can do about it; empty: use another key. FILE stands for
	// a path that is not known.
	Advice string
}

// Errorf returns an Error without advice.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// Advise returns the error with advice.
func (e *Error) Advise(advice string) *Error {
	e.Advice = advice
	return e
}

// Error returns ErrKey's text and the detail.
func (e *Error) Error() string { return ErrKey.Error() + ": " + e.Detail }

// Unwrap returns ErrKey.
func (e *Error) Unwrap() error { return ErrKey }

// InFile writes a path into the advice that an error holds. A path that a shell
// would not take as one word stays out of it.
func InFile(err error, path string) error {
	var e *Error
	if errors.As(err, &e) && isPlainWord(path) {
		e.Advice = strings.ReplaceAll(e.Advice, "FILE", path)
	}
	return err
}

func isPlainWord(path string) bool {
	return path != "" && path[0] != '-' && !strings.ContainsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./+@:,=%", r)
	})
}
