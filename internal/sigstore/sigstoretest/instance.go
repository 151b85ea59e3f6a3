// Package sigstoretest is a Sigstore instance in memory, with real keys and signatures.
//
// It has a certificate authority, a log of certificates, Rekor v1 and v2, and a timestamp
// authority.
//
//	i := sigstoretest.New(t, sigstoretest.Options{})
//	leaf := i.Issue(sigstoretest.Leaf{URI: workflow, Issuer: issuer})
//	b := leaf.SignMessage(artifact)            // a bundle that no log has
//	b.Log(i.Rekor1, "hashedrekord 0.0.1").Stamp(i.TSA)
//	root, text := i.Root(), b.Text()
//
// A test makes its one defect by the options of a step, or in the JSON that a step has
// made.
package sigstoretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"
)

// Options say how an instance is made. The zero value is the usual one.
type Options struct {
	// Now is when signatures are made. Zero: 2026-06-01.
	Now time.Time
	// Intermediates are how many certificates stand between the authority's root and its
	// leaves. Zero: one; less than zero: none.
	Intermediates int
	// WithoutStamper leaves the signer's certificate out of the timestamp authority's
	// chain in the root, and puts it into the timestamps. False: the root has it.
	WithoutStamper bool
	// Curve is that of the keys of authorities. Nil: P-256.
	Curve elliptic.Curve
}

// Instance is a Sigstore instance.
type Instance struct {
	Now            time.Time
	CA             *Authority
	CT             *Log
	Rekor1, Rekor2 *Log
	TSA            *Authority
	curve          elliptic.Curve
	t              testing.TB
}

// Authority issues certificates, or timestamps by the first of them.
type Authority struct {
	URI string
	// Chain is the issuing certificate and those above it.
	Chain []*x509.Certificate
	Keys  []*ecdsa.PrivateKey
	// Start and End are those of the root's trust. Zero End: none.
	Start, End time.Time
	// Embed puts the first certificate into timestamps and leaves it out of the root.
	Embed bool
}

// New makes an instance.
func New(t testing.TB, o Options) *Instance {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	}
	if o.Curve == nil {
		o.Curve = elliptic.P256()
	}
	i := &Instance{Now: o.Now, curve: o.Curve, t: t}
	between := max(o.Intermediates, 0)
	if o.Intermediates == 0 {
		between = 1
	}
	i.CA = i.NewAuthority("https://fulcio.example", between, nil)
	i.TSA = i.NewAuthority("https://tsa.example", 1, i.stamper())
	i.TSA.Embed = o.WithoutStamper
	i.CT = i.NewLog("https://ct.example/2026", i.newKey(elliptic.P256()), false)
	i.Rekor1 = i.NewLog("https://rekor.example", i.newKey(elliptic.P256()), false)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	i.check(err)
	i.Rekor2 = i.NewLog("https://log2026.rekor.example", key, true)
	return i
}

func (i *Instance) check(err error) {
	if err != nil {
		i.t.Helper()
		i.t.Fatal(err)
	}
}

func (i *Instance) newKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	i.check(err)
	return key
}

// start is when the certificates of the instance begin.
func (i *Instance) start() time.Time { return i.Now.Add(-365 * 24 * time.Hour) }

// serial is a new serial number.
func (i *Instance) serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	i.check(err)
	return n
}

// Certify makes a certificate by the template, whose key is new. By nil it is its own.
func (i *Instance) Certify(template *x509.Certificate, by *x509.Certificate, with crypto.Signer) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key := i.newKey(i.curve)
	if by == nil {
		by, with = template, key
	}
	return i.certify(template, key.Public(), by, with), key
}

func (i *Instance) certify(template *x509.Certificate, public crypto.PublicKey, by *x509.Certificate, with crypto.Signer) *x509.Certificate {
	i.t.Helper()
	if template.SerialNumber == nil {
		template.SerialNumber = i.serial()
	}
	c, err := certify(template, public, by, with)
	i.check(err)
	return c
}

