package sigstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Chain finds the certificates of the root above one that it has issued, in DER, the issuing
// one first, without those that have issued themselves.
func (r *Root) Chain(leaf *Leaf) (chain [][]byte, err error) {
	issuers, err := r.issuers(leaf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	for _, i := range issuers {
		if !i.by.fits(leaf.certificate.NotBefore) {
			continue
		}
		for _, c := range i.by.of.certs[i.by.at:] {
			if !bytes.Equal(c.RawIssuer, c.RawSubject) {
				chain = append(chain, c.Raw)
			}
		}
		return chain, nil
	}
	return nil, fmt.Errorf("%w: no authority is trusted and valid at the certificate's beginning", ErrChain)
}

// VerifyIssued verifies that an authority of the root has issued a certificate that is
// valid at a time, and that so many logs of certificates have seen it. detached is a log's
// timestamp that stands beside the certificate, in the JSON of the log's answer (RFC 6962,
// section 4.1). Empty: there is none.
func (r *Root) VerifyIssued(leaf *Leaf, at time.Time, ctLogs int, detached []byte) error {
	if err := r.issued(leaf, []time.Time{at}, Demands{CTLogs: ctLogs}); err != nil || len(detached) == 0 {
		return err
	}
	s, err := parseDetached(detached)
	if err != nil {
		return err
	}
	der := leaf.certificate.Raw
	entry := binary.BigEndian.AppendUint16(nil, 0) // x509_entry
	entry = append(entry, byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
	entry = append(entry, der...)
	for _, l := range r.ctLogs[string(s.logID)] {
		if l.trusted.holds(time.UnixMilli(int64(s.millis))) && s.verifies(l, entry) {
			return nil
		}
	}
	return fmt.Errorf("%w: no certificate transparency log of the trust root has signed the timestamp", ErrChain)
}

func parseDetached(text []byte) (*sct, error) {
	v, err := strictjson.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: signed certificate timestamp: %w", ErrMalformed, err)
	}
	read := &reader{}
	if version := read.natural(v.Get("sct_version"), "sct_version"); version != 0 {
		read.fail("signed certificate timestamp of version %d", version)
	}
	s := &sct{
		logID: read.bytes(v.Get("id"), "id"), millis: uint64(read.natural(v.Get("timestamp"), "timestamp")),
		extensions: read.bytes(v.Get("extensions"), "extensions"),
	}
	signature := read.bytes(v.Get("signature"), "signature")
	if read.err != nil {
		return nil, read.err
	}
	var rest []byte
	ok := len(signature) > 2
	if ok {
		s.hash, s.sig = signature[0], signature[1]
		s.signature, rest, ok = prefixed(signature[2:])
	}
	if !ok || len(rest) > 0 {
		return nil, fmt.Errorf("%w: signature of a certificate timestamp", ErrMalformed)
	}
	return s, nil
}

// VerifyEntry verifies that a log of the root has recorded the evidence's signature by a
// certificate, in DER.
func (r *Root) VerifyEntry(entry *Entry, e *Evidence, certificate []byte) error {
	_, err := r.verifyEntry(entry, e, certificate)
	return err
}

// VerifyTimestamp verifies that an authority of the root has seen a signature, and when.
func (r *Root) VerifyTimestamp(text, signature []byte) (time.Time, error) {
	s, err := r.verifyTimestamp(text, signature)
	return s.at, err
}
