package sigstoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"time"
)

var (
	oidSAN              = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimeStamping     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidSCTs             = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidUsername         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
)

// extendedKeyUsage is the extension, critical, as timestamps want it.
func extendedKeyUsage(use asn1.ObjectIdentifier) (pkix.Extension, error) {
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{use})
	return pkix.Extension{Id: oidExtendedKeyUsage, Critical: true, Value: value}, err
}

// Leaf says what a signer's certificate holds.
type Leaf struct {
	// Email, URI and Username are its subject alternative names.
	Email, URI, Username string
	// Names are more of them, in DER.
	Names [][]byte
	// Issuer is that of the extension .1.8, OlderIssuer that of .1.1; empty: none.
	Issuer, OlderIssuer string
	// Claims are extensions below 1.3.6.1.4.1.57264.1, in DER; Raw are more extensions.
	Claims map[int]string
	Raw    []pkix.Extension
	// Start is when it begins to be valid. Zero: the instance's Now. It is for ten minutes.
	Start time.Time
	// By is the certificate of the chain that issues it.
	By int
	// CA issues it. Nil: the instance's.
	CA *Authority
	// Key is the signer's. Nil: a new P-256 key.
	Key crypto.Signer
	// WithoutSCT leaves out the timestamp of the log of certificates. CT makes it (nil:
	// the instance's), at SCTTime (zero: Start).
	WithoutSCT bool
	CT         *Log
	SCTTime    time.Time
	// SCTOf changes what the timestamp is about.
	SCTOf func(entry []byte) []byte
	// Change changes the template before it is signed.
	Change func(*x509.Certificate)
}

// Signer is a certificate with its key.
type Signer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	i           *Instance
}

// FulcioOID is 1.3.6.1.4.1.57264.1.n.
func FulcioOID(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}
}

// Issue makes a certificate.
func (i *Instance) Issue(l Leaf) *Signer {
	i.t.Helper()
	s, err := i.TryIssue(l)
	i.check(err)
	return s
}

// TryIssue is Issue where crypto/x509 may refuse to read the certificate.
func (i *Instance) TryIssue(l Leaf) (*Signer, error) {
	i.t.Helper()
	if l.Key == nil {
		l.Key = i.newKey(elliptic.P256())
	}
	if l.Start.IsZero() {
		l.Start = i.Now
	}
	if l.CA == nil {
		l.CA = i.CA
	}
	template := &x509.Certificate{
		SerialNumber: i.serial(), NotBefore: l.Start, NotAfter: l.Start.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: append(i.extensions(l), l.Raw...),
	}
	if l.Change != nil {
		l.Change(template)
	}
	by, with := l.CA.Chain[l.By], l.CA.Keys[l.By]
	c, err := certify(template, l.Key.Public(), by, with)
	if err == nil && !l.WithoutSCT {
		template.ExtraExtensions = append(template.ExtraExtensions, i.sct(l, c, by))
		c, err = certify(template, l.Key.Public(), by, with)
	}
	return &Signer{c, l.Key, i}, err
}

func (i *Instance) utf8(text string) []byte {
	value, err := asn1.MarshalWithParams(text, "utf8")
	i.check(err)
	return value
}

// extensions are the names and claims of a certificate.
func (i *Instance) extensions(l Leaf) (all []pkix.Extension) {
	names := l.Names
	for _, n := range []struct {
		tag  byte
		text string
	}{{0x81, l.Email}, {0x86, l.URI}} {
		if n.text != "" {
			names = append(names, DER(n.tag, []byte(n.text)))
		}
	}
	if l.Username != "" {
		names = append(names, DER(0xa0, i.oid(oidUsername), DER(0xa0, i.utf8(l.Username))))
	}
	if len(names) > 0 {
		all = append(all, pkix.Extension{Id: oidSAN, Critical: true, Value: DER(0x30, names...)})
	}
	if l.OlderIssuer != "" {
		all = append(all, pkix.Extension{Id: FulcioOID(1), Value: []byte(l.OlderIssuer)})
	}
	if l.Issuer != "" {
		all = append(all, pkix.Extension{Id: FulcioOID(8), Value: i.utf8(l.Issuer)})
	}
	for n := 9; n < 30; n++ {
		if text, there := l.Claims[n]; there {
			all = append(all, pkix.Extension{Id: FulcioOID(n), Value: i.utf8(text)})
		}
	}
	return all
}

func (i *Instance) oid(id asn1.ObjectIdentifier) []byte {
	der, err := asn1.Marshal(id)
	i.check(err)
	return der
}

// sct is the extension with a log's timestamp of a certificate that has none yet.
func (i *Instance) sct(l Leaf, c, by *x509.Certificate) pkix.Extension {
	if l.CT == nil {
		l.CT = i.CT
	}
	if l.SCTTime.IsZero() {
		l.SCTTime = l.Start
	}
	issuer := sha256.Sum256(by.RawSubjectPublicKeyInfo)
	tbs := c.RawTBSCertificate
	entry := append([]byte{0, 1}, issuer[:]...)
	entry = append(entry, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	entry = append(entry, tbs...)
	if l.SCTOf != nil {
		entry = l.SCTOf(entry)
	}
	millis := binary.BigEndian.AppendUint64(nil, uint64(l.SCTTime.UnixMilli()))
	signed := append(append([]byte{0, 0}, millis...), entry...)
	signature := l.CT.sign(i, append(signed, 0, 0))

	one := append([]byte{0}, l.CT.ID...)
	one = append(append(one, millis...), 0, 0, 4, 3)
	one = append(binary.BigEndian.AppendUint16(one, uint16(len(signature))), signature...)
	list := append(binary.BigEndian.AppendUint16(nil, uint16(len(one))), one...)
	list = append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
	return pkix.Extension{Id: oidSCTs, Value: DER(0x04, list)}
}

// sign signs a message with a key of any kind, by SHA-256 where it hashes.
func sign(i *Instance, key crypto.Signer, message []byte) []byte {
	i.t.Helper()
	digest, opts := message, crypto.SignerOpts(crypto.Hash(0))
	if _, hashes := key.(*ecdsa.PrivateKey); hashes || isRSA(key) {
		digest, opts = sum(message), crypto.SHA256
	}
	signature, err := key.Sign(rand.Reader, digest, opts)
	i.check(err)
	return signature
}

// DER writes an element of the tag.
func DER(tag byte, parts ...[]byte) []byte {
	var content []byte
	for _, p := range parts {
		content = append(content, p...)
	}
	out := []byte{tag}
	switch n := len(content); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 1<<8:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, content...)
}
