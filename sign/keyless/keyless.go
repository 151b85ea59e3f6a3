// Package keyless signs without keys that last: by certificates that Sigstore's services
// issue to people and CI jobs for minutes.
//
//	by, err := keyless.New(keyless.Options{SigningConfig: config, TrustedRoot: root, Identity: identity})
//	...
//	signed, err := sign.Image(ctx, store, digest, sign.ImageOptions{}, by)
//
// # Identity
//
// A [TokenSource] proves to Fulcio who signs. There are these:
//
//   - [Ambient]: the identity of a CI job or workload: GitHub Actions, GitLab, Buildkite,
//     CircleCI, Google Cloud, SPIFFE, or a token file
//   - [BrowserLogin] and [DeviceLogin]: a person logs in
//   - [Token] and [TokenFile]: a token that the caller has
//
// # What is sent to whom
//
// The identity becomes public, and cannot be withdrawn.
//
//   - Fulcio gets the identity token and the session's public key. It writes the identity
//     into a certificate (an e-mail address, or the URL of a workflow with its
//     repository), and a certificate transparency log publishes it.
//   - Rekor gets the certificate, the signature and the digest of what is signed, and
//     publishes them. Rekor v1 also gets the payload of an attestation, and publishes its
//     digest.
//   - The timestamp authority gets a digest of the signature.
//   - The identity provider learns that a signature is made, and by whom.
//
// Identity tokens go to Fulcio alone, and never by a redirect. They are in no error.
//
// # Order
//
// Each signature is made, recorded by the logs, timestamped, and then verified against
// the trust root: certificate, its log, entries, timestamps and signature, as a verifier
// does later. Package sign attaches after that. It makes all signatures first: a log that
// is down leaves nothing attached, and nothing tagged.
//
// The key is made by [New] and never leaves the Signer. One certificate serves until a
// minute before its end, commonly ten minutes after its beginning.
//
// # Services
//
// The signing configuration names the services, as Sigstore's TUF repository has it:
//
//   - A service counts while it is valid. One of each operator is used, the newest.
//   - Rekor v2 is preferred to v1. Signatures in a .sig or .att tag need Rekor v1, whose
//     signed entry timestamp those tags hold.
//   - ALL uses every service, ANY one and EXACT so many. ANY and EXACT ask others where one
//     fails.
//   - Without a timestamp authority, the log must be Rekor v1, which says a time itself.
//   - Requests go by https, and on loopback also by http. Redirects are not followed.
//   - A request is sent at most 4 times, on status 429, on 5xx and where there is no
//     answer. Retry-After is heeded up to 30 seconds; beyond that the request fails. One
//     attempt takes at most 30 seconds, an answer 1 MiB.
//   - A log that has the entry already (409) is asked for it. Rekor v2 cannot be asked, so a
//     new signature is made, at most twice.
//
// # Formats
//
// Signing configurations v0.2 and ClientTrustConfig v0.1 (sigstore/protobuf-specs). Fulcio:
// POST /api/v2/signingCert (fulcio.proto). Rekor v1: /api/v1/log/entries with hashedrekord
// 0.0.1 and dsse 0.0.1. Rekor v2: /api/v2/log/entries with hashedrekord 0.0.2, of
// attestations too, as sigstore-go 1.3 does. Timestamps: RFC 3161.
package keyless

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/sign"
)

// Errors of this package, for errors.Is.
var (
	// ErrConfig: the signing configuration or the trust root cannot be used.
	ErrConfig = errors.New("unusable signing configuration")
	// ErrFormat: the format has no place for what the logs give. Write a bundle.
	ErrFormat = errors.New("format without a place for the log's entry")
	// ErrIdentity: there is no identity token that can be used.
	ErrIdentity = errors.New("no usable identity token")
	// ErrService: a service failed, refused, or could not be reached; see ServiceError.
	ErrService = errors.New("service failed")
	// ErrUntrusted: what a service has answered does not verify.
	ErrUntrusted = errors.New("the answer does not verify")
)

// Options say by which services to sign, and as whom.
type Options struct {
	// SigningConfig is the text of a signing configuration, or of a ClientTrustConfig,
	// which also holds the trust root. Required.
	SigningConfig []byte
	// TrustedRoot is the text of the trust root that signatures are verified against before
	// they are used. Nil: that of the ClientTrustConfig.
	TrustedRoot []byte
	// Identity proves who signs. Required.
	Identity TokenSource
	// WithoutLogs records signatures in no transparency log. WithoutCT accepts a certificate
	// that no log of certificates has seen. Both are for instances that have none, such as
	// GitHub's: other verifiers refuse the signatures.
	WithoutLogs, WithoutCT bool
	// Transport sends requests. Nil: one that uses the proxy of the environment.
	Transport http.RoundTripper
	// Now returns the time. Nil: time.Now.
	Now func() time.Time
}

// Signer signs with a key that it has made, and has certified. It is a
// sign.MaterialSigner, and safe for concurrent use.
type Signer struct {
	o         Options
	config    *config
	root      *sigstore.Root
	client    *client
	key       *ecdsa.PrivateKey
	publicPEM string
	asked     singleflight.Group[struct{}, *certificate]
	mu        sync.Mutex
	current   *certificate
}

