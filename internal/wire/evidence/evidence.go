// Package evidence opens, describes and writes what is attached to an image, in every
// format. It tells what is signed, by whom it may be, and, once a signature was checked,
// what it says.
//
// [Open] reads a layer and judges nothing. A caller takes the [Opened], checks its
// Signatures over Signed with a trusted key, and only then reads Content:
//
//	opened, err := evidence.Open(mediaType, annotations, data)
//	made, err := opened.VerifiedWithin(ctx, key)
//	content, err := opened.Content()
//
// [Describe] reads a layer for people, more leniently. Nothing may rest on a
// [Description]. [WriteBundle], [WriteEnvelope] and [WriteSimple] write what
// registry.Attach stores.
package evidence

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// ErrMalformed is wrapped where evidence is not what its media type says.
var ErrMalformed = errors.New("malformed evidence")

// ErrNotByKey says that evidence offers a certificate: no key is its signer. Open returns
// the Opened with it.
var ErrNotByKey = errors.New("signed with a certificate, not with a key")

// ErrTooMuch says that checking the signatures of one piece would take too much.
var ErrTooMuch = dsse.ErrTooMuch

// ErrWrongType says that evidence is well-formed but of another purpose. An Opened that
// Open returns with it says no more than Certificate.
var ErrWrongType = errors.New("evidence of another type")

// ErrOverBytes is the ErrWrongType of a bundle about a file. Open returns the Opened
// with it, whose Signed is nil: the file is what the signature covers.
var ErrOverBytes = fmt.Errorf("%w: a signature over an artifact's bytes, not a statement", ErrWrongType)

// Opened is one piece of evidence whose signatures have not been checked.
type Opened struct {
	// Signed is what the signatures cover.
	Signed *sigkey.Message
	// Signatures are candidates; one that verifies is enough.
	Signatures [][]byte
	// Hint may name the key; not authenticated.
	Hint string
	// Certificate says that a certificate is offered in place of a key.
	Certificate bool
	// Digest is what a bundle about a file claims to be its digest by Hash; nil: none.
	Digest []byte
	Hash   crypto.Hash
	// Envelope is the text of the DSSE envelope; nil in other formats.
	Envelope []byte
	// payload is the part of Signed that Content reads; the same bytes.
	payload []byte
	simple  bool
	message sigkey.Message // what Signed points at
}

// Content is what opened evidence says. Exactly one field is set.
type Content struct {
	Simple    *simplesigning.Payload
	Statement *intoto.Statement
}

// Open reads a layer by its media type: a simple signing payload, a DSSE
// envelope or a bundle. annotations are the layer's.
func Open(mediaType string, annotations map[string]string, data []byte) (*Opened, error) {
	switch FormatOf(mediaType) {
	case FormatSimpleSigning:
		return openSimple(annotations, data)
	case FormatEnvelope:
		return openEnvelope(annotations, data)
	case FormatBundle:
		return openBundle(data)
	}
	return nil, fmt.Errorf("%w: media type %.80q", ErrWrongType, mediaType)
}

func openSimple(annotations map[string]string, data []byte) (*Opened, error) {
	text, there := annotations[simplesigning.AnnotationSignature]
	if !there {
		return nil, fmt.Errorf("%w: layer without %s", ErrMalformed, simplesigning.AnnotationSignature)
	}
	sig, err := b64.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	return newOpened(data, Opened{
		Signatures: [][]byte{sig}, Certificate: certified(annotations), payload: data, simple: true,
	}).offered()
}

func openEnvelope(annotations map[string]string, data []byte) (*Opened, error) {
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	e, err := dsse.Parse(root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return fromEnvelope(e, Opened{Certificate: certified(annotations), Envelope: root.Raw()})
}

func openBundle(data []byte) (*Opened, error) { return fromBundle(bundle.Parse(data)) }

// OpenFile opens a signature of a file: a bundle, cosign's older bundle, or a
// detached signature.
func OpenFile(data []byte) (*Opened, error) { return fromBundle(bundle.ParseFile(data)) }

func fromBundle(b *bundle.Bundle, err error) (*Opened, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	c := Opened{Hint: b.Hint, Certificate: b.Certificate, Envelope: b.EnvelopeText}
	if m := b.Message; b.Envelope == nil {
		c.Signatures, c.Digest, c.Hash = [][]byte{m.Signature}, m.Digest, m.Hash
		return &c, ErrOverBytes
	}
	return fromEnvelope(b.Envelope, c)
}

// fromEnvelope completes what is opened from an envelope.
func fromEnvelope(e *dsse.Envelope, c Opened) (*Opened, error) {
	if e.PayloadType != dsse.PayloadTypeInToto {
		return &c, fmt.Errorf("%w: payloadType %.80q", ErrWrongType, e.PayloadType)
	}
	c.Signatures, c.payload = e.Signatures, e.Payload
	return newOpened(e.PAE(), c).offered()
}

// newOpened returns evidence whose signatures cover these bytes.
func newOpened(signed []byte, c Opened) *Opened {
	c.message.Bytes = signed
	c.Signed = &c.message
	return &c
}

// certified reports whether a layer's annotations offer a certificate.
func certified(annotations map[string]string) bool {
	return annotations[simplesigning.AnnotationCertificate] != ""
}

// offered adds ErrNotByKey where a certificate is offered.
func (c *Opened) offered() (*Opened, error) {
	if c.Certificate {
		return c, ErrNotByKey
	}
	return c, nil
}

// IsSigned reports whether bytes could be what a signature of evidence covers. They could
// be the pre-authentication encoding of a DSSE envelope (DSSE protocol.md, "Signature
// Definition"), or resemble a simple signing payload. A signature over such a file would
// be one about an image too.
//
// start is how the bytes begin: the first seven at least. all is nil where they are too
// many to be held, and then too many for evidence.
func IsSigned(start, all []byte) bool {
	if bytes.HasPrefix(start, []byte("DSSEv1 ")) {
		return true
	}
	return simplesigning.Resembles(all)
}

// SignaturesBy lists the evidence's signatures that are the key's. An error is that of
// the context, which is looked at before each.
func (c *Opened) SignaturesBy(ctx context.Context, k *sigkey.Key) (made [][]byte, err error) {
	for _, sig := range c.Signatures {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if k.Verify(c.Signed, sig) == nil {
			made = append(made, sig)
		}
	}
	return made, nil
}

// VerifiedWithin reports whether any of the evidence's signatures is the key's. An error is
// that of the context, which is looked at before each.
func (c *Opened) VerifiedWithin(ctx context.Context, k *sigkey.Key) (bool, error) {
	for _, sig := range c.Signatures {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if k.Verify(c.Signed, sig) == nil {
			return true, nil
		}
	}
	return false, nil
}

// Content parses what was signed. It says nothing about who signed it: check
// VerifiedWithin first.
func (c *Opened) Content() (Content, error) {
	if c.simple {
		p, err := simplesigning.Parse(c.payload)
		return Content{Simple: p}, wrap(err)
	}
	s, err := intoto.Parse(c.payload)
	return Content{Statement: s}, wrap(err)
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}
