// Package dsse reads and writes DSSE envelopes.
//
// Source: Dead Simple Signing Envelope v1.0, protocol.md and envelope.md.
package dsse

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/hallmark-oci/hallmark/internal/b64"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// PayloadTypeInToto is the payload type of in-toto statements.
const PayloadTypeInToto = "application/vnd.in-toto+json"

// MaxSignatures bounds the signatures of one envelope.
const MaxSignatures = 64

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed DSSE envelope")

// Envelope is a payload with signatures over its pre-authentication encoding.
type Envelope struct {
	PayloadType string
	Payload     []byte
	// Signatures are raw signatures. Key IDs are not kept: they are not
	// authenticated, so nothing may rest on them.
	Signatures [][]byte
}

// Parse reads an envelope from its JSON value.
func Parse(v strictjson.Value) (*Envelope, error) {
	var e Envelope
	var ok bool
	if e.PayloadType, ok = v.Get("payloadType").Str(); !ok {
		return nil, fmt.Errorf("%w: no payloadType", ErrMalformed)
	}
	var err error
	if e.Payload, err = decode(v.Get("payload")); err != nil {
		return nil, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	list := v.Get("signatures")
	n := list.Len()
	if list.Kind() != strictjson.Array || n == 0 || n > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures, want 1 to %d", ErrMalformed, n, MaxSignatures)
	}
	e.Signatures = make([][]byte, 0, n)
	for s := range list.Elems() {
		sig, err := decode(s.Get("sig"))
		if err != nil {
			// One garbage signature must not hide the good ones beside it.
			sig = nil
		}
		e.Signatures = append(e.Signatures, sig)
	}
	return &e, nil
}

func decode(v strictjson.Value) ([]byte, error) {
	text, ok := v.StrBytes()
	if !ok {
		return nil, errors.New("not a string")
	}
	return b64.Decode(text)
}

// PAE returns what is signed: the pre-authentication encoding of the payload.
func (e *Envelope) PAE() []byte { return PAE(e.PayloadType, e.Payload) }

// PAE is the pre-authentication encoding of a payload and its type.
func PAE(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len("DSSEv1")+2*21+2+len(payloadType)+len(payload))
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}

type wire struct {
	Payload     string          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []wireSignature `json:"signatures"`
}

type wireSignature struct {
	KeyID *string `json:"keyid,omitempty"`
	Sig   string  `json:"sig"`
}

// MarshalJSON writes the envelope as Sigstore bundles hold it, without keyid.
func (e *Envelope) MarshalJSON() ([]byte, error) {
	w := wire{Payload: b64.Encode(e.Payload), PayloadType: e.PayloadType}
	for _, s := range e.Signatures {
		w.Signatures = append(w.Signatures, wireSignature{Sig: b64.Encode(s)})
	}
	return json.Marshal(w)
}