// New makes a Signer and its key. It sends nothing. It returns ErrConfig if the
// configuration names no services that can sign now, or the trust root does not have what
// verifiers demand.
func New(o Options) (*Signer, error) {
	if o.Identity == nil {
		return nil, fmt.Errorf("%w: Options.Identity is nil", ErrIdentity)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Signer{o: o, client: newClient(o.Transport)}
	var err error
	if s.config, err = parseConfig(o.SigningConfig); err != nil {
		return nil, err
	}
	text := o.TrustedRoot
	if text == nil {
		text = s.config.root
	}
	if text == nil {
		return nil, fmt.Errorf("%w: no trust root, against which signatures are verified before they are used", ErrConfig)
	}
	if s.root, err = sigstore.ParseRoot(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := s.checkRoot(); err != nil {
		return nil, err
	}
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return nil, err
	}
	s.publicPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return s, nil
}

// checkRoot checks that there are services now, and that the root has what it takes to
// verify their work.
func (s *Signer) checkRoot() error {
	if _, err := s.config.authority(s.o.Now()); err != nil {
		return err
	}
	p, err := s.config.plan(s.o.Now(), false, s.o.WithoutLogs)
	switch {
	case err != nil:
		return err
	case s.root.Authorities() == 0:
		return fmt.Errorf("%w: the trust root has no certificate authority", ErrConfig)
	case s.root.CTLogs() == 0 && !s.o.WithoutCT:
		return fmt.Errorf("%w: the trust root has no certificate transparency log; see Options.WithoutCT", ErrConfig)
	case s.root.Logs() == 0 && !s.o.WithoutLogs:
		return fmt.Errorf("%w: the trust root has no transparency log; see Options.WithoutLogs", ErrConfig)
	case s.root.TimestampAuthorities() == 0 && p.stamps.need > 0:
		return fmt.Errorf("%w: the trust root has no timestamp authority, and the signing configuration has", ErrConfig)
	}
	return nil
}

// Public returns the public key, which is another one for each Signer.
func (s *Signer) Public() crypto.PublicKey { return &s.key.PublicKey }

// Sign returns an error: a signature without its certificate can be verified by no
// verifier. It makes a Signer a sign.Signer.
func (s *Signer) Sign(context.Context, []byte) ([]byte, error) {
	return nil, fmt.Errorf("%w: what is signed here has no place for a certificate; use a bundle", sign.ErrOptions)
}

// work is a signature that is being recorded.
type work struct {
	message   sign.Message
	by        *certificate
	signature []byte
}

// evidence is the signature as a verifier sees it.
func (w work) evidence() *sigstore.Evidence {
	e := &sigstore.Evidence{Message: sigkey.Hashed(w.message.SHA256[:], nil, nil), Signature: w.signature}
	if w.message.PayloadType != "" {
		e.Envelope = &dsse.Envelope{PayloadType: w.message.PayloadType, Payload: w.message.Payload}
	}
	return e
}

// maxSignatures bounds how often a message is signed again because a log has the entry.
const maxSignatures = 3

// SignWithMaterial implements sign.MaterialSigner. Errors are ErrConfig, ErrFormat,
// ErrIdentity, ErrService, ErrUntrusted and those of the context.
func (s *Signer) SignWithMaterial(ctx context.Context, m sign.Message) ([]byte, *sign.Material, error) {
	if m.Bytes != nil && sha256.Sum256(m.Bytes) != m.SHA256 {
		return nil, nil, fmt.Errorf("%w: SHA256 is not that of Bytes", sign.ErrOptions)
	}
	p, err := s.config.plan(s.o.Now(), m.Annotations, s.o.WithoutLogs)
	if err != nil {
		return nil, nil, err
	}
	for n := 1; ; n++ {
		signature, material, err := s.signOnce(ctx, m, p)
		if errors.Is(err, errDuplicate) && n < maxSignatures {
			continue
		}
		return signature, material, err
	}
}

func (s *Signer) signOnce(ctx context.Context, m sign.Message, p plan) ([]byte, *sign.Material, error) {
	c, err := s.certified(ctx)
	if err != nil {
		return nil, nil, err
	}
	w := work{message: m, by: c}
	if w.signature, err = s.signDigest(m.SHA256); err != nil {
		return nil, nil, err
	}
	entries, err := s.logged(ctx, p.logs, w)
	if err != nil {
		return nil, nil, err
	}
	stamps, err := s.stamped(ctx, p.stamps, w)
	if err != nil {
		return nil, nil, err
	}
	if m.Annotations { // there is room for one of each
		entries, stamps = entries[:min(len(entries), 1)], stamps[:min(len(stamps), 1)]
	}
	if err := s.checkAll(w, entries, stamps); err != nil {
		return nil, nil, fmt.Errorf("%w: the signature that was made: %w", ErrUntrusted, err)
	}
	material := &sign.Material{Certificate: c.der, Chain: c.chain, Timestamps: stamps}
	for _, e := range entries {
		text, err := e.Marshal()
		if err != nil {
			return nil, nil, err
		}
		material.Entries = append(material.Entries, text)
	}
	return w.signature, material, nil
}

// checkEntry verifies a log's answer by itself.
func (s *Signer) checkEntry(e *sigstore.Entry, w work) error {
	return s.root.VerifyEntry(e, w.evidence(), w.by.der)
}

// checkAll verifies the signature with all that is attached to it, as a verifier does that
// demands all of it.
func (s *Signer) checkAll(w work, entries []sigstore.Entry, stamps [][]byte) error {
	e := w.evidence()
	e.Entries, e.Timestamps = entries, stamps
	demands := sigstore.Demands{Logs: len(entries), CTLogs: s.demandedCT(), Times: len(stamps), Timestamps: len(stamps) > 0}
	demands.Times = max(demands.Times, 1)
	_, err := s.root.VerifyLeaf(w.by.leaf, e, demands, s.o.Now())
	return err
}
