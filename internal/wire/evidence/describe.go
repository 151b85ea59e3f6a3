package evidence

import (
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// Description is what a piece of evidence says about itself, to be shown to people.
// Nothing of it is verified, and no judgement may rest on it.
type Description struct {
	Signer Signer
	// Content is what is signed, as far as it can be read.
	Content
	// OverBytes says that it is about a file.
	OverBytes bool
}

// Signer is who a piece of evidence says has signed it.
type Signer struct {
	// KeyID is the key's ID in hex, and Hint what stands in place of one.
	KeyID, Hint string
	// Certificate says that a certificate is offered in place of a key. Its
	// identities, and who vouched for them, follow.
	Certificate bool
	Identities  []string
	Issuer      string
	// SourceRepository is what the certificate says was built.
	SourceRepository string
	// LogIndex and LoggedAt are those of the first log entry that comes with it. Nil and
	// zero: none does, or it says no time.
	LogIndex *int64
	LoggedAt time.Time
}

// Describe reads a layer, by its media type, more leniently than Open: what can be read
// is shown even where the rest is malformed. The error says what is.
func Describe(mediaType string, annotations map[string]string, data []byte) (Description, error) {
	var d Description
	var err error
	switch FormatOf(mediaType) {
	case FormatSimpleSigning:
		d.Signer = signerOfLayer(annotations)
		d.Simple, err = simplesigning.Parse(data)
	case FormatEnvelope:
		d.Signer = signerOfLayer(annotations)
		err = d.readEnvelope(data)
	case FormatStatement:
		d.Statement, err = intoto.Parse(data)
	case FormatBundle:
		err = d.readBundle(data)
	}
	return d, err
}

func (d *Description) readEnvelope(text []byte) error {
	root, err := strictjson.Parse(text)
	if err != nil {
		return err
	}
	e, err := dsse.Parse(root)
	if err != nil {
		return err
	}
	return d.readStatement(e)
}

func (d *Description) readBundle(text []byte) error {
	b, err := bundle.Parse(text)
	if err != nil {
		return err
	}
	if b.Certificate {
		d.Signer = signerOfCertificate(bundle.CertificateOf(text))
	} else {
		d.Signer = signerOfHint(b.Hint)
	}
	if whole, err := sigstore.ParseBundle(text); err == nil {
		d.Signer.logged(whole.Entries)
	}
	if d.OverBytes = b.Envelope == nil; d.OverBytes {
		return nil
	}
	return d.readStatement(b.Envelope)
}

func (d *Description) readStatement(e *dsse.Envelope) (err error) {
	if e.PayloadType != dsse.PayloadTypeInToto {
		return fmt.Errorf("its payload is of type %q, no in-toto statement", e.PayloadType)
	}
	d.Statement, err = intoto.Parse(e.Payload)
	return err
}

// signerOfHint turns a bundle's hint into a key ID where it is one: keys are shown by
// their IDs elsewhere.
func signerOfHint(hint string) Signer {
	if sum, err := b64.Decode([]byte(hint)); err == nil && len(sum) == 32 {
		return Signer{KeyID: hex.EncodeToString(sum)}
	}
	return Signer{Hint: hint}
}

// signerOfLayer is what cosign's layers say about their signer: a certificate,
// or nothing.
func signerOfLayer(annotations map[string]string) (s Signer) {
	if certified(annotations) {
		var der []byte
		if block, _ := pem.Decode([]byte(annotations[simplesigning.AnnotationCertificate])); block != nil {
			der = block.Bytes
		}
		s = signerOfCertificate(der)
	}
	if m, err := sigstore.ParseAnnotations(annotations); err == nil {
		s.logged(m.Entries)
	}
	return s
}

// logged notes what the first log entry says of itself.
func (s *Signer) logged(entries []sigstore.Entry) {
	if len(entries) == 0 {
		return
	}
	first := entries[0]
	s.LogIndex = &first.LogIndex
	if first.IntegratedTime > 0 {
		s.LoggedAt = time.Unix(first.IntegratedTime, 0).UTC()
	}
}

// Extensions in which Fulcio states who vouched for the identity, the newer one
// first.
//
// Source: sigstore/fulcio docs/oid-info.md.
var issuerExtensions = []string{"1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1"}

// sourceExtension is where Fulcio states what was built.
const sourceExtension = "1.3.6.1.4.1.57264.1.12"

// extensionOf is the text of an extension; "" where there is none.
func extensionOf(c *x509.Certificate, oid string) string {
	for _, e := range c.Extensions {
		if e.Id.String() == oid {
			return extensionText(e.Value)
		}
	}
	return ""
}

func signerOfCertificate(der []byte) Signer {
	s := Signer{Certificate: true}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return s
	}
	s.Identities = append(s.Identities, c.EmailAddresses...)
	s.Identities = append(s.Identities, c.DNSNames...)
	for _, u := range c.URIs {
		s.Identities = append(s.Identities, u.String())
	}
	for _, oid := range issuerExtensions {
		s.Issuer = cmp.Or(s.Issuer, extensionOf(c, oid))
	}
	s.SourceRepository = extensionOf(c, sourceExtension)
	return s
}

// extensionText reads a UTF8String; the older extension holds bare text.
func extensionText(value []byte) string {
	var text string
	if rest, err := asn1.Unmarshal(value, &text); err == nil && len(rest) == 0 {
		return text
	}
	return string(value)
}
