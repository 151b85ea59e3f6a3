package sigstore

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// maxEmbedded bounds the certificates in a timestamp that are looked at.
const maxEmbedded = 8

var (
	errTimestamp        = errors.New("malformed timestamp")
	errUnknownAuthority = errors.New("the trust root does not have the timestamp authority")
	errTimestampSigned  = errors.New("the timestamp is of another signature")
	errTimestampBad     = errors.New("the signature of the timestamp does not verify")
)

// Object identifiers of CMS (RFC 5652), RFC 3161 and RFC 5035, as DER has them.
const (
	oidSignedData    = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"         // 1.2.840.113549.1.7.2
	oidTSTInfo       = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04" // 1.2.840.113549.1.9.16.1.4
	oidContentType   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"         // 1.2.840.113549.1.9.3
	oidMessageDigest = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"         // 1.2.840.113549.1.9.4
	oidSigningCert   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0c" // 1.2.840.113549.1.9.16.2.12
	oidSigningCertV2 = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f" // 1.2.840.113549.1.9.16.2.47
)

// hashOIDs are the digests that timestamps may use: SHA-256, SHA-384 and SHA-512.
var hashOIDs = map[string]crypto.Hash{
	"\x60\x86\x48\x01\x65\x03\x04\x02\x01": crypto.SHA256,
	"\x60\x86\x48\x01\x65\x03\x04\x02\x02": crypto.SHA384,
	"\x60\x86\x48\x01\x65\x03\x04\x02\x03": crypto.SHA512,
}

// signatureOIDs are the algorithms of signatures that name their digest; those that do
// not use the signer's digest.
var signatureOIDs = map[string]crypto.Hash{
	"\x2a\x86\x48\xce\x3d\x04\x03\x02":     crypto.SHA256, // ecdsa-with-SHA256
	"\x2a\x86\x48\xce\x3d\x04\x03\x03":     crypto.SHA384, // ecdsa-with-SHA384
	"\x2a\x86\x48\xce\x3d\x04\x03\x04":     crypto.SHA512, // ecdsa-with-SHA512
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b": crypto.SHA256, // sha256WithRSAEncryption
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c": crypto.SHA384, // sha384WithRSAEncryption
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d": crypto.SHA512, // sha512WithRSAEncryption
	"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": 0,             // rsaEncryption
	"\x2a\x86\x48\xce\x3d\x02\x01":         0,             // id-ecPublicKey
	"\x2b\x65\x70":                         0,             // Ed25519
}

// token is a time-stamp token. Its signature is not verified.
type token struct {
	imprint   logged // the digest of what existed
	at        time.Time
	content   []byte // what the attributes hold a digest of
	embedded  [][]byte
	issuer    []byte // of the signer's certificate, with serial; or keyID
	serial    []byte
	keyID     []byte
	digest    crypto.Hash
	hash      crypto.Hash // of the signature
	signed    []byte      // the attributes, as they are signed
	attribute map[string]element
	signature []byte
}

// stamp is a verified time.
type stamp struct {
	by  *authority
	key *sigkey.Key
	at  time.Time
}

// verifyTimestamp verifies that an authority of the root has seen a signature.
func (r *Root) verifyTimestamp(text, signature []byte) (stamp, error) {
	t, err := parseTimestamp(text)
	if err != nil {
		return stamp{}, err
	}
	sum := t.imprint.hash.New()
	sum.Write(signature)
	if !bytes.Equal(sum.Sum(nil), t.imprint.sum) {
		return stamp{}, errTimestampSigned
	}
	why := errUnknownAuthority
	var checked *x509.Certificate
	var wrong error
	for _, by := range signersOf(r, t) {
		if checked != by.signer { // one that several authorities have comes in a row
			checked, wrong = by.signer, t.verify(by)
		}
		if why = wrong; why != nil {
			continue
		}
		if why = by.fits(t.at); why == nil {
			return stamp{by.of, by.key, t.at}, nil
		}
	}
	return stamp{}, why
}

// stamper is a certificate that may have signed a timestamp.
type stamper struct {
	issuer
	signer *x509.Certificate
	key    *sigkey.Key // of the signer
}

// fits says why a time is none at which the signer's certificate, those above it and the
// root's trust hold; nil: it is one.
func (s stamper) fits(t time.Time) error {
	chain := len(s.of.valid) == 0 || s.of.valid[s.at].holds(t) // a root may hold the signer alone
	own := window{s.signer.NotBefore, s.signer.NotAfter}
	if !chain || !own.holds(t) || !s.of.trusted.holds(t) {
		return fmt.Errorf("the timestamp authority %s is not trusted at %s", s.of.uri, t.UTC().Format(time.RFC3339))
	}
	return nil
}

