// Package kinds tells what the content of a piece of evidence is, by the whole of it.
//
// It is the positive definition of what may pass through a gate without being judged.
// Content of none of these kinds is not evidence, whatever its media type says. [Of]
// reads in one pass, in memory that does not grow with the content.
package kinds

import (
	"bufio"
	"io"
)

// Set is a set of kinds.
type Set uint32

// The kinds. All but JOSE, COSE, SPDXText and Text are JSON objects (RFC 8259).
const (
	// JSON is any object. Bills of materials and reports have many shapes and versions;
	// an object is all that a gate needs of them.
	JSON Set = 1 << iota
	// Empty is the object without members (OCI Image Format Specification v1.1,
	// manifest.md, "Guidance for an Empty Descriptor").
	Empty
	// Inert is the config of an image that names no platform and nothing to run. cosign
	// and containers/image put one before signatures. It has no member but those of the
	// OCI specification (config.md).
	Inert
	// Bundle is a Sigstore bundle (sigstore_bundle.proto).
	Bundle
	// Envelope is a DSSE envelope (envelope.md).
	Envelope
	// SimpleSigning is a simple signing payload (containers/image, docs).
	SimpleSigning
	// Statement is an in-toto statement (in-toto attestation, spec/v1/statement.md).
	Statement
	// SPDXText is an SPDX 2 document of tags and values.
	SPDXText
	// JOSE is a flattened JSON Web Signature (RFC 7515, section 7.2.2) over a JSON
	// object, as the Notary Project writes it.
	JOSE
	// COSE is a COSE_Sign1 message (RFC 9052, section 4.2) over a JSON object, as the
	// Notary Project writes it.
	COSE
	// Text is UTF-8 text without control characters. It is not empty, an archive or a script
	// that names its interpreter. All kinds but COSE are text as well.
	Text
)

// Of reads content to its end and says what kinds it has; 0: none. An error is the
// reader's own.
func Of(r io.Reader) (Set, error) {
	seen := &watched{r: r}
	b := bufio.NewReaderSize(seen, 16<<10)
	kinds, err := of(b)
	if err == nil {
		_, err = b.WriteTo(io.Discard) // what was refused early is still read: it may be hashed
	}
	if err != nil {
		return 0, err
	}
	return seen.allow(kinds), nil
}

// of tells the kinds by the first byte that is not white space, and the rest.
func of(b *bufio.Reader) (Set, error) {
	for {
		c, err := b.ReadByte()
		switch {
		case err == io.EOF:
			return 0, nil
		case err != nil:
			return 0, err
		case isSpace(c):
			continue
		}
		if err := b.UnreadByte(); err != nil {
			return 0, err
		}
		switch c {
		case '{':
			return ofJSON(b)
		case coseSign1:
			return ofCOSE(b)
		}
		return ofSPDXText(b)
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
