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
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

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
	// Hint says which key is meant, in standard base64 if it is a key's hash. It is
	// not authenticated: use it only to try the likeliest key first.
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
	// Digest is what the bundle claims to be the artifact's digest by Hash. Nil: it
	// claims none, or one by another algorithm than SHA-256, SHA-384 and SHA-512. It is
	// not authenticated.
	Digest    []byte
	Hash      crypto.Hash
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
	hint, _ := key.Get("hint").Str()
	b.Hint = canonicalHint(hint)
	return nil
}

// canonicalHint writes a key's hash as we do; other hints stay as they are.
func canonicalHint(hint string) string {
	if sum, err := b64.Decode([]byte(hint)); err == nil && len(sum) == sha256.Size {
		return b64.Encode(sum)
	}
	return hint
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
	if b.Message.Hash = hashOf(digest.Get("algorithm")); b.Message.Hash == 0 {
		return nil
	}
	text, _ = digest.Get("digest").StrBytes()
	if b.Message.Digest, err = b64.Decode(text); err != nil {
		return fmt.Errorf("%w: messageDigest: %w", ErrMalformed, err)
	}
	return nil
}

// hashNames are the values of HashAlgorithm (sigstore_common.proto) that are
// written here, each with its number, which Protocol Buffers' JSON mapping allows.
var hashNames = []struct {
	hash   crypto.Hash
	name   string
	number int64
}{{crypto.SHA256, "SHA2_256", 1}, {crypto.SHA384, "SHA2_384", 2}, {crypto.SHA512, "SHA2_512", 3}}

// hashOf returns the hash that is named; 0: none, or one that is not known.
func hashOf(algorithm strictjson.Value) crypto.Hash {
	number, isNumber := algorithm.Int()
	for _, h := range hashNames {
		if algorithm.Is(h.name) || isNumber && number == h.number {
			return h.hash
		}
	}
	return 0
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

// LoggedAs is what the first log entry of a bundle says about itself: its index and the
// time when it was made, zero if it names none. Nothing of it is verified.
func LoggedAs(text []byte) (index string, at time.Time) {
	root, err := strictjson.Parse(text)
	if err != nil {
		return "", at
	}
	for entry := range root.Get("verificationMaterial").Get("tlogEntries").Elems() {
		index, _ = entry.Get("logIndex").Str()
		seconds, _ := entry.Get("integratedTime").Str()
		if n, err := strconv.ParseInt(seconds, 10, 64); err == nil && n > 0 {
			at = time.Unix(n, 0).UTC()
		}
		break
	}
	return index, at
}

// Material is what a bundle holds to verify its signature.
type Material struct {
	// Hint says which key has signed. It is written where there is no Certificate.
	Hint string
	// Certificate is the signer's, in DER; nil: a key has signed.
	Certificate []byte
	// Entries are entries of transparency logs, each in the JSON of bundles.
	Entries [][]byte
	// Timestamps are time-stamp responses by RFC 3161.
	Timestamps [][]byte
}

type wireKey struct {
	Hint string `json:"hint,omitempty"`
}

type wireCertificate struct {
	RawBytes []byte `json:"rawBytes"`
}

type wireTimestamp struct {
	SignedTimestamp []byte `json:"signedTimestamp"`
}

type wireTimestamps struct {
	RFC3161 []wireTimestamp `json:"rfc3161Timestamps"`
}

type wireMaterial struct {
	PublicKey   *wireKey          `json:"publicKey,omitempty"`
	Certificate *wireCertificate  `json:"certificate,omitempty"`
	Entries     []json.RawMessage `json:"tlogEntries,omitempty"`
	Timestamps  *wireTimestamps   `json:"timestampVerificationData,omitempty"`
}

func (m *Material) wire() (w wireMaterial) {
	if m.Certificate == nil {
		w.PublicKey = &wireKey{m.Hint}
	} else {
		w.Certificate = &wireCertificate{m.Certificate}
	}
	for _, e := range m.Entries {
		w.Entries = append(w.Entries, e)
	}
	if len(m.Timestamps) > 0 {
		w.Timestamps = &wireTimestamps{}
	}
	for _, t := range m.Timestamps {
		w.Timestamps.RFC3161 = append(w.Timestamps.RFC3161, wireTimestamp{t})
	}
	return w
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

// NewEnvelope writes a v0.3 bundle of an envelope with exactly one signature, which
// the material is about.
func NewEnvelope(m Material, e *dsse.Envelope) (*dsse.Text, error) {
	if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("a bundle holds exactly one signature, not %d", len(e.Signatures))
	}
	outer, err := json.Marshal(wireBundle{MediaType: MediaTypeV03, VerificationMaterial: m.wire()})
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

// NewMessage writes a v0.3 bundle of a signature over an artifact's bytes, whose
// digest by a hash is named.
func NewMessage(m Material, hash crypto.Hash, digest, signature []byte) ([]byte, error) {
	w := wireMessage{MessageDigest: wireDigest{Digest: digest}, Signature: signature}
	for _, h := range hashNames {
		if h.hash == hash {
			w.MessageDigest.Algorithm = h.name
		}
	}
	return json.Marshal(wireBundle{MediaType: MediaTypeV03, VerificationMaterial: m.wire(), MessageSignature: &w})
}
