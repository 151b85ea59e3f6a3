package sigstoretest

import (
	"crypto"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"time"
)

// Bundle is a bundle that is being made. JSON holds it as it is written, to be changed.
type Bundle struct {
	JSON      Object
	Signature []byte
	// Message is what the signature covers; Payload that of an envelope, or nil.
	Message, Payload []byte
	by               *Signer
}

const mediaTypeV03 = "application/vnd.dev.sigstore.bundle.v0.3+json"

// InToto is the payload type of statements.
const InToto = "application/vnd.in-toto+json"

// PAE is the encoding of a payload that envelopes sign.
func PAE(kind string, payload []byte) []byte {
	return append([]byte("DSSEv1 "+strconv.Itoa(len(kind))+" "+kind+" "+strconv.Itoa(len(payload))+" "), payload...)
}

// SignMessage makes a bundle of version 0.3 about an artifact.
func (s *Signer) SignMessage(artifact []byte) *Bundle {
	b := s.bundle(artifact)
	b.JSON["messageSignature"] = Object{"messageDigest": Object{"algorithm": "SHA2_256", "digest": b64(sum(artifact))}, "signature": b64(b.Signature)}
	return b
}

// SignStatement makes a bundle of version 0.3 of an envelope.
func (s *Signer) SignStatement(payload []byte) *Bundle {
	b := s.bundle(PAE(InToto, payload))
	b.Payload = payload
	b.JSON["dsseEnvelope"] = Object{"payload": b64(payload), "payloadType": InToto, "signatures": []any{Object{"sig": b64(b.Signature)}}}
	return b
}

func (s *Signer) bundle(message []byte) *Bundle {
	s.i.t.Helper()
	return &Bundle{
		Message: message, Signature: sign(s.i, s.Key, message), by: s,
		JSON: Object{"mediaType": mediaTypeV03, "verificationMaterial": Object{
			"certificate": Object{"rawBytes": b64(s.Certificate.Raw)}, "tlogEntries": []any{},
			"timestampVerificationData": Object{"rfc3161Timestamps": []any{}},
		}},
	}
}

// Material is the bundle's verificationMaterial.
func (b *Bundle) Material() Object { return b.JSON["verificationMaterial"].(Object) }

// Entry is one of the bundle's log entries.
func (b *Bundle) Entry(n int) Object { return b.Material()["tlogEntries"].([]any)[n].(Object) }

// AddEntry adds a log entry.
func (b *Bundle) AddEntry(e Object) *Bundle {
	m := b.Material()
	m["tlogEntries"] = append(m["tlogEntries"].([]any), e)
	return b
}

// AddStamp adds a timestamp.
func (b *Bundle) AddStamp(stamp []byte) *Bundle {
	data := b.Material()["timestampVerificationData"].(Object)
	data["rfc3161Timestamps"] = append(data["rfc3161Timestamps"].([]any), Object{"signedTimestamp": b64(stamp)})
	return b
}

// Log records the bundle's signature as an entry of the kind, such as "dsse 0.0.1".
func (b *Bundle) Log(l *Log, kind string) *Bundle { return b.Record(l, kind, Record{}) }

// Record is Log with more to say.
func (b *Bundle) Record(l *Log, kind string, r Record) *Bundle {
	b.by.i.t.Helper()
	name, version := kind[:len(kind)-len(" 0.0.1")], kind[len(kind)-len("0.0.1"):]
	return b.AddEntry(l.Add(b.by.i, name, version, b.Body(kind), r))
}

// Stamp adds a timestamp by the authority.
func (b *Bundle) Stamp(a *Authority) *Bundle {
	b.by.i.t.Helper()
	return b.AddStamp(a.Stamp(b.by.i, b.Signature, Stamp{}))
}

// Chain turns the bundle into one of an older version, with a chain of certificates.
func (b *Bundle) Chain(version string, certs ...*x509.Certificate) *Bundle {
	b.JSON["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=" + version
	m := b.Material()
	delete(m, "certificate")
	list := []any{Object{"rawBytes": b64(b.by.Certificate.Raw)}}
	for _, c := range certs {
		list = append(list, Object{"rawBytes": b64(c.Raw)})
	}
	m["x509CertificateChain"] = Object{"certificates": list}
	return b
}

// Text is the bundle's JSON.
func (b *Bundle) Text() []byte {
	b.by.i.t.Helper()
	return b.by.i.Marshal(b.JSON)
}

// PEM is the certificate as Rekor v1 and cosign write it.
func (s *Signer) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate.Raw})
}

