package sigstore

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Bounds of trust roots.
const (
	// MaxRootSize bounds the text of a root, or of several.
	MaxRootSize = 4 << 20
	// maxTrusted bounds the logs and authorities of each kind.
	maxTrusted = 256
	// maxRoots bounds the lines of several roots.
	maxRoots = 32
	// maxLeaves bounds the certificates that a root keeps as verified.
	maxLeaves = 4096
)

// ErrRoot is wrapped by every error about a trust root.
var ErrRoot = errors.New("unusable trust root")

// Root is a trust root. It is safe for concurrent use.
type Root struct {
	sum         [sha256.Size]byte
	logs        map[string][]*log // by ID, one key each
	ctLogs      map[string][]*log
	authorities []*authority
	stampers    []*authority
	// leaves are certificates whose issuers and timestamps of logs have been verified.
	leaves *lru.Cache[[sha256.Size]byte, []issued]
	effort efforts
}

// issued says by which certificate another one was issued, and which logs have seen that.
type issued struct {
	by   issuer
	logs int
}

// Media types of trust roots, and of what holds one.
const (
	rootV01     = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	rootV02     = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
	trustConfig = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
)

// ParseRoot reads a trust root: a TrustedRoot, or the one of a ClientTrustConfig.
func ParseRoot(text []byte) (*Root, error) {
	if len(text) > MaxRootSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrRoot, MaxRootSize)
	}
	v, err := strictjson.ParseWithin(text, 1<<17)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	r := &rootReader{}
	if v.Get("mediaType").Is(trustConfig) {
		r.object(v, "the trust configuration", "mediaType", "trustedRoot", "signingConfig")
		v = v.Get("trustedRoot")
	}
	root := &Root{
		sum: sha256.Sum256(text), logs: make(map[string][]*log), ctLogs: make(map[string][]*log),
		leaves: lru.New[[sha256.Size]byte](func([]issued) int64 { return 1 }, maxLeaves),
	}
	r.root(root, v)
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, r.err)
	}
	root.effort = effortsOf(root)
	return root, nil
}

// ParseRoots reads a trust root, or several, one on each line, as GitHub writes them.
func ParseRoots(text []byte) ([]*Root, error) {
	if len(text) > MaxRootSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrRoot, MaxRootSize)
	}
	if root, err := ParseRoot(text); err == nil {
		return []*Root{root}, nil
	} else if first, _, several := bytes.Cut(bytes.TrimSpace(text), []byte("\n")); !several || !isWhole(first) {
		return nil, err
	}
	var all []*Root
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		root, err := ParseRoot(line)
		if err == nil && len(all) == maxRoots {
			err = fmt.Errorf("%w: more than %d roots", ErrRoot, maxRoots)
		}
		if err != nil {
			return nil, fmt.Errorf("root %d: %w", len(all)+1, err)
		}
		all = append(all, root)
	}
	return all, nil
}

// isWhole reports whether a line is a JSON value by itself.
func isWhole(line []byte) bool {
	_, err := strictjson.Parse(line)
	return err == nil
}

// SHA256 is the digest of the text that the root was read from.
func (r *Root) SHA256() [sha256.Size]byte { return r.sum }

// Logs counts the transparency logs, each key once.
func (r *Root) Logs() int { return len(r.logs) }

// CTLogs counts the logs of certificates.
func (r *Root) CTLogs() int { return len(r.ctLogs) }

// Authorities counts the certificate authorities.
func (r *Root) Authorities() int { return len(r.authorities) }

// TimestampAuthorities counts the timestamp authorities.
func (r *Root) TimestampAuthorities() int { return len(r.stampers) }

// HasAuthority reports whether the URI of one of the certificate authorities is this one.
func (r *Root) HasAuthority(uri string) bool {
	for _, a := range r.authorities {
		if a.uri == uri {
			return true
		}
	}
	return false
}

// rootReader reads what trust roots hold.
type rootReader struct{ reader }

func (r *rootReader) root(root *Root, v strictjson.Value) {
	if !r.object(v, "the root", "mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities") {
		return
	}
	if t := v.Get("mediaType"); !t.Is(rootV01) && !t.Is(rootV02) {
		r.fail("mediaType is not %s", rootV01)
	}
	r.logs(root.logs, v.Get("tlogs"), "tlogs")
	r.logs(root.ctLogs, v.Get("ctlogs"), "ctlogs")
	if list := v.Get("certificateAuthorities"); r.list(list, "certificateAuthorities", maxTrusted) {
		for a := range list.Elems() {
			root.authorities = append(root.authorities, r.authority(a, x509.ExtKeyUsageCodeSigning))
		}
	}
	if list := v.Get("timestampAuthorities"); r.list(list, "timestampAuthorities", maxTrusted) {
		for a := range list.Elems() {
			root.stampers = append(root.stampers, r.authority(a, x509.ExtKeyUsageTimeStamping))
		}
	}
	if r.err == nil && len(root.authorities)+len(root.logs)+len(root.stampers) == 0 {
		r.fail("it holds nothing")
	}
}

// window reads the time in which something is trusted. Its start is required.
func (r *rootReader) window(v strictjson.Value, what string) (w window) {
	if !r.object(v, what+".validFor", "start", "end") {
		return w
	}
	w = window{r.moment(v.Get("start"), "start"), r.moment(v.Get("end"), "end")}
	if w.start.IsZero() {
		r.fail("%s.validFor has no start", what)
	}
	return w
}

