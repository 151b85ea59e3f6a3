// Package bundle reads and writes Sigstore bundles.
//
// [Parse] reads v0.1 to v0.3; [NewEnvelope] and [NewMessage] write v0.3. Nothing is
// verified. The code is written by hand: generated code accepts duplicate keys, and costs
// more than the signature check itself. The interoperability tests compare the two.
//
// Source: sigstore/protobuf-specs, sigstore_bundle.proto and its JSON mapping.
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

// MediaTypeV03 is what we write, as a bundle's mediaType and as artifactType.
const MediaTypeV03 = "application/vnd.dev.sigstore.bundle.v0.3+json"

// mediaTypes are the bundles that Parse reads.
var mediaTypes = map[string]bool{
	MediaTypeV03: true,
	"application/vnd.dev.sigstore.bundle+json;version=0.3": true,
	"application/vnd.dev.sigstore.bundle+json;version=0.2": true,
	"application/vnd.dev.sigstore.bundle+json;version=0.1": true,
}

// IsMediaType reports whether a layer or artifact of this type is a bundle.
func IsMediaType(t string) bool { return mediaTypes[t] }

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed sigstore bundle")

// Bundle is a signature with what is needed to verify it. Exactly one of
// Envelope and Message is set.
type Bundle struct {
	MediaType string
	// Hint says which key is meant. It is not authenticated: use it to try the
	// likeliest key first and for nothing else.
	Hint string
	// Certificate says that a certificate, not a key, is offered as material.
	Certificate bool
	Envelope    *dsse.Envelope
	// EnvelopeText is the text that Envelope was read from.
	EnvelopeText []byte
	Message      *MessageSignature
}

// MessageSignature is a signature over the bytes of an artifact.
type MessageSignature struct {
	// SHA256 is the digest that the bundle claims for the artifact; nil where
	// it names none or another algorithm. It is not authenticated.
	SHA256    []byte
	Signature []byte
}

// Parse reads a bundle from its JSON text.
func Parse(data []byte) (*Bundle, error) {
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	b := &Bundle{}
	// What is known is not copied.
	if mediaType := root.Get("mediaType"); mediaType.Is(MediaTypeV03) {
		b.MediaType = MediaTypeV03
	} else if b.MediaType, _ = mediaType.Str(); !IsMediaType(b.MediaType) {
		return nil, fmt.Errorf("%w: mediaType %.80q", ErrMalformed, b.MediaType)
	}
	if err := b.material(root.Get("verificationMaterial")); err != nil {
		return nil, err
	}
	envelope, message := root.Get("dsseEnvelope"), root.Get("messageSignature")
	switch {
	case envelope.Exists() == message.Exists():
		return nil, fmt.Errorf("%w: want either dsseEnvelope or messageSignature", ErrMalformed)
	case envelope.Exists():
		err = b.envelope(envelope)
	default:
		err = b.message(message)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bundle) material(v strictjson.Value) error {
	key := v.Get("publicKey")
	hasKey := key.Kind() == strictjson.Object
	b.Certificate = v.Get("certificate").Exists() || v.Get("x509CertificateChain").Exists()
	if hasKey == b.Certificate {
		return fmt.Errorf("%w: verificationMaterial wants either a publicKey or a certificate", ErrMalformed)
	}
	b.Hint, _ = key.Get("hint").Str()
	return nil
}

func (b *Bundle) envelope(v strictjson.Value) (err error) {
	if b.Envelope, err = dsse.Parse(v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if n := len(b.Envelope.Signatures); n != 1 {
		return fmt.Errorf("%w: %d signatures in its envelope, want exactly one", ErrMalformed, n)
	}
	b.EnvelopeText = v.Raw()
	return nil
}

func (b *Bundle) message(v strictjson.Value) error {
	text, _ := v.Get("signature").StrBytes()
	sig, err := b64.Decode(text)
	if err != nil || len(sig) == 0 {
		return fmt.Errorf("%w: messageSignature without a signature", ErrMalformed)
	}
	b.Message = &MessageSignature{Signature: sig}
	digest := v.Get("messageDigest")
	if digest.Get("algorithm").Is("SHA2_256") {
		text, _ := digest.Get("digest").StrBytes()
		if b.Message.SHA256, err = b64.Decode(text); err != nil {
			return fmt.Errorf("%w: messageDigest: %w", ErrMalformed, err)
		}
	}
	return nil
}

// CertificateOf finds the signer's certificate (DER) in a bundle that offers one; nil:
// there is none, or it cannot be read.
func CertificateOf(text []byte) []byte {
	root, err := strictjson.Parse(text)
	if err != nil {
		return nil
	}
	material := root.Get("verificationMaterial")
	certificate := material.Get("certificate")
	for first := range material.Get("x509CertificateChain").Get("certificates").Elems() {
		certificate = first
		break
	}
	raw, _ := certificate.Get("rawBytes").StrBytes()
	der, err := b64.Decode(raw)
	if err != nil {
		return nil
	}
	return der
}

type wireKey struct {
	Hint string `json:"hint,omitempty"`
}

type wireMaterial struct {
	PublicKey wireKey `json:"publicKey"`
}

type wireDigest struct {
	Algorithm string `json:"algorithm"`
	Digest    []byte `json:"digest"`
}

type wireMessage struct {
	MessageDigest wireDigest `json:"messageDigest"`
	Signature     []byte     `json:"signature"`
}

type wireBundle struct {
	MediaType            string       `json:"mediaType"`
	VerificationMaterial wireMaterial `json:"verificationMaterial"`
	MessageSignature     *wireMessage `json:"messageSignature,omitempty"`
}

// NewEnvelope writes a v0.3 bundle of an envelope with exactly one signature,
// made by the key of the hint.
func NewEnvelope(hint string, e *dsse.Envelope) (*dsse.Text, error) {
	if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("a bundle holds exactly one signature, not %d", len(e.Signatures))
	}
	outer, err := json.Marshal(wireBundle{MediaType: MediaTypeV03, VerificationMaterial: wireMaterial{wireKey{hint}}})
	if err != nil {
		return nil, err
	}
	envelope, err := e.Text()
	if err != nil {
		return nil, err
	}
	before := append(bytes.TrimSuffix(outer, []byte("}")), `,"dsseEnvelope":`...)
	return envelope.Wrap(before, []byte("}")), nil
}

// NewMessage writes a v0.3 bundle of a signature over an artifact's bytes.
func NewMessage(hint string, sha256, signature []byte) ([]byte, error) {
	return json.Marshal(wireBundle{
		MediaType: MediaTypeV03, VerificationMaterial: wireMaterial{wireKey{hint}},
		MessageSignature: &wireMessage{MessageDigest: wireDigest{"SHA2_256", sha256}, Signature: signature},
	})
}
