package sigstoretest

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"slices"
	"time"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidECDSASHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidPolicy        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}
)

// Stamp says how a timestamp is made.
type Stamp struct {
	// At is its time. Zero: the instance's Now, two minutes later.
	At time.Time
	// BER writes indefinite lengths, and the content in pieces.
	BER bool
	// Bound is the certificate that the attributes name. Nil: the signer's.
	Bound []byte
	// Attributes are more attributes, in DER.
	Attributes [][]byte
	// Embedded are more certificates, in DER, before the signer's.
	Embedded [][]byte
}

// Stamp is a response by the authority's first certificate about a signature.
func (a *Authority) Stamp(i *Instance, signature []byte, s Stamp) []byte {
	i.t.Helper()
	return a.StampDigest(i, sum(signature), s)
}

// StampDigest is Stamp about the SHA-256 of a signature.
func (a *Authority) StampDigest(i *Instance, digest []byte, s Stamp) []byte {
	i.t.Helper()
	if s.At.IsZero() {
		s.At = i.Now.Add(2 * time.Minute)
	}
	c := a.Chain[0]
	if s.Bound == nil {
		s.Bound = c.Raw
	}
	algorithm := DER(0x30, i.oid(oidSHA256))
	info := DER(0x30, DER(0x02, []byte{1}), i.oid(oidPolicy), DER(0x30, algorithm, DER(0x04, digest)),
		DER(0x02, []byte{7}), DER(0x18, []byte(s.At.UTC().Format("20060102150405Z"))))
	bound := sha256.Sum256(s.Bound)
	attributes := append([][]byte{
		DER(0x30, i.oid(oidContentType), DER(0x31, i.oid(oidTSTInfo))),
		DER(0x30, i.oid(oidMessageDigest), DER(0x31, DER(0x04, sum(info)))),
		DER(0x30, i.oid(oidSigningCertV2), DER(0x31, DER(0x30, DER(0x30, DER(0x30, DER(0x04, bound[:])))))),
	}, s.Attributes...)
	sorted := slices.SortedFunc(slices.Values(attributes), bytes.Compare)
	signed := sign(i, a.Keys[0], DER(0x31, sorted...))
	serial, err := asn1.Marshal(c.SerialNumber)
	i.check(err)
	signer := DER(0x30, DER(0x02, []byte{1}), DER(0x30, c.RawIssuer, serial), algorithm, DER(0xa0, attributes...),
		DER(0x30, i.oid(oidECDSASHA256)), DER(0x04, signed))
	held := s.Embedded
	if a.Embed {
		held = append(slices.Clone(held), c.Raw)
	}
	var certificates []byte
	if len(held) > 0 {
		certificates = DER(0xa0, held...)
	}
	content := DER(0x04, info)
	if s.BER {
		content = indefinite(0x24, DER(0x04, info[:20]), DER(0x04, info[20:]))
	}
	data := DER(0x30, DER(0x02, []byte{3}), DER(0x31, algorithm), DER(0x30, i.oid(oidTSTInfo), DER(0xa0, content)), certificates, DER(0x31, signer))
	status := DER(0x30, DER(0x02, []byte{0}))
	if s.BER {
		return indefinite(0x30, status, indefinite(0x30, i.oid(oidSignedData), indefinite(0xa0, data)))
	}
	return DER(0x30, status, DER(0x30, i.oid(oidSignedData), DER(0xa0, data)))
}

// indefinite writes an element of indefinite length.
func indefinite(tag byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{tag, 0x80}, slices.Concat(parts...), []byte{0, 0})
}