// signersOf finds the certificate that has signed a token, with each authority that has it:
// one of the root, or the one in the token that authorities without one have issued.
func signersOf(r *Root, t *token) (all []stamper) {
	own, ok := t.ownCertificate(r)
	if !ok {
		return nil
	}
	var open []*authority
	for _, a := range r.stampers {
		switch {
		case a.signer == nil:
			open = append(open, a)
		case a.signerKey != nil && t.names(a.signer) && (own == nil || bytes.Equal(own.Raw, a.signer.Raw)):
			all = append(all, stamper{issuer{a, 0}, a.signer, a.signerKey})
		}
	}
	if len(open) == 0 || own == nil || checkStamper(own) != nil || !hasCriticalUse(own) || !t.bindsTo(own) {
		return all
	}
	by, err := issuersOf(open, own)
	if err != nil {
		return all
	}
	key, err := sigkey.New(own.PublicKey)
	if err != nil {
		return all
	}
	for _, i := range by {
		all = append(all, stamper{i, own, key})
	}
	return all
}

var extendedUseOID = asn1.ObjectIdentifier{2, 5, 29, 37}

// checkStamper checks that a certificate is for timestamps and nothing else (RFC 3161,
// section 2.3).
func checkStamper(c *x509.Certificate) error {
	only := len(c.ExtKeyUsage) == 1 && c.ExtKeyUsage[0] == x509.ExtKeyUsageTimeStamping && len(c.UnknownExtKeyUsage) == 0
	signs := c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageDigitalSignature != 0
	if c.Version != 3 || c.IsCA || !only || !signs || len(c.UnhandledCriticalExtensions) > 0 {
		return fmt.Errorf("the certificate %q is not for timestamps alone", c.Subject)
	}
	return nil
}

// ownCertificate finds the certificate in the token that the token names as its signer's;
// nil: it holds none. False: it holds two, or one that cannot be read.
func (t *token) ownCertificate(r *Root) (own *x509.Certificate, ok bool) {
	for _, der := range t.embedded {
		c, err := certificateOf(r, der)
		switch {
		case err != nil:
			return nil, false
		case !t.names(c) || own != nil && bytes.Equal(own.Raw, c.Raw):
		case own != nil:
			return nil, false
		default:
			own = c
		}
	}
	return own, true
}

// certificateOf reads a certificate of a timestamp. Those of the root have been read: most
// timestamps hold one.
func certificateOf(r *Root, der []byte) (*x509.Certificate, error) {
	for _, a := range r.stampers {
		if a.signer != nil && bytes.Equal(a.signer.Raw, der) {
			return a.signer, nil
		}
		for _, c := range a.certs {
			if bytes.Equal(c.Raw, der) {
				return c, nil
			}
		}
	}
	return x509.ParseCertificate(der)
}

// hasCriticalUse reports whether software that does not know the certificate's use must
// refuse it. The RFC demands that; a certificate that stands in a root may do without, as
// GitHub's first one does.
func hasCriticalUse(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(extendedUseOID) && e.Critical })
}

// names reports whether the token says that a certificate's key has signed it.
func (t *token) names(c *x509.Certificate) bool {
	if t.keyID != nil {
		return bytes.Equal(t.keyID, c.SubjectKeyId)
	}
	return bytes.Equal(t.issuer, c.RawIssuer) && isInteger(t.serial, c.SerialNumber)
}

// isInteger reports whether DER's content of an INTEGER is a number that is not negative.
func isInteger(content []byte, n *big.Int) bool {
	var room [32]byte // of the longest serial, RFC 5280 allows 20
	size := n.BitLen()/8 + 1
	return n.Sign() >= 0 && size <= len(room) && bytes.Equal(content, n.FillBytes(room[:size]))
}

// verify verifies the token's signature by a certificate.
func (t *token) verify(by stamper) error {
	if !t.bindsTo(by.signer) {
		return fmt.Errorf("the timestamp is bound to another certificate")
	}
	hash := t.hash
	if _, pure := by.key.Public().(ed25519.PublicKey); pure {
		hash = 0
	}
	if by.key.VerifyAs(&sigkey.Message{Bytes: t.signed}, t.signature, hash) != nil {
		return errTimestampBad
	}
	return nil
}

// bindsTo reports whether the attributes that name the signer's certificate, where they
// are there, name this one (RFC 5035, section 3).
func (t *token) bindsTo(c *x509.Certificate) bool {
	if a, there := t.attribute[oidSigningCertV2]; there {
		hash := crypto.SHA256
		id, ok := certID(a)
		if alg, named := id.optional(tagSequence); named {
			hash = hashOIDs[string(alg.inside().take(tagOID).content)]
		}
		want := id.take(tagOctets)
		if !ok || id.err != nil || hash == 0 {
			return false
		}
		sum := hash.New()
		sum.Write(c.Raw)
		return bytes.Equal(want.content, sum.Sum(nil))
	}
	if a, there := t.attribute[oidSigningCert]; there {
		id, ok := certID(a)
		want, sum := id.take(tagOctets), sha1.Sum(c.Raw)
		return ok && id.err == nil && bytes.Equal(want.content, sum[:])
	}
	return true
}

// certID reads the first ESSCertID of an attribute's value.
func certID(value element) (*cursor, bool) {
	if value.tag != tagSequence {
		return &cursor{}, false
	}
	list := value.inside().take(tagSequence)
	id := list.inside().take(tagSequence)
	return id.inside(), id.whole != nil
}
