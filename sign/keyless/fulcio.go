package keyless

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
)

// renewBefore is how long before its end a certificate is no longer used: logging and
// timestamps take time, and must come before the end.
const renewBefore = time.Minute

// certificate is one that Fulcio has issued for the session's key.
type certificate struct {
	leaf  *sigstore.Leaf
	der   []byte
	chain [][]byte // above it in the trust root, without what is self-issued
	// until is when it is no longer used, by the clock that now reads.
	until time.Time
}

// Identity is who a certificate says has signed. Logs publish it.
type Identity struct {
	// Issuer is the URL of the identity provider. SubjectType is "email", "uri" or
	// "username", and Subject its value.
	Issuer, SubjectType, Subject string
	// Claims are the certificate's other extensions, by the names of verify/sigstore.
	Claims map[string]string
}

// Identity returns who signs. It asks for a certificate where there is none that is valid.
func (s *Signer) Identity(ctx context.Context) (Identity, error) {
	c, err := s.certified(ctx)
	if err != nil {
		return Identity{}, err
	}
	return Identity{c.leaf.Issuer, c.leaf.SubjectType, c.leaf.Subject, maps.Clone(c.leaf.Claims)}, nil
}

// certified returns the certificate in use, or a new one. Callers share a request.
func (s *Signer) certified(ctx context.Context) (*certificate, error) {
	s.mu.Lock()
	c := s.current
	s.mu.Unlock()
	if c != nil && s.o.Now().Before(c.until) {
		return c, nil
	}
	return s.asked.Do(ctx, struct{}{}, func(ctx context.Context) (*certificate, error) {
		c, err := s.certify(ctx)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.current = c
		return c, nil
	})
}

type wirePublicKey struct {
	Algorithm string `json:"algorithm"`
	Content   string `json:"content"`
}

type wireKeyRequest struct {
	PublicKey         wirePublicKey `json:"publicKey"`
	ProofOfPossession []byte        `json:"proofOfPossession"`
}

type wireCertificateRequest struct {
	PublicKeyRequest wireKeyRequest `json:"publicKeyRequest"`
}

type wireChain struct {
	Certificates []string `json:"certificates"`
}

type wireCertificates struct {
	Embedded struct {
		Chain wireChain `json:"chain"`
	} `json:"signedCertificateEmbeddedSct"`
	Detached struct {
		Chain     wireChain `json:"chain"`
		Timestamp []byte    `json:"signedCertificateTimestamp"`
	} `json:"signedCertificateDetachedSct"`
}

// certify asks Fulcio for a certificate (fulcio.proto, CreateSigningCertificate).
func (s *Signer) certify(ctx context.Context) (*certificate, error) {
	authority, err := s.config.authority(s.o.Now())
	if err != nil {
		return nil, err
	}
	t, err := s.identityToken(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := s.signDigest(sha256.Sum256([]byte(t.subject)))
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(wireCertificateRequest{wireKeyRequest{wirePublicKey{"ECDSA", s.publicPEM}, proof}})
	if err != nil {
		return nil, err
	}
	asked := s.o.Now()
	at := authority.url + "/api/v2/signingCert"
	a, err := s.client.do(ctx, call{
		service: "fulcio", method: http.MethodPost, url: at, body: body, secrets: []string{t.text},
		header: http.Header{"Authorization": {"Bearer " + t.text}, "Content-Type": {"application/json"}, "Accept": {"application/json"}},
	})
	if err != nil {
		return nil, err
	}
	c, err := s.readCertificate(a)
	if err == nil {
		err = t.isOf(c.leaf)
	}
	if err != nil {
		return nil, badAnswer("fulcio", at, hidden(err, []string{t.text}))
	}
	x := c.leaf.Certificate()
	life := x.NotAfter.Sub(x.NotBefore)
	c.until = asked.Add(life - min(renewBefore, life/2))
	return c, nil
}

// readCertificate reads Fulcio's answer, and verifies it: that the certificate is for the
// session's key, by an authority of the root, and seen by a log.
func (s *Signer) readCertificate(a *answer) (*certificate, error) {
	var w wireCertificates
	if err := a.decode(&w); err != nil {
		return nil, err
	}
	chain, detached := w.Embedded.Chain.Certificates, false
	if len(chain) == 0 {
		chain, detached = w.Detached.Chain.Certificates, true
	}
	if len(chain) == 0 || len(chain) > sigstore.MaxCertificates {
		return nil, fmt.Errorf("%d certificates, want 1 to %d", len(chain), sigstore.MaxCertificates)
	}
	block, rest := pem.Decode([]byte(chain[0]))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		return nil, errors.New("the certificate is not PEM")
	}
	c := &certificate{der: block.Bytes}
	var err error
	if c.leaf, err = sigstore.ParseLeaf(c.der); err != nil {
		return nil, err
	}
	if !s.key.PublicKey.Equal(c.leaf.Key.Public()) {
		return nil, errors.New("the certificate is for another key")
	}
	if err := s.checkIssued(c.leaf, detached, w.Detached.Timestamp); err != nil {
		return nil, err
	}
	c.chain, err = s.root.Chain(c.leaf)
	return c, err
}

// checkIssued verifies who has issued the certificate, and that a log has seen it.
func (s *Signer) checkIssued(leaf *sigstore.Leaf, detached bool, timestamp []byte) error {
	if detached && !s.o.WithoutCT {
		return errors.New("the timestamp of the certificate transparency log is not in the certificate, where verifiers look for it; Options.WithoutCT signs for verifiers that demand none")
	}
	return s.root.VerifyIssued(leaf, leaf.Certificate().NotBefore, s.demandedCT(), timestamp)
}

func (s *Signer) demandedCT() int {
	if s.o.WithoutCT {
		return 0
	}
	return 1
}

// signDigest signs a digest with the session's key.
func (s *Signer) signDigest(sum [sha256.Size]byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, s.key, sum[:])
}
