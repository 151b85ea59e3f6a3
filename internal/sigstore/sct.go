package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// maxSCTs bounds the timestamps of one certificate.
const maxSCTs = 16

var sctListOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// sct is a signed certificate timestamp (RFC 6962, section 3.2).
type sct struct {
	logID      []byte
	millis     uint64
	extensions []byte
	hash, sig  byte
	signature  []byte
}

// Algorithms of TLS 1.2 (RFC 5246, section 7.4.1.4.1).
const (
	tlsSHA256 = 4
	tlsRSA    = 1
	tlsECDSA  = 3
)

// seenBy finds the certificate transparency logs of the root that have seen a certificate
// by this issuer, each once. The root must have trusted them then.
func seenBy(r *Root, leaf *x509.Certificate, by *x509.Certificate) ([]*log, error) {
	var list []byte
	for _, e := range leaf.Extensions {
		if e.Id.Equal(sctListOID) {
			list = e.Value
		}
	}
	if list == nil {
		return nil, nil
	}
	scts, err := parseSCTs(list)
	if err != nil {
		return nil, err
	}
	entry, err := precertificate(leaf, by)
	if err != nil {
		return nil, err
	}
	var seen []*log
	for _, s := range scts {
		at := time.UnixMilli(int64(s.millis)) // a time beyond int64 is in no window
		for _, l := range r.ctLogs[string(s.logID)] {
			if s.millis < 1<<62 && l.trusted.holds(at) && s.verifies(l, entry) {
				seen = appendLog(seen, l)
			}
		}
	}
	return seen, nil
}

// appendLog adds a log, if none of its key is there.
func appendLog(logs []*log, l *log) []*log {
	for _, other := range logs {
		if other.key.ID() == l.key.ID() {
			return logs
		}
	}
	return append(logs, l)
}

// parseSCTs reads the list in a certificate's extension (RFC 6962, section 3.3).
func parseSCTs(extension []byte) (all []sct, err error) {
	bad := fmt.Errorf("%w: signed certificate timestamps", ErrMalformed)
	octets, err := only(extension, tagOctets)
	if err != nil {
		return nil, bad
	}
	list, rest, ok := prefixed(octets.content)
	if !ok || len(rest) > 0 {
		return nil, bad
	}
	for len(list) > 0 {
		var text []byte
		if text, list, ok = prefixed(list); !ok || len(all) == maxSCTs {
			return nil, bad
		}
		s, ok := parseSCT(text)
		if !ok {
			return nil, bad
		}
		if s != nil {
			all = append(all, *s)
		}
	}
	return all, nil
}

// prefixed splits off what stands behind its length in two bytes.
func prefixed(b []byte) (first, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// parseSCT reads a timestamp; nil: it is of another version.
func parseSCT(b []byte) (*sct, bool) {
	if len(b) < 1 {
		return nil, false
	}
	if b[0] != 0 {
		return nil, true
	}
	b = b[1:]
	if len(b) < sha256.Size+8 {
		return nil, false
	}
	s := &sct{logID: b[:sha256.Size], millis: binary.BigEndian.Uint64(b[sha256.Size:])}
	var ok bool
	if s.extensions, b, ok = prefixed(b[sha256.Size+8:]); !ok || len(b) < 2 {
		return nil, false
	}
	s.hash, s.sig = b[0], b[1]
	s.signature, b, ok = prefixed(b[2:])
	return s, ok && len(b) == 0
}

// precertificate is what logs sign of a certificate (RFC 6962, section 3.2): the key of
// its issuer, and the certificate without timestamps.
func precertificate(leaf, by *x509.Certificate) ([]byte, error) {
	tbs, err := withoutSCTs(leaf.RawTBSCertificate)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(by.RawSubjectPublicKeyInfo)
	entry := append([]byte{0, 1}, sum[:]...) // precert_entry
	entry = append(entry, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	return append(entry, tbs...), nil
}

// extensionsTag is that of the extensions of a certificate.
const extensionsTag = 0xa3

// withoutSCTs writes the signed part of a certificate without the extension that holds
// the timestamps.
func withoutSCTs(tbs []byte) ([]byte, error) {
	outer, err := only(tbs, tagSequence)
	if err != nil {
		return nil, err
	}
	var fields []byte
	c := outer.inside()
	for c.more() {
		field := c.any()
		if field.tag != extensionsTag {
			fields = append(fields, field.whole...)
			continue
		}
		list, err := only(field.content, tagSequence)
		if err != nil {
			return nil, err
		}
		var kept []byte
		extensions := list.inside()
		for extensions.more() {
			e := extensions.take(tagSequence)
			if id := e.inside().take(tagOID); string(id.content) != sctListID {
				kept = append(kept, e.whole...)
			}
		}
		if err := extensions.end(); err != nil {
			return nil, err
		}
		fields = appendElement(fields, extensionsTag, appendElement(nil, tagSequence, kept))
	}
	return appendElement(nil, tagSequence, fields), c.end()
}

// sctListID is sctListOID, as DER has it.
const sctListID = "\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"

// verifies reports whether the log has signed the timestamp of an entry.
func (s *sct) verifies(l *log, entry []byte) bool {
	switch l.key.Public().(type) {
	case *ecdsa.PublicKey:
		if s.sig != tlsECDSA {
			return false
		}
	case *rsa.PublicKey:
		if s.sig != tlsRSA {
			return false
		}
	default:
		return false
	}
	signed := []byte{0, 0} // version 1, certificate_timestamp
	signed = binary.BigEndian.AppendUint64(signed, s.millis)
	signed = append(signed, entry...)
	signed = binary.BigEndian.AppendUint16(signed, uint16(len(s.extensions)))
	signed = append(signed, s.extensions...)
	return s.hash == tlsSHA256 && l.key.VerifyAs(&sigkey.Message{Bytes: signed}, s.signature, crypto.SHA256) == nil
}
