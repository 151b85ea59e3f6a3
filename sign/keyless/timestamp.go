package keyless

import (
	"context"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/http"
	"time"
)

type wireImprint struct {
	Hash   pkix.AlgorithmIdentifier
	Digest []byte
}

// wireStampRequest is a TimeStampReq. It has no nonce: the signature is new, so an older
// timestamp cannot be one of it.
type wireStampRequest struct {
	Version      int
	Imprint      wireImprint
	Certificates bool
}

// stamped has the signature seen by as many timestamp authorities as are needed (RFC 3161,
// sections 2.4 and 3.4).
func (s *Signer) stamped(ctx context.Context, from choice, w work) ([][]byte, error) {
	sum := sha256.Sum256(w.signature)
	sha256OID := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	request, err := asn1.Marshal(wireStampRequest{
		Version: 1, Certificates: true,
		Imprint: wireImprint{pkix.AlgorithmIdentifier{Algorithm: sha256OID, Parameters: asn1.NullRawValue}, sum[:]},
	})
	if err != nil {
		return nil, err
	}
	return gather(from, func(authority service) ([]byte, error) {
		a, err := s.client.do(ctx, call{
			service: "timestamp authority", method: http.MethodPost, url: authority.url, body: request,
			header: http.Header{"Content-Type": {"application/timestamp-query"}, "Accept": {"application/timestamp-reply"}},
		})
		if err != nil {
			return nil, err
		}
		if err := s.checkStamp(a.body, w); err != nil {
			return nil, badAnswer("timestamp authority", authority.url, err)
		}
		return a.body, nil
	})
}

// checkStamp verifies a timestamp, and that the certificate is valid at its time.
func (s *Signer) checkStamp(text []byte, w work) error {
	at, err := s.root.VerifyTimestamp(text, w.signature)
	if err != nil {
		return err
	}
	if c := w.by.leaf.Certificate(); at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return fmt.Errorf("it says %s, and the certificate is valid from %s to %s", at.UTC().Format(time.RFC3339),
			c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
