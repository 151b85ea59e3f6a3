package sigstore

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/b64"
)

// ErrMismatch says that a log entry or a bundle is about something else than the signature.
var ErrMismatch = errors.New("about something else")

// body is what an entry says was logged, in whatever form.
type body struct {
	v2 bool // of Rekor v2
	// digests must be what the signature covers. At least one.
	digests []logged
	// signers must hold the signature with its key. envelope stands in place of them in
	// the one form that has no signatures: the digest of the envelope's text.
	signers  []loggedSigner
	envelope *logged
	// key stands beside envelope.
	key []byte
}

// logged is a digest in an entry, of the message or, in dsse and intoto entries, of the
// payload.
type logged struct {
	hash      crypto.Hash
	sum       []byte
	ofPayload bool
}

type loggedSigner struct {
	signature []byte
	key       []byte // DER of a certificate or of a public key
}

// parseBody reads the body of an entry, whose kind and version must be those stated
// where the entry states them.
func parseBody(e *Entry) (*body, error) {
	root, err := strictjson.Parse(e.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: log entry: %w", ErrMalformed, err)
	}
	r := &bodyReader{}
	r.object(root, "the log entry", "apiVersion", "kind", "spec")
	kind, version, spec := r.text(root.Get("kind"), "kind"), r.text(root.Get("apiVersion"), "apiVersion"), root.Get("spec")
	if e.Kind != "" && e.Kind != kind || e.Version != "" && e.Version != version {
		r.fail("kindVersion is %.20s %.20s, the log entry is %.20s %.20s", e.Kind, e.Version, kind, version)
	}
	b := &body{}
	switch kind + " " + version {
	case "hashedrekord 0.0.1":
		r.hashedV1(b, spec)
	case "dsse 0.0.1":
		r.dsseV1(b, spec)
	case "intoto 0.0.1":
		r.intotoV001(b, spec)
	case "intoto 0.0.2":
		r.intotoV002(b, spec)
	case "hashedrekord 0.0.2":
		r.hashedV2(b, spec)
	case "dsse 0.0.2":
		r.dsseV2(b, spec)
	default:
		r.fail("log entry of type %.40q", kind+" "+version)
	}
	return b, r.err
}

// bodyReader reads what log entries hold.
type bodyReader struct{ reader }

// rekorHashes are the names of hashes in Rekor v1.
var rekorHashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// hash reads a digest in hexadecimal digits, as Rekor v1 writes it.
func (r *bodyReader) hash(v strictjson.Value, what string, ofPayload bool) logged {
	r.object(v, what, "algorithm", "value")
	h := rekorHashes[r.text(v.Get("algorithm"), what)]
	sum, err := hex.DecodeString(r.text(v.Get("value"), what))
	if h == 0 || err != nil || len(sum) != h.Size() {
		r.fail("%s is not a digest by sha256, sha384 or sha512", what)
	}
	return logged{h, sum, ofPayload}
}

// pemKey reads a certificate or public key in PEM in base64.
func (r *bodyReader) pemKey(v strictjson.Value) []byte {
	block, _ := pem.Decode(r.bytes(v, "publicKey"))
	if block == nil {
		r.fail("the log entry's public key is not PEM")
		return nil
	}
	return block.Bytes
}

func (r *bodyReader) hashedV1(b *body, spec strictjson.Value) {
	data, signature := spec.Get("data"), spec.Get("signature")
	key := signature.Get("publicKey")
	if !r.object(spec, "spec", "data", "signature") || !r.object(data, "data", "hash") ||
		!r.object(signature, "signature", "content", "publicKey") || !r.object(key, "publicKey", "content") {
		return
	}
	b.digests = append(b.digests, r.hash(data.Get("hash"), "data.hash", false))
	b.signers = append(b.signers, loggedSigner{r.bytes(signature.Get("content"), "content"), r.pemKey(key.Get("content"))})
}

func (r *bodyReader) dsseV1(b *body, spec strictjson.Value) {
	if !r.object(spec, "spec", "envelopeHash", "payloadHash", "signatures") {
		return
	}
	r.hash(spec.Get("envelopeHash"), "envelopeHash", false) // of a text that bundles do not keep
	b.digests = append(b.digests, r.hash(spec.Get("payloadHash"), "payloadHash", true))
	if list := spec.Get("signatures"); r.list(list, "signatures", MaxEntries) {
		for s := range list.Elems() {
			if r.object(s, "a signature", "signature", "verifier") {
				b.signers = append(b.signers, loggedSigner{r.bytes(s.Get("signature"), "signature"), r.pemKey(s.Get("verifier"))})
			}
		}
	}
}

// intotoV001 holds no signature but the digest of the envelope as it was uploaded.
func (r *bodyReader) intotoV001(b *body, spec strictjson.Value) {
	content := spec.Get("content")
	if !r.object(spec, "spec", "content", "publicKey") || !r.object(content, "content", "hash", "payloadHash") {
		return
	}
	envelope := r.hash(content.Get("hash"), "hash", false)
	b.envelope, b.key = &envelope, r.pemKey(spec.Get("publicKey"))
	if payload := content.Get("payloadHash"); given(payload) {
		b.digests = append(b.digests, r.hash(payload, "payloadHash", true))
	}
}

