package sigstore

import (
	"crypto"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

// Bounds of verification material.
const (
	// MaxEntries and MaxTimestamps bound what comes with one signature.
	MaxEntries    = 16
	MaxTimestamps = 16
	// MaxCertificates bounds the certificates of a chain.
	MaxCertificates = 10
	// MaxProofHashes bounds an inclusion proof: a log has fewer than 2^63 entries.
	MaxProofHashes = 64
)

// Material is what comes with a signature to verify it.
type Material struct {
	// Certificate is the signer's, in DER. Nil: a key, which Hint may name.
	Certificate []byte
	Hint        string
	Entries     []Entry
	// Timestamps are time-stamp responses by RFC 3161, or their tokens.
	Timestamps [][]byte
}

// Entry is what a transparency log says of a signature.
type Entry struct {
	LogID    []byte
	LogIndex int64
	// Kind and Version name the type of Body; empty where only Body says it.
	Kind, Version string
	// IntegratedTime, in seconds, is a time only where Promise covers it.
	IntegratedTime int64
	// Promise is a signed entry timestamp; nil: none.
	Promise []byte
	// Proof is nil where there is none.
	Proof *Proof
	Body  []byte
}

// Proof is an inclusion proof with the checkpoint that it leads to.
type Proof struct {
	LogIndex, TreeSize int64
	RootHash           []byte
	Hashes             [][]byte
	Checkpoint         string
}

// Bundle is a Sigstore bundle. Exactly one of Envelope and Message is set.
type Bundle struct {
	Material
	// Version is the minor version of the format: 1 to 3.
	Version  int
	Envelope *dsse.Envelope
	// EnvelopeText is the text that Envelope was read from.
	EnvelopeText []byte
	Message      *MessageSignature
}

// MessageSignature is a signature over the bytes of an artifact.
type MessageSignature struct {
	// Hash and Digest are what the bundle claims of the artifact. They are not
	// authenticated, and must be the artifact's.
	Hash      crypto.Hash
	Digest    []byte
	Signature []byte
}

// versions are the formats that ParseBundle reads.
var versions = map[string]int{
	"application/vnd.dev.sigstore.bundle+json;version=0.1": 1,
	"application/vnd.dev.sigstore.bundle+json;version=0.2": 2,
	"application/vnd.dev.sigstore.bundle+json;version=0.3": 3,
	bundle.MediaTypeV03: 3,
}

// ParseBundle reads a bundle. Unlike package bundle it reads all of it, and refuses
// members that it does not know.
func ParseBundle(data []byte) (*Bundle, error) {
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r, b := &bundleReader{}, &Bundle{}
	if !r.object(root, "the bundle", "mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature") {
		return nil, r.err
	}
	mediaType := r.text(root.Get("mediaType"), "mediaType")
	if b.Version = versions[mediaType]; b.Version == 0 {
		r.fail("mediaType %.80q", mediaType)
	}
	r.material(b, root.Get("verificationMaterial"))
	envelope, message := root.Get("dsseEnvelope"), root.Get("messageSignature")
	switch {
	case given(envelope) == given(message):
		r.fail("want either dsseEnvelope or messageSignature")
	case given(envelope):
		b.Envelope, b.EnvelopeText = r.envelope(envelope), envelope.Raw()
	default:
		b.Message = r.message(message)
	}
	if r.err != nil {
		return nil, r.err
	}
	return b, nil
}

// bundleReader reads what bundles hold.
type bundleReader struct{ reader }

func (r *bundleReader) material(b *Bundle, v strictjson.Value) {
	if !r.object(v, "verificationMaterial", "publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData") {
		return
	}
	r.signer(b, v)
	if entries := v.Get("tlogEntries"); r.list(entries, "tlogEntries", MaxEntries) {
		for e := range entries.Elems() {
			b.Entries = append(b.Entries, r.entry(e, b.Version))
		}
	}
	stamps := v.Get("timestampVerificationData")
	if !given(stamps) || !r.object(stamps, "timestampVerificationData", "rfc3161Timestamps") {
		return
	}
	if list := stamps.Get("rfc3161Timestamps"); r.list(list, "rfc3161Timestamps", MaxTimestamps) {
		for s := range list.Elems() {
			if r.object(s, "a timestamp", "signedTimestamp") {
				b.Timestamps = append(b.Timestamps, r.bytes(s.Get("signedTimestamp"), "signedTimestamp"))
			}
		}
	}
}

// signer reads who has signed: exactly one of a key, a certificate and a chain.
func (r *bundleReader) signer(b *Bundle, v strictjson.Value) {
	key, certificate, chain := v.Get("publicKey"), v.Get("certificate"), v.Get("x509CertificateChain")
	switch {
	case given(key) && !given(certificate) && !given(chain):
		if r.object(key, "publicKey", "hint") {
			b.Hint = r.text(key.Get("hint"), "hint")
		}
	case given(certificate) && !given(key) && !given(chain):
		b.Certificate = r.certificate(certificate)
	case given(chain) && !given(key) && !given(certificate):
		b.Certificate = r.chain(b.Version, chain)
	default:
		r.fail("verificationMaterial wants exactly one of publicKey, certificate and x509CertificateChain")
	}
}

func (r *reader) certificate(v strictjson.Value) []byte {
	if !r.object(v, "a certificate", "rawBytes") {
		return nil
	}
	der := r.bytes(v.Get("rawBytes"), "rawBytes")
	if len(der) == 0 {
		r.fail("a certificate is empty")
	}
	return der
}

// chain reads the signer's certificate, the first of a chain. What follows is read and
// trusted for nothing: the root has the certificates above.
func (r *bundleReader) chain(version int, v strictjson.Value) (leaf []byte) {
	if version >= 3 {
		r.fail("x509CertificateChain in a bundle of version 0.3, which wants certificate")
	}
	if !r.object(v, "x509CertificateChain", "certificates") {
		return nil
	}
	list := v.Get("certificates")
	if !r.list(list, "certificates", MaxCertificates) || list.Len() == 0 {
		r.fail("a chain without certificates")
		return nil
	}
	for c := range list.Elems() {
		der := r.certificate(c)
		switch {
		case leaf == nil:
			leaf = der
		case version >= 2 && r.err == nil && isSelfIssued(der):
			r.fail("the chain holds a root certificate")
		}
	}
	return leaf
}

func (r *bundleReader) entry(v strictjson.Value, version int) (e Entry) {
	if !r.object(v, "a tlog entry", "logIndex", "logId", "kindVersion", "integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody") {
		return e
	}
	e.LogIndex = r.natural(v.Get("logIndex"), "logIndex")
	e.IntegratedTime = r.natural(v.Get("integratedTime"), "integratedTime")
	if e.Body = r.bytes(v.Get("canonicalizedBody"), "canonicalizedBody"); len(e.Body) == 0 {
		r.fail("a tlog entry without canonicalizedBody")
	}
	if id := v.Get("logId"); r.object(id, "logId", "keyId") {
		if e.LogID = r.bytes(id.Get("keyId"), "keyId"); len(e.LogID) == 0 {
			r.fail("logId without keyId")
		}
	}
	if kind := v.Get("kindVersion"); r.object(kind, "kindVersion", "kind", "version") {
		e.Kind, e.Version = r.text(kind.Get("kind"), "kind"), r.text(kind.Get("version"), "version")
		if e.Kind == "" || e.Version == "" {
			r.fail("kindVersion without kind or version")
		}
	}
	if promise := v.Get("inclusionPromise"); given(promise) && r.object(promise, "inclusionPromise", "signedEntryTimestamp") {
		e.Promise = r.bytes(promise.Get("signedEntryTimestamp"), "signedEntryTimestamp")
	}
	if proof := v.Get("inclusionProof"); given(proof) {
		e.Proof = r.proof(proof)
	}
	switch {
	case version == 1 && len(e.Promise) == 0:
		r.fail("a tlog entry without inclusionPromise, which version 0.1 wants")
	case version > 1 && e.Proof == nil:
		r.fail("a tlog entry without inclusionProof, which version 0.%d wants", version)
	}
	return e
}

func (r *bundleReader) proof(v strictjson.Value) *Proof {
	if !r.object(v, "inclusionProof", "logIndex", "rootHash", "treeSize", "hashes", "checkpoint") {
		return nil
	}
	p := &Proof{
		LogIndex: r.natural(v.Get("logIndex"), "inclusionProof.logIndex"),
		TreeSize: r.natural(v.Get("treeSize"), "treeSize"), RootHash: r.bytes(v.Get("rootHash"), "rootHash"),
	}
	if hashes := v.Get("hashes"); r.list(hashes, "hashes", MaxProofHashes) {
		for h := range hashes.Elems() {
			p.Hashes = append(p.Hashes, r.bytes(h, "a hash"))
		}
	}
	if c := v.Get("checkpoint"); r.object(c, "checkpoint", "envelope") {
		p.Checkpoint = r.text(c.Get("envelope"), "checkpoint.envelope")
	}
	return p
}

func (r *bundleReader) envelope(v strictjson.Value) *dsse.Envelope {
	if !r.object(v, "dsseEnvelope", "payload", "payloadType", "signatures") {
		return nil
	}
	e, err := dsse.Parse(v)
	if err != nil {
		r.fail("%w", err)
		return nil
	}
	for s := range v.Get("signatures").Elems() {
		if r.object(s, "a signature", "sig", "keyid") {
			r.text(s.Get("keyid"), "keyid") // a hint, on which nothing rests
		}
	}
	if len(e.Signatures) != 1 || len(e.Signatures[0]) == 0 {
		r.fail("the envelope of a bundle holds exactly one signature")
	}
	return e
}

// digestAlgorithms are the names of hashes in Protocol Buffers.
var digestAlgorithms = map[string]crypto.Hash{"SHA2_256": crypto.SHA256, "SHA2_384": crypto.SHA384, "SHA2_512": crypto.SHA512}

func (r *bundleReader) message(v strictjson.Value) *MessageSignature {
	if !r.object(v, "messageSignature", "messageDigest", "signature") {
		return nil
	}
	m := &MessageSignature{Signature: r.bytes(v.Get("signature"), "signature")}
	if len(m.Signature) == 0 {
		r.fail("messageSignature without a signature")
	}
	m.Hash, m.Digest = r.digest(v.Get("messageDigest"), "messageDigest")
	return m
}

// digest reads a digest with the name of its algorithm.
func (r *reader) digest(v strictjson.Value, what string) (crypto.Hash, []byte) {
	if !r.object(v, what, "algorithm", "digest") {
		return 0, nil
	}
	name := r.text(v.Get("algorithm"), what+".algorithm")
	h, sum := digestAlgorithms[name], r.bytes(v.Get("digest"), what+".digest")
	if h == 0 || len(sum) != h.Size() {
		r.fail("%s is not a digest by SHA2_256, SHA2_384 or SHA2_512", what)
	}
	return h, sum
}
