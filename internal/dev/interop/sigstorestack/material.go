package sigstorestack

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// certificateLifetime is how long the services' certificates are valid.
const certificateLifetime = 24 * time.Hour

func newKeys() (k keys, err error) {
	for _, key := range []struct {
		to    **ecdsa.PrivateKey
		curve elliptic.Curve
	}{
		{&k.fulcioRoot, elliptic.P384()}, {&k.fulcio, elliptic.P384()},
		{&k.stampRoot, elliptic.P384()}, {&k.stampIntermediate, elliptic.P384()}, {&k.stamper, elliptic.P384()},
		{&k.ct, elliptic.P256()}, {&k.rekor1, elliptic.P256()},
	} {
		if *key.to, err = ecdsa.GenerateKey(key.curve, rand.Reader); err != nil {
			return k, err
		}
	}
	_, k.rekor2, err = ed25519.GenerateKey(rand.Reader)
	return k, err
}

// fulcioChain is the issuing certificate of Fulcio, and the one above it.
func (k *keys) fulcioChain(start time.Time) ([]*x509.Certificate, error) {
	root := issuer("fulcio root", start)
	intermediate := issuer("fulcio intermediate", start)
	intermediate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	return chain(link{root, k.fulcioRoot}, link{intermediate, k.fulcio})
}

// stampChain is the certificate of the timestamp authority, and those above it.
func (k *keys) stampChain(start time.Time) ([]*x509.Certificate, error) {
	intermediate := issuer("tsa intermediate", start)
	intermediate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
	stamper := &x509.Certificate{
		Subject: subject("tsa"), NotBefore: start, NotAfter: start.Add(certificateLifetime), KeyUsage: x509.KeyUsageDigitalSignature,
		// RFC 3161, section 2.3, wants it critical. x509 would not make it so.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: timeStampingOnly}},
	}
	return chain(link{issuer("tsa root", start), k.stampRoot}, link{intermediate, k.stampIntermediate}, link{stamper, k.stamper})
}

// timeStampingOnly is the extended key usage id-kp-timeStamping, in DER.
var timeStampingOnly = []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08}

func subject(name string) pkix.Name {
	return pkix.Name{Organization: []string{"hallmark.test"}, CommonName: name}
}

// issuer is the template of a certificate that issues others.
func issuer(name string, start time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: subject(name), NotBefore: start, NotAfter: start.Add(certificateLifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// link is a certificate of a chain that is to be made, with its key.
type link struct {
	template *x509.Certificate
	key      *ecdsa.PrivateKey
}

// chain makes certificates, each by the one before it, and returns the last one first.
func chain(links ...link) (made []*x509.Certificate, err error) {
	by := links[0]
	for _, l := range links {
		if l.template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
			return nil, err
		}
		parent := l.template
		if len(made) > 0 {
			parent = made[0]
		}
		der, err := x509.CreateCertificate(rand.Reader, l.template, parent, l.key.Public(), by.key)
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		made = append([]*x509.Certificate{c}, made...)
		by = l
	}
	return made, nil
}

// fileWriter writes files, and keeps the first error.
type fileWriter struct {
	dir string
	err error
}

func (w *fileWriter) write(name string, data []byte) {
	if w.err == nil {
		w.err = os.WriteFile(filepath.Join(w.dir, name), data, 0o600)
	}
}

func (w *fileWriter) pem(name, kind string, der []byte, err error) {
	if w.err == nil && err != nil {
		w.err = err
	}
	w.write(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (w *fileWriter) certificates(name string, chain ...*x509.Certificate) {
	var text []byte
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	w.write(name, text)
}

func (w *fileWriter) private(name string, key crypto.Signer) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	w.pem(name, "PRIVATE KEY", der, err)
}

// legacyPrivate writes a key as SEC 1 does, which is all that TesseraCT reads.
func (w *fileWriter) legacyPrivate(name string, key *ecdsa.PrivateKey) {
	der, err := x509.MarshalECPrivateKey(key)
	w.pem(name, "EC PRIVATE KEY", der, err)
}

func (w *fileWriter) public(name string, key crypto.PublicKey) {
	der, err := x509.MarshalPKIXPublicKey(key)
	w.pem(name, "PUBLIC KEY", der, err)
}

// fulcioConfig is Fulcio's configuration: an issuer of people's tokens and one of GitHub
// Actions' ones. Which claim becomes which extension is as in the public instance.
func fulcioConfig(people, workflows string) string {
	return fmt.Sprintf(`oidc-issuers:
  %[1]s: {issuer-url: %[1]q, client-id: %[3]s, type: email}
  %[2]s: {issuer-url: %[2]q, client-id: %[3]s, type: ci-provider, ci-provider: github-workflow}
ci-issuer-metadata:
  github-workflow:
    default-template-values: {url: "https://github.com"}
    subject-alternative-name-template: "{{ .url }}/{{ .job_workflow_ref }}"
    extension-templates:
      build-signer-uri: "{{ .url }}/{{ .job_workflow_ref }}"
      build-signer-digest: job_workflow_sha
      build-config-uri: "{{ .url }}/{{ .workflow_ref }}"
      build-config-digest: workflow_sha
      build-trigger: event_name
      runner-environment: runner_environment
      run-invocation-uri: "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}"
      source-repository-uri: "{{ .url }}/{{ .repository }}"
      source-repository-digest: sha
      source-repository-ref: ref
      source-repository-identifier: repository_id
      source-repository-owner-uri: "{{ .url }}/{{ .repository_owner }}"
      source-repository-owner-identifier: repository_owner_id
      source-repository-visibility-at-signing: repository_visibility
      github-workflow-name: workflow
      github-workflow-ref: ref
      github-workflow-repository: repository
      github-workflow-sha: sha
      github-workflow-trigger: event_name
`, people, workflows, audience)
}
