package sigstore

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// window is a closed interval of time. A zero end is none.
type window struct{ start, end time.Time }

func (w window) holds(t time.Time) bool {
	return !t.Before(w.start) && (w.end.IsZero() || !t.After(w.end))
}

// authority is a chain of certificates in a root, the issuing one first, with the time
// in which the root trusts it.
type authority struct {
	uri   string
	certs []*x509.Certificate
	// valid[i] is when certs[i] and all above it are valid.
	valid   []window
	trusted window
	// signer is the certificate that signs timestamps, where the chain holds it.
	signer    *x509.Certificate
	signerKey *sigkey.Key
}

// newAuthority checks a chain: each certificate has issued the one before it. Each of
// them may issue others for the use.
func newAuthority(certs []*x509.Certificate, use x509.ExtKeyUsage) (*authority, error) {
	a := &authority{certs: certs}
	for i, c := range certs {
		if err := checkIssuer(c, use); err != nil {
			return nil, err
		}
		if i+1 < len(certs) {
			if err := c.CheckSignatureFrom(certs[i+1]); err != nil {
				return nil, fmt.Errorf("the certificate %q is not issued by the next of its chain: %w", c.Subject, err)
			}
		}
		w := window{c.NotBefore, c.NotAfter}
		for j, above := range certs[i+1:] {
			if most := above.MaxPathLen; above.BasicConstraintsValid && (most > 0 || above.MaxPathLenZero) && j+1 > most {
				return nil, fmt.Errorf("the certificate %q allows fewer certificates below it", above.Subject)
			}
			w = window{later(w.start, above.NotBefore), earlier(w.end, above.NotAfter)}
		}
		a.valid = append(a.valid, w)
	}
	return a, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

var nameConstraintsOID = asn1.ObjectIdentifier{2, 5, 29, 30}

// checkIssuer checks that a certificate may issue certificates for the use.
func checkIssuer(c *x509.Certificate, use x509.ExtKeyUsage) error {
	named := len(c.ExtKeyUsage) > 0 || len(c.UnknownExtKeyUsage) > 0
	constrained := slices.ContainsFunc(c.Extensions, isNameConstraints)
	switch {
	case c.Version != 3 || !c.BasicConstraintsValid || !c.IsCA, c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("the certificate %q may not issue certificates", c.Subject)
	case named && !slices.Contains(c.ExtKeyUsage, use) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny):
		return fmt.Errorf("the certificate %q is for another use", c.Subject)
	case constrained || len(c.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("the certificate %q has name constraints, or a critical extension that is unknown", c.Subject)
	}
	return nil
}

// issuer is a certificate of an authority that has issued another one.
type issuer struct {
	of *authority
	at int
}

func (i issuer) certificate() *x509.Certificate { return i.of.certs[i.at] }

// fits reports whether the issuer, all above it, and the root's trust in it hold at a time.
func (i issuer) fits(t time.Time) bool {
	return i.of.trusted.holds(t) && i.of.valid[i.at].holds(t)
}

var errNoIssuer = errors.New("no certificate of the trust root has issued it")

// issuersOf finds the certificates of the authorities that have issued c. A certificate
// that stands in several authorities is verified once.
func issuersOf(authorities []*authority, c *x509.Certificate) ([]issuer, error) {
	var found []issuer
	verified := make(map[[sha256.Size]byte]bool)
	for _, a := range authorities {
		for i, by := range a.certs {
			if !bytes.Equal(c.RawIssuer, by.RawSubject) {
				continue
			}
			if len(c.AuthorityKeyId) > 0 && len(by.SubjectKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, by.SubjectKeyId) {
				continue
			}
			sum := sha256.Sum256(by.Raw)
			ok, known := verified[sum]
			if !known {
				ok = c.CheckSignatureFrom(by) == nil
				verified[sum] = ok
			}
			if ok {
				found = append(found, issuer{a, i})
			}
		}
	}
	if len(found) == 0 {
		return nil, errNoIssuer
	}
	return found, nil
}
func isNameConstraints(e pkix.Extension) bool { return e.Id.Equal(nameConstraintsOID) }