func (r *rootReader) logs(to map[string][]*log, list strictjson.Value, what string) {
	if !r.list(list, what, maxTrusted) {
		return
	}
	for v := range list.Elems() {
		id, l := r.log(v, what)
		if r.err != nil {
			return
		}
		if others := to[id]; len(others) > 0 && others[0].key.ID() != l.key.ID() {
			r.fail("two %s of one logId", what)
		}
		to[id] = append(to[id], l)
	}
}

func (r *rootReader) log(v strictjson.Value, what string) (id string, l *log) {
	if !r.object(v, "one of "+what, "baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator") {
		return "", nil
	}
	if !v.Get("hashAlgorithm").Is("SHA2_256") {
		r.fail("hashAlgorithm of one of %s is not SHA2_256", what)
	}
	base := r.text(v.Get("baseUrl"), "baseUrl")
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		r.fail("baseUrl %.100q is not a URL", base)
		return "", nil
	}
	key := v.Get("publicKey")
	if !r.object(key, "publicKey", "rawBytes", "keyDetails", "validFor") {
		return "", nil
	}
	l = &log{host: u.Host, name: u.Hostname(), trusted: r.window(key.Get("validFor"), what)}
	l.key = r.key(r.bytes(key.Get("rawBytes"), "rawBytes"), r.text(key.Get("keyDetails"), "keyDetails"))
	ids := make(map[string][]byte)
	for _, name := range []string{"logId", "checkpointKeyId"} {
		if held := v.Get(name); given(held) && r.object(held, name, "keyId") {
			ids[name] = r.bytes(held.Get("keyId"), name)
		}
	}
	if l.keyID = ids["checkpointKeyId"]; l.keyID == nil {
		l.keyID = ids["logId"]
	}
	if len(ids["logId"]) != sha256.Size || len(l.keyID) < 4 {
		r.fail("logId of one of %s is not a SHA-256", what)
	}
	return string(ids["logId"]), l
}

// keyDetails are the kinds of keys that logs may have.
var keyDetails = map[string]crypto.Hash{
	"PKIX_ECDSA_P256_SHA_256": crypto.SHA256, "PKIX_ECDSA_P384_SHA_384": crypto.SHA384, "PKIX_ECDSA_P521_SHA_512": crypto.SHA512,
	"PKIX_ED25519": crypto.SHA512, "PKIX_RSA_PKCS1V15_2048_SHA256": crypto.SHA256, "PKIX_RSA_PKCS1V15_3072_SHA256": crypto.SHA256,
	"PKIX_RSA_PKCS1V15_4096_SHA256": crypto.SHA256, "PKCS1_RSA_PKCS1V5": crypto.SHA256,
}

func (r *rootReader) key(der []byte, details string) *sigkey.Key {
	if keyDetails[details] == 0 {
		r.fail("keyDetails %.60q", details)
		return nil
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if details == "PKCS1_RSA_PKCS1V5" && err != nil {
		public, err = x509.ParsePKCS1PublicKey(der)
	}
	if err != nil {
		r.fail("public key: %w", err)
		return nil
	}
	key, err := sigkey.New(public)
	if err != nil {
		r.fail("public key: %w", err)
	}
	return key
}

func (r *rootReader) authority(v strictjson.Value, use x509.ExtKeyUsage) *authority {
	if !r.object(v, "an authority", "subject", "uri", "certChain", "validFor", "operator") {
		return nil
	}
	if name := v.Get("subject"); given(name) && r.object(name, "subject", "organization", "commonName") {
		r.text(name.Get("organization"), "organization") // nothing rests on either
		r.text(name.Get("commonName"), "commonName")
	}
	trusted := r.window(v.Get("validFor"), "an authority")
	chain := v.Get("certChain")
	if !r.object(chain, "certChain", "certificates") || !r.list(chain.Get("certificates"), "certificates", MaxCertificates) {
		r.fail("an authority without certificates")
		return nil
	}
	var certs []*x509.Certificate
	for held := range chain.Get("certificates").Elems() {
		c, err := x509.ParseCertificate(r.certificate(held))
		if err != nil {
			r.fail("certificate: %w", err)
			return nil
		}
		certs = append(certs, c)
	}
	a, err := newTrusted(certs, use)
	if err != nil {
		r.fail("%w", err)
		return nil
	}
	a.uri, a.trusted = r.text(v.Get("uri"), "uri"), trusted
	return a
}

// newTrusted makes an authority of its certificates. The first may sign timestamps itself.
func newTrusted(certs []*x509.Certificate, use x509.ExtKeyUsage) (*authority, error) {
	switch {
	case len(certs) == 0:
		return nil, errors.New("an authority without certificates")
	case use != x509.ExtKeyUsageTimeStamping || certs[0].IsCA:
		return newAuthority(certs, use)
	}
	signer := certs[0]
	if err := checkStamper(signer); err != nil {
		return nil, err
	}
	a, err := newAuthority(certs[1:], use)
	if err != nil {
		return nil, err
	}
	if len(a.certs) > 0 {
		if err := signer.CheckSignatureFrom(a.certs[0]); err != nil {
			return nil, fmt.Errorf("the certificate %q is not issued by the next of its chain: %w", signer.Subject, err)
		}
	}
	a.signer = signer
	a.signerKey, _ = sigkey.New(signer.PublicKey) // timestamps by another kind of key do not count
	return a, nil
}