func hash(h crypto.Hash, data []byte) Object {
	if h == crypto.SHA512 {
		s := sha512.Sum512(data)
		return Object{"algorithm": "sha512", "value": hex.EncodeToString(s[:])}
	}
	return Object{"algorithm": "sha256", "value": hex.EncodeToString(sum(data))}
}

// Body is that of a log entry about the bundle's signature.
func (b *Bundle) Body(kind string) []byte {
	b.by.i.t.Helper()
	key := b64(b.by.PEM())
	verifier := Object{"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": Object{"rawBytes": b64(b.by.Certificate.Raw)}}
	var spec any
	switch kind {
	case "hashedrekord 0.0.1":
		spec = Object{"data": Object{"hash": hash(crypto.SHA256, b.Message)}, "signature": Object{"content": b64(b.Signature), "publicKey": Object{"content": key}}}
	case "dsse 0.0.1":
		spec = Object{"envelopeHash": hash(crypto.SHA256, b.EnvelopeText()), "payloadHash": hash(crypto.SHA256, b.Payload),
			"signatures": []any{Object{"signature": b64(b.Signature), "verifier": key}}}
	case "intoto 0.0.1":
		spec = Object{"content": Object{"hash": hash(crypto.SHA256, b.EnvelopeText()), "payloadHash": hash(crypto.SHA256, b.Payload)}, "publicKey": key}
	case "intoto 0.0.2":
		twice := base64.StdEncoding.EncodeToString([]byte(b64(b.Signature)))
		spec = Object{"content": Object{"hash": hash(crypto.SHA256, b.EnvelopeText()), "payloadHash": hash(crypto.SHA256, b.Payload),
			"envelope": Object{"payloadType": InToto, "signatures": []any{Object{"publicKey": key, "sig": twice}}}}}
	case "hashedrekord 0.0.2":
		spec = Object{"hashedRekordV002": Object{"data": Object{"algorithm": "SHA2_256", "digest": b64(sum(b.Message))},
			"signature": Object{"content": b64(b.Signature), "verifier": verifier}}}
	case "dsse 0.0.2":
		spec = Object{"dsseV002": Object{"payloadHash": Object{"algorithm": "SHA2_256", "digest": b64(sum(b.Payload))},
			"signatures": []any{Object{"content": b64(b.Signature), "verifier": verifier}}}}
	default:
		b.by.i.t.Fatalf("no such kind of log entry: %s", kind)
	}
	name, version := kind[:len(kind)-len(" 0.0.1")], kind[len(kind)-len("0.0.1"):]
	return b.by.i.Marshal(Object{"apiVersion": version, "kind": name, "spec": spec})
}

// EnvelopeText is the text of the bundle's envelope.
func (b *Bundle) EnvelopeText() []byte {
	text, err := json.Marshal(b.JSON["dsseEnvelope"])
	b.by.i.check(err)
	return text
}

// By is the bundle's signature as if it were another signer's: for log entries that hold
// another certificate.
func (b *Bundle) By(s *Signer) *Bundle {
	other := *b
	other.by = s
	return &other
}

// Annotations are those in which cosign keeps the signature with what vouches for it.
func (b *Bundle) Annotations(l *Log, kind string, a *Authority) map[string]string {
	i := b.by.i
	i.t.Helper()
	at, body := i.Now.Add(time.Minute), b.Body(kind)
	entry := Object{
		"SignedEntryTimestamp": b64(l.Promise(i, body, at, 7)),
		"Payload":              Object{"body": b64(body), "integratedTime": at.Unix(), "logIndex": 7, "logID": hex.EncodeToString(l.ID)},
	}
	return map[string]string{
		"dev.cosignproject.cosign/signature":   b64(b.Signature),
		"dev.sigstore.cosign/certificate":      string(b.by.PEM()),
		"dev.sigstore.cosign/bundle":           string(i.Marshal(entry)),
		"dev.sigstore.cosign/rfc3161timestamp": string(i.Marshal(Object{"SignedRFC3161Timestamp": b64(a.Stamp(i, b.Signature, Stamp{}))})),
	}
}
