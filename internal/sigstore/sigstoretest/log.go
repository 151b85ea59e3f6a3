package sigstoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Log is a transparency log with its entries.
type Log struct {
	BaseURL string
	Key     crypto.Signer
	ID      []byte
	// V2: it has checkpoints alone, as Rekor v2, and no signed entry timestamps.
	V2 bool
	// Start and End are those of the root's trust. Zero End: none.
	Start, End time.Time
	entries    [][]byte
}

// NewLog makes a log. One of version 2 has an ID by C2SP, one of version 1 that of its key.
func (i *Instance) NewLog(baseURL string, key crypto.Signer, v2 bool) *Log {
	i.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	i.check(err)
	l := &Log{BaseURL: baseURL, Key: key, ID: sum(der), V2: v2, Start: i.start()}
	if public, is := key.Public().(ed25519.PublicKey); is && v2 {
		l.ID = sum(append([]byte(l.Host()+"\n\x01"), public...))
	}
	for n := range 5 {
		l.entries = append(l.entries, fmt.Appendf(nil, "entry %d of another signer", n))
	}
	return l
}

// Host is that of the log's URL.
func (l *Log) Host() string {
	u, err := url.Parse(l.BaseURL)
	if err != nil {
		panic(err)
	}
	return u.Host
}

func isRSA(key crypto.Signer) bool {
	_, is := key.Public().(*rsa.PublicKey)
	return is
}

func (l *Log) sign(i *Instance, message []byte) []byte { return sign(i, l.Key, message) }

// JSON is the log as trust roots hold it.
func (l *Log) JSON() Object {
	der, err := x509.MarshalPKIXPublicKey(l.Key.Public())
	if err != nil {
		panic(err)
	}
	details := "PKIX_RSA_PKCS1V15_2048_SHA256"
	switch l.Key.Public().(type) {
	case *ecdsa.PublicKey:
		details = "PKIX_ECDSA_P256_SHA_256"
	case ed25519.PublicKey:
		details = "PKIX_ED25519"
	}
	return Object{
		"baseUrl": l.BaseURL, "hashAlgorithm": "SHA2_256", "logId": Object{"keyId": b64(l.ID)},
		"publicKey": Object{"rawBytes": b64(der), "keyDetails": details, "validFor": validFor(l.Start, l.End)},
	}
}

// Record says how an entry is recorded.
type Record struct {
	// At is the integrated time. Zero: the instance's Now, a minute later.
	At time.Time
	// Origin is that of the checkpoint, Name that of its signature, and Key the one that
	// signs it. Empty or nil: the log's.
	Origin, Name string
	Key          crypto.Signer
	// More are other signature lines, before the log's.
	More []string
}

// Add records a body, and returns the entry as bundles have it.
func (l *Log) Add(i *Instance, kind, version string, body []byte, r Record) Object {
	i.t.Helper()
	if r.At.IsZero() {
		r.At = i.Now.Add(time.Minute)
	}
	l.entries = append(l.entries, body)
	index := len(l.entries) - 1
	l.entries = append(l.entries, []byte("one more"))
	root, hashes := merkle(l.entries, index)
	var proof []any
	for _, h := range hashes {
		proof = append(proof, b64(h))
	}
	size := strconv.Itoa(len(l.entries))
	e := Object{
		"logIndex": strconv.Itoa(index), "logId": Object{"keyId": b64(l.ID)}, "kindVersion": Object{"kind": kind, "version": version},
		"canonicalizedBody": b64(body),
		"inclusionProof": Object{
			"logIndex": strconv.Itoa(index), "rootHash": b64(root), "treeSize": size, "hashes": proof,
			"checkpoint": Object{"envelope": l.Checkpoint(i, size, root, r)},
		},
	}
	if !l.V2 {
		global := 1000 + index // logs of version 1 count over several trees
		e["logIndex"] = strconv.Itoa(global)
		e["integratedTime"] = strconv.FormatInt(r.At.Unix(), 10)
		e["inclusionPromise"] = Object{"signedEntryTimestamp": b64(l.Promise(i, body, r.At, global))}
	}
	return e
}

// Promise is a signed entry timestamp.
func (l *Log) Promise(i *Instance, body []byte, at time.Time, index int) []byte {
	text := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":"%s","logIndex":%d}`, b64(body), at.Unix(), hex.EncodeToString(l.ID), index)
	return l.sign(i, []byte(text))
}

// Checkpoint is a signed head of the log.
func (l *Log) Checkpoint(i *Instance, size string, root []byte, r Record) string {
	host, key := l.Host(), l.Key
	if r.Key != nil {
		key = r.Key
	}
	if r.Name == "" {
		r.Name = host
	}
	if r.Origin == "" {
		r.Origin = host
		if !l.V2 {
			r.Origin += " - 4711"
		}
	}
	text := r.Origin + "\n" + size + "\n" + b64(root) + "\n"
	signed := append(append([]byte(nil), l.ID[:4]...), sign(i, key, []byte(text))...)
	note := text + "\n"
	for _, line := range r.More {
		note += line + "\n"
	}
	return note + "\u2014 " + r.Name + " " + b64(signed) + "\n"
}

// merkle is the root of a tree and the proof of one of its leaves (RFC 6962, section 2.1).
func merkle(leaves [][]byte, index int) (root []byte, proof [][]byte) {
	if len(leaves) == 1 {
		return sum(append([]byte{0}, leaves[0]...)), nil
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	var left, right []byte
	switch {
	case index < 0:
		left, _ = merkle(leaves[:split], -1)
		right, _ = merkle(leaves[split:], -1)
	case index < split:
		left, proof = merkle(leaves[:split], index)
		right, _ = merkle(leaves[split:], -1)
		proof = append(proof, right)
	default:
		left, _ = merkle(leaves[:split], -1)
		right, proof = merkle(leaves[split:], index-split)
		proof = append(proof, left)
	}
	pair := append(append([]byte{1}, left...), right...)
	s := sha256.Sum256(pair)
	return s[:], proof
}
