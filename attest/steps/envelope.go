package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
	"github.com/hallmark-oci/hallmark/sign"
)

// wireEnvelope is a DSSE envelope that keeps the JSON text of its signatures.
type wireEnvelope struct {
	PayloadType string            `json:"payloadType"`
	Payload     string            `json:"payload"`
	Signatures  []json.RawMessage `json:"signatures"`
}

type wireSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// signPayload signs a payload and returns the envelope.
func signPayload(ctx context.Context, payload []byte, signers []sign.Signer) ([]byte, error) {
	e := dsse.New(dsse.PayloadTypeInToto, payload)
	wire := wireEnvelope{PayloadType: e.PayloadType, Payload: b64.Encode(e.Payload)}
	return wire.sign(ctx, e, signers)
}

// AddSignatures adds signatures to the envelope of a link or layout. With it,
// owners on several machines sign one layout, and several functionaries sign one
// link.
//
// The payload and the present signatures stay byte for byte. They are not
// verified: read the payload with ReadLink or ReadLayout before signing it. A key
// that has signed already does not sign again.
//
// Errors are ErrLink or ErrLayout, ErrOptions, sign.ErrSigner and sign.ErrKey.
func AddSignatures(ctx context.Context, envelope []byte, signers ...sign.Signer) ([]byte, error) {
	root, e, err := steplayout.Open(envelope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLink, err)
	}
	if steplayout.Is(e.Payload) {
		_, err = readLayout(e.Payload)
	} else {
		_, err = readLink(e.Payload)
	}
	if err != nil {
		return nil, err
	}
	var wire wireEnvelope
	if err := strictjson.Decode(root, &wire, strictjson.DecodeOptions{}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLink, err)
	}
	return wire.sign(ctx, e, signers)
}

func (w *wireEnvelope) sign(ctx context.Context, e *dsse.Envelope, signers []sign.Signer) ([]byte, error) {
	checked, err := signer.Check(signers)
	if errors.Is(err, signer.ErrNone) {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err != nil {
		return nil, err
	}
	m := &sigkey.Message{Bytes: e.PAE()}
	for _, by := range checked {
		if signed, err := signedBy(ctx, e, m, by.Key); err != nil {
			return nil, err
		} else if signed {
			continue
		}
		s, err := signInToto(ctx, e, by)
		if err != nil {
			return nil, err
		}
		w.Signatures = append(w.Signatures, s)
	}
	if len(w.Signatures) > dsse.MaxSignatures {
		return nil, fmt.Errorf("%w: the envelope has %d signatures, the limit is %d", ErrOptions, len(w.Signatures), dsse.MaxSignatures)
	}
	text, err := json.Marshal(w)
	if err == nil && len(text) > steplayout.MaxEnvelopeBytes {
		err = fmt.Errorf("%w: the envelope has %d bytes, the limit is %d", ErrOptions, len(text), steplayout.MaxEnvelopeBytes)
	}
	return text, err
}

// signInToto signs with the algorithm by which in-toto verifies. It refuses any
// other signature, which would fail in other tools long after signing.
func signInToto(ctx context.Context, e *dsse.Envelope, by signer.Checked) (json.RawMessage, error) {
	key, err := toInToto(by.Key)
	if err != nil {
		return nil, err
	}
	sig, err := by.SignChecked(ctx, e.PAE())
	if err != nil {
		return nil, err
	}
	if by.Key.VerifyAs(&sigkey.Message{Bytes: e.PAE()}, sig, algorithm(by.Key)) != nil {
		return nil, fmt.Errorf("%w: key %s signs with an algorithm that in-toto does not verify; it verifies RSA with PSS, Ed25519 without prehash and ECDSA with the curve's own hash (see sign.SignerOptions)", ErrOptions, by.Key.ID())
	}
	return json.Marshal(wireSignature{KeyID: key.KeyID, Sig: b64.Encode(sig)})
}

// signedBy reports whether a key has signed an envelope. m is what its signatures
// cover. The error is the context's, which is examined before each check.
func signedBy(ctx context.Context, e *dsse.Envelope, m *sigkey.Message, key *sigkey.Key) (bool, error) {
	for _, sig := range e.Signatures {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if key.Verify(m, sig) == nil {
			return true, nil
		}
	}
	return false, nil
}