func certify(template *x509.Certificate, public crypto.PublicKey, by *x509.Certificate, with crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, by, public, with)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Issuer is the template of a certificate that issues others.
func (i *Instance) Issuer(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: i.start(), NotAfter: i.Now.Add(5 * 365 * 24 * time.Hour),
	}
}

// stamper is the template of a certificate that signs timestamps.
func (i *Instance) stamper() *x509.Certificate {
	use, err := extendedKeyUsage(oidTimeStamping)
	i.check(err)
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "tsa"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{use},
		NotBefore: i.start(), NotAfter: i.Now.Add(5 * 365 * 24 * time.Hour), BasicConstraintsValid: true,
	}
}

// NewAuthority makes a chain: a root, so many certificates below it, and a last one by the
// template, if there is one.
func (i *Instance) NewAuthority(uri string, between int, last *x509.Certificate) *Authority {
	i.t.Helper()
	a := &Authority{URI: uri, Start: i.start()}
	for n := range between + 1 {
		name := uri + " root"
		if n > 0 {
			name = uri + " intermediate"
		}
		a.add(i, i.Issuer(name))
	}
	if last != nil {
		a.add(i, last)
	}
	return a
}

// add puts a certificate by the template below the others.
func (a *Authority) add(i *Instance, template *x509.Certificate) {
	var by *x509.Certificate
	var with crypto.Signer
	if len(a.Chain) > 0 {
		by, with = a.Chain[0], a.Keys[0]
	}
	c, key := i.Certify(template, by, with)
	a.Chain = append([]*x509.Certificate{c}, a.Chain...)
	a.Keys = append([]*ecdsa.PrivateKey{key}, a.Keys...)
}

// Replace makes the authority's certificate at the place again, after change has changed
// its template. Those below it keep their signatures: the key and the name stay.
func (a *Authority) Replace(i *Instance, at int, change func(*x509.Certificate)) {
	i.t.Helper()
	old := a.Chain[at]
	template := &x509.Certificate{
		Subject: old.Subject, IsCA: old.IsCA, BasicConstraintsValid: true, KeyUsage: old.KeyUsage, SubjectKeyId: old.SubjectKeyId,
		NotBefore: old.NotBefore, NotAfter: old.NotAfter, SerialNumber: old.SerialNumber,
	}
	for _, e := range old.Extensions {
		if e.Id.Equal(oidExtendedKeyUsage) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	change(template)
	by, with := template, a.Keys[at]
	if at+1 < len(a.Chain) {
		by, with = a.Chain[at+1], a.Keys[at+1]
	}
	a.Chain[at] = i.certify(template, a.Keys[at].Public(), by, with)
}

// Object is a JSON object.
type Object = map[string]any

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func validFor(start, end time.Time) Object {
	o := Object{"start": start.Format(time.RFC3339Nano)}
	if !end.IsZero() {
		o["end"] = end.Format(time.RFC3339Nano)
	}
	return o
}

// JSON is the authority as trust roots hold it.
func (a *Authority) JSON() Object {
	chain := a.Chain
	if a.Embed {
		chain = chain[1:]
	}
	var certs []any
	for _, c := range chain {
		certs = append(certs, Object{"rawBytes": b64(c.Raw)})
	}
	return Object{
		"subject": Object{"organization": "", "commonName": a.URI}, "uri": a.URI,
		"certChain": Object{"certificates": certs}, "validFor": validFor(a.Start, a.End),
	}
}

// RootJSON is the instance's trust root, to be changed.
func (i *Instance) RootJSON() Object {
	return Object{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  []any{i.Rekor1.JSON(), i.Rekor2.JSON()},
		"ctlogs":                 []any{i.CT.JSON()},
		"certificateAuthorities": []any{i.CA.JSON()},
		"timestampAuthorities":   []any{i.TSA.JSON()},
	}
}

// Root is the text of the instance's trust root.
func (i *Instance) Root() []byte { return i.Marshal(i.RootJSON()) }

// Marshal writes JSON.
func (i *Instance) Marshal(v any) []byte {
	i.t.Helper()
	text, err := json.Marshal(v)
	i.check(err)
	return text
}

func sum(data []byte) []byte {
	s := sha256.Sum256(data)
	return s[:]
}
