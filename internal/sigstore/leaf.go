package sigstore

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// Subject types of a certificate.
const (
	SubjectEmail    = "email"
	SubjectURI      = "uri"
	SubjectUsername = "username"
)

// maxCertificateSize bounds a certificate.
const maxCertificateSize = 64 << 10

// Leaf is a signer's certificate: what it says, which is not verified, and its key.
type Leaf struct {
	// SubjectType is one of the Subject constants, Subject its value.
	SubjectType, Subject string
	// Issuer is the identity provider that has vouched for the subject; empty where the
	// certificate names none.
	Issuer string
	// Claims are Fulcio's other extensions, by the names of Claims.
	Claims map[string]string
	Key    *sigkey.Key

	certificate *x509.Certificate
	sum         [sha256.Size]byte
}

// Certificate is the parsed certificate.
func (l *Leaf) Certificate() *x509.Certificate { return l.certificate }

// arc is 1.3.6.1.4.1.57264.1, below which Fulcio's extensions are.
var arc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}

// Extensions of Fulcio that hold the issuer.
const (
	extIssuerText = 1
	extIssuer     = 8
)

// claims are Fulcio's extensions of text in DER, by their last number.
var claims = map[int]string{
	9: "buildSigner", 10: "buildSignerDigest", 11: "runner", 12: "sourceRepository", 13: "sourceDigest", 14: "sourceRef",
	15: "sourceRepositoryID", 16: "sourceOwner", 17: "sourceOwnerID", 18: "buildConfig", 19: "buildConfigDigest",
	20: "buildTrigger", 21: "runInvocation", 22: "sourceVisibility", 23: "deploymentEnvironment",
}

// Claims are the names that Leaf.Claims can hold.
func Claims() []string {
	var names []string
	for _, name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseLeaf reads a signer's certificate. It checks no signature.
func ParseLeaf(der []byte) (*Leaf, error) {
	if len(der) > maxCertificateSize {
		return nil, fmt.Errorf("%w: a certificate of %d bytes, the limit is %d", ErrMalformed, len(der), maxCertificateSize)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	l := &Leaf{certificate: c, sum: sha256.Sum256(der), Claims: make(map[string]string)}
	if err := l.checkUse(); err != nil {
		return nil, err
	}
	if l.SubjectType, l.Subject, err = subjectOf(c); err != nil {
		return nil, err
	}
	if err := l.readExtensions(); err != nil {
		return nil, err
	}
	if l.Key, err = sigkey.New(c.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	}
	return l, nil
}

var sanOID = asn1.ObjectIdentifier{2, 5, 29, 17}

// checkUse checks that the certificate is one for signing code.
func (l *Leaf) checkUse() error {
	c := l.certificate
	unread := slices.ContainsFunc(c.UnhandledCriticalExtensions, func(id asn1.ObjectIdentifier) bool { return !id.Equal(sanOID) })
	switch {
	case c.Version != 3 || c.IsCA:
		return fmt.Errorf("%w: the certificate is not a signer's", ErrMalformed)
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0, !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return fmt.Errorf("%w: the certificate is not for signing code", ErrMalformed)
	case unread:
		return fmt.Errorf("%w: the certificate has a critical extension that is unknown", ErrMalformed)
	}
	return nil
}

// Tags of general names (RFC 5280, section 4.2.1.6).
const (
	nameOther = 0xa0
	nameEmail = 0x81
	nameURI   = 0x86
)

// subjectOf reads the subject's one alternative name.
func subjectOf(c *x509.Certificate) (kind, subject string, err error) {
	bad := fmt.Errorf("%w: the certificate wants exactly one subject alternative name: email, uri or username", ErrMalformed)
	at := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(sanOID) })
	if at < 0 {
		return "", "", bad
	}
	names, err := only(c.Extensions[at].Value, tagSequence)
	if err != nil {
		return "", "", bad
	}
	inside := names.inside()
	name := inside.any()
	if inside.end() != nil {
		return "", "", bad
	}
	switch name.tag {
	case nameEmail:
		kind, subject = SubjectEmail, string(name.content)
	case nameURI:
		kind, subject = SubjectURI, string(name.content)
	case nameOther:
		kind, subject = SubjectUsername, username(name)
	}
	if subject == "" || !isPlain(subject) {
		return "", "", bad
	}
	return kind, subject, nil
}

// username reads Fulcio's other name; empty: it is another one.
func username(name element) string {
	c := name.inside()
	id := c.take(tagOID)
	value, err := only(c.take(0xa0).content, tagUTF8)
	if c.end() != nil || err != nil || string(id.content) != usernameOID {
		return ""
	}
	return string(value.content)
}

// usernameOID is 1.3.6.1.4.1.57264.1.7, as DER has it.
const usernameOID = "\x2b\x06\x01\x04\x01\x83\xbf\x30\x01\x07"

const tagUTF8 = 0x0c

// isPlain reports whether text has neither control characters nor invalid UTF-8.
func isPlain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// readExtensions reads Fulcio's extensions.
func (l *Leaf) readExtensions() error {
	var older *string
	seen := make(map[int]bool)
	for _, e := range l.certificate.Extensions {
		if len(e.Id) != len(arc)+1 || !e.Id[:len(arc)].Equal(arc) {
			continue
		}
		n := e.Id[len(arc)]
		if seen[n] {
			return fmt.Errorf("%w: the certificate's extension %v is there twice", ErrMalformed, e.Id)
		}
		seen[n] = true
		name := claims[n]
		switch {
		case n == extIssuerText:
			text := string(e.Value)
			older = &text
		case n == extIssuer || name != "":
			value, err := only(e.Value, tagUTF8)
			if err != nil || !isPlain(string(value.content)) {
				return fmt.Errorf("%w: the certificate's extension %v is not a string", ErrMalformed, e.Id)
			}
			if n == extIssuer {
				l.Issuer = string(value.content)
			} else {
				l.Claims[name] = string(value.content)
			}
		}
	}
	return l.olderIssuer(older, seen[extIssuer])
}

// olderIssuer reads the issuer where the older extension states it, as bare text.
func (l *Leaf) olderIssuer(older *string, newer bool) error {
	switch {
	case older == nil:
	case !isPlain(*older):
		return fmt.Errorf("%w: the certificate's issuer is not text", ErrMalformed)
	case newer && *older != l.Issuer:
		return fmt.Errorf("%w: the certificate names two issuers, %.100q and %.100q", ErrMalformed, l.Issuer, *older)
	default:
		l.Issuer = *older
	}
	return nil
}

// isSelfIssued reports whether a certificate names itself as its issuer.
func isSelfIssued(der []byte) bool {
	c, err := x509.ParseCertificate(der)
	return err == nil && bytes.Equal(c.RawIssuer, c.RawSubject)
}