func (r *bodyReader) intotoV002(b *body, spec strictjson.Value) {
	content := spec.Get("content")
	envelope := content.Get("envelope")
	if !r.object(spec, "spec", "content") || !r.object(content, "content", "envelope", "hash", "payloadHash") ||
		!r.object(envelope, "envelope", "payload", "payloadType", "signatures") {
		return
	}
	r.hash(content.Get("hash"), "hash", false) // as in dsseV1
	b.digests = append(b.digests, r.hash(content.Get("payloadHash"), "payloadHash", true))
	if list := envelope.Get("signatures"); r.list(list, "signatures", MaxEntries) {
		for s := range list.Elems() {
			if !r.object(s, "a signature", "keyid", "publicKey", "sig") {
				return
			}
			twice := r.bytes(s.Get("sig"), "sig") // base64 of what is base64 in the envelope
			signature, err := b64.Decode(twice)
			if err != nil {
				r.fail("sig is not base64")
			}
			b.signers = append(b.signers, loggedSigner{signature, r.pemKey(s.Get("publicKey"))})
		}
	}
}

func (r *bodyReader) hashedV2(b *body, spec strictjson.Value) {
	b.v2 = true
	entry := spec.Get("hashedRekordV002")
	if !r.object(spec, "spec", "hashedRekordV002") || !r.object(entry, "hashedRekordV002", "data", "signature") {
		return
	}
	h, sum := r.digest(entry.Get("data"), "data")
	b.digests = append(b.digests, logged{h, sum, false})
	b.signers = append(b.signers, r.signerV2(entry.Get("signature")))
}

func (r *bodyReader) dsseV2(b *body, spec strictjson.Value) {
	b.v2 = true
	entry := spec.Get("dsseV002")
	if !r.object(spec, "spec", "dsseV002") || !r.object(entry, "dsseV002", "payloadHash", "signatures") {
		return
	}
	h, sum := r.digest(entry.Get("payloadHash"), "payloadHash")
	b.digests = append(b.digests, logged{h, sum, true})
	if list := entry.Get("signatures"); r.list(list, "signatures", MaxEntries) {
		for s := range list.Elems() {
			b.signers = append(b.signers, r.signerV2(s))
		}
	}
}

func (r *bodyReader) signerV2(v strictjson.Value) (s loggedSigner) {
	verifier := v.Get("verifier")
	if !r.object(v, "signature", "content", "verifier") || !r.object(verifier, "verifier", "keyDetails", "x509Certificate", "publicKey") {
		return s
	}
	s.signature = r.bytes(v.Get("content"), "content")
	r.text(verifier.Get("keyDetails"), "keyDetails")
	certificate, key := verifier.Get("x509Certificate"), verifier.Get("publicKey")
	held := certificate
	if !given(certificate) {
		held = key
	}
	if given(certificate) == given(key) || !r.object(held, "the verifier", "rawBytes") {
		r.fail("a verifier wants either x509Certificate or publicKey")
		return s
	}
	s.key = r.bytes(held.Get("rawBytes"), "rawBytes")
	return s
}

// matches checks that the body is about the evidence: the digest of what is signed, the
// signature, and the signer's certificate or key.
func (b *body) matches(e *Evidence, signer []byte) error {
	for _, d := range b.digests {
		sum := e.sum(d)
		switch {
		case sum == nil:
			return fmt.Errorf("%w: the digest of the log entry is by %v, which cannot be compared", ErrMismatch, d.hash)
		case !bytes.Equal(sum, d.sum):
			return fmt.Errorf("%w: the digest of the log entry differs", ErrMismatch)
		}
	}
	if b.envelope != nil {
		return b.matchesText(e, signer)
	}
	for _, s := range b.signers {
		switch {
		case len(s.signature) == 0 || !bytes.Equal(s.signature, e.Signature):
		case !bytes.Equal(s.key, signer):
			return fmt.Errorf("%w: the certificate or key of the log entry differs", ErrMismatch)
		default:
			return nil
		}
	}
	return fmt.Errorf("%w: the signature of the log entry differs", ErrMismatch)
}

// matchesText is matches for bodies that hold a digest in place of signatures.
func (b *body) matchesText(e *Evidence, signer []byte) error {
	h := b.envelope.hash.New()
	h.Write(e.EnvelopeText)
	switch {
	case e.Envelope == nil || !bytes.Equal(h.Sum(nil), b.envelope.sum):
		return fmt.Errorf("%w: the digest of the envelope in the log entry differs", ErrMismatch)
	case !bytes.Equal(b.key, signer):
		return fmt.Errorf("%w: the certificate or key of the log entry differs", ErrMismatch)
	}
	return nil
}
