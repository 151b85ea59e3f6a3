// Package dsse reads and writes DSSE envelopes: a payload, its type, and signatures
// over both.
//
// Parse reads an envelope of at most 64 signatures. It verifies nothing. A signature
// that is not base64 is kept as an empty one: it must not hide the good ones.
//
// Source: Dead Simple Signing Envelope v1.0, protocol.md and envelope.md.
package dsse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
)

// EnvelopeMediaType is the media type of a layer that holds an envelope.
const EnvelopeMediaType = "application/vnd.dsse.envelope.v1+json"

// PayloadTypeInToto is the payload type of in-toto statements.
const PayloadTypeInToto = "application/vnd.in-toto+json"

// MaxSignatures bounds the signatures of one envelope.
const MaxSignatures = 64

// MaxSignedBytes bounds the number of signatures times the size of the payload, if
// there are several signatures. Some keys hash the payload for each signature.
const MaxSignedBytes = 64 << 20

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed DSSE envelope")

// ErrTooMuch is wrapped by Parse's error about more than MaxSignedBytes.
var ErrTooMuch = errors.New("too many signatures over so large a payload")

// Envelope is a payload with signatures over its pre-authentication encoding (PAE).
type Envelope struct {
	PayloadType string
	Payload     []byte
	// Signatures are raw signatures. Key IDs are not authenticated, and are not kept.
	Signatures [][]byte
	// pae is what is signed; Payload is its end. Nil if New and Parse did not make the
	// envelope.
	pae []byte
	// room saves an allocation for Signatures of length one.
	room [1][]byte
}

// New returns an envelope without signatures. Its payload is a copy of the parts, one
// after the other.
func New(payloadType string, parts ...[]byte) *Envelope {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	pae := appendHeader(make([]byte, 0, headerSize(payloadType)+size), payloadType, size)
	header := len(pae)
	for _, p := range parts {
		pae = append(pae, p...)
	}
	return &Envelope{PayloadType: payloadType, Payload: pae[header:len(pae):len(pae)], pae: pae}
}

// Parse reads an envelope from its JSON value.
func Parse(v strictjson.Value) (*Envelope, error) {
	var e Envelope
	var ok bool
	if payloadType := v.Get("payloadType"); payloadType.Is(PayloadTypeInToto) {
		e.PayloadType = PayloadTypeInToto // without a copy
	} else if e.PayloadType, ok = payloadType.Str(); !ok {
		return nil, fmt.Errorf("%w: no payloadType", ErrMalformed)
	}
	if err := e.decodePayload(v.Get("payload")); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	list := v.Get("signatures")
	n := list.Len()
	if list.Kind() != strictjson.Array || n == 0 || n > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures, want 1 to %d", ErrMalformed, n, MaxSignatures)
	}
	if n > 1 && n*len(e.Payload) > MaxSignedBytes {
		return nil, fmt.Errorf("%w: %w: %d over %d bytes, the limit is %d bytes together", ErrMalformed, ErrTooMuch, n, len(e.Payload), MaxSignedBytes)
	}
	e.Signatures = slices.Grow(e.room[:0], n)
	for s := range list.Elems() {
		sig, err := decode(s.Get("sig"))
		if err != nil {
			sig = nil // it must not hide the good ones
		}
		e.Signatures = append(e.Signatures, sig)
	}
	return &e, nil
}

// decodePayload decodes straight into pae: a large payload is held once.
func (e *Envelope) decodePayload(v strictjson.Value) error {
	text, ok := v.StrBytes()
	if !ok {
		return errors.New("not a string")
	}
	size := b64.DecodedLen(text)
	pae := appendHeader(make([]byte, 0, headerSize(e.PayloadType)+size), e.PayloadType, size)
	header := len(pae)
	pae, err := b64.AppendDecode(pae, text)
	if err != nil {
		return err
	}
	if len(pae)-header != size {
		return b64.ErrMalformed
	}
	e.Payload, e.pae = pae[header:len(pae):len(pae)], pae
	return nil
}

func decode(v strictjson.Value) ([]byte, error) {
	text, ok := v.StrBytes()
	if !ok {
		return nil, errors.New("not a string")
	}
	return b64.Decode(text)
}

// PAE returns the bytes that are signed: the pre-authentication encoding of the
// payload. The caller must not change them.
func (e *Envelope) PAE() []byte {
	if e.pae != nil {
		return e.pae
	}
	return PAE(e.PayloadType, e.Payload)
}

// PAE returns the pre-authentication encoding of a payload and its type.
func PAE(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, headerSize(payloadType)+len(payload))
	return append(appendHeader(out, payloadType, len(payload)), payload...)
}

// Header is the part of the pre-authentication encoding before a payload of so many bytes.
func Header(payloadType string, size int) []byte { return appendHeader(nil, payloadType, size) }

// headerSize bounds the size of the header before the payload.
func headerSize(payloadType string) int { return len("DSSEv1") + 2*21 + 2 + len(payloadType) }

func appendHeader(out []byte, payloadType string, size int) []byte {
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(size), 10)
	return append(out, ' ')
}

type wireSignature struct {
	// KeyID is "" in cosign's .att layers and absent in bundles.
	KeyID *string `json:"keyid,omitempty"`
	Sig   string  `json:"sig"`
}

// Text is JSON text that holds a payload in base64. The payload is encoded as the text
// is read: a large one is not held twice.
type Text struct {
	head, payload, tail []byte
}

// Size returns the number of bytes of the text.
func (t *Text) Size() int64 {
	return int64(len(t.head)+len(t.tail)) + int64(b64.EncodedLen(len(t.payload)))
}

// Open returns a reader of the text.
func (t *Text) Open() io.Reader {
	return io.MultiReader(bytes.NewReader(t.head), b64.NewReader(t.payload), bytes.NewReader(t.tail))
}

// Bytes returns the text.
func (t *Text) Bytes() []byte {
	out := make([]byte, 0, t.Size())
	out = append(out, t.head...)
	out = b64.AppendEncode(out, t.payload)
	return append(out, t.tail...)
}

// Wrap returns the text between two others.
func (t *Text) Wrap(before, after []byte) *Text {
	return &Text{head: slices.Concat(before, t.head), payload: t.payload, tail: slices.Concat(t.tail, after)}
}

// Text returns the envelope as Sigstore bundles hold it, without keyid.
func (e *Envelope) Text() (*Text, error) { return e.text(nil) }

// TextWithKeyID returns the envelope as cosign's .att layers hold it, with the keyid
// "".
func (e *Envelope) TextWithKeyID() (*Text, error) { return e.text(new(string)) }

func (e *Envelope) text(keyID *string) (*Text, error) {
	signatures := make([]wireSignature, 0, len(e.Signatures))
	for _, s := range e.Signatures {
		signatures = append(signatures, wireSignature{KeyID: keyID, Sig: b64.Encode(s)})
	}
	tail, err := json.Marshal(struct {
		PayloadType string          `json:"payloadType"`
		Signatures  []wireSignature `json:"signatures"`
	}{e.PayloadType, signatures})
	if err != nil {
		return nil, err
	}
	return &Text{head: []byte(`{"payload":"`), payload: e.Payload, tail: append([]byte(`",`), tail[1:]...)}, nil
}
