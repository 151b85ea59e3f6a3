package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cosignbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sgverify "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

// byCertificateSigstoreGo parses and verifies bundles of many certificates.
func byCertificateSigstoreGo(_ context.Context, t work.Task) (done, error) {
	c := t.Certificates
	text, artifact, signed, err := c.Read()
	if err != nil {
		return nil, err
	}
	trusted, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		return nil, err
	}
	demands := []sgverify.VerifierOption{sgverify.WithTransparencyLog(1), sgverify.WithSignedCertificateTimestamps(1), sgverify.WithObserverTimestamps(1)}
	if c.WithoutLogs {
		demands = []sgverify.VerifierOption{sgverify.WithSignedTimestamps(1)}
	}
	v, err := sgverify.NewVerifier(trusted, demands...)
	if err != nil {
		return nil, err
	}
	id, err := sgverify.NewShortCertificateIdentity(c.Issuer, "", c.URI, "")
	if err != nil {
		return nil, err
	}
	about := func() sgverify.ArtifactPolicyOption { return sgverify.WithArtifact(bytes.NewReader(artifact)) }
	if c.Artifact == "" {
		_, hash, _, err := inMemory(t)
		if err != nil {
			return nil, err
		}
		sum, err := hex.DecodeString(hash.Hex)
		if err != nil {
			return nil, err
		}
		about = func() sgverify.ArtifactPolicyOption { return sgverify.WithArtifactDigest("sha256", sum) }
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, signed, func(_ context.Context, s work.Signed) error {
			b := new(sgbundle.Bundle)
			if err := b.UnmarshalJSON(s.Bundle); err != nil {
				return err
			}
			_, err := v.Verify(b, sgverify.NewPolicy(about(), sgverify.WithCertificateIdentity(id)))
			return c.Judged(err)
		})
	}, nil
}

// byCertificate verifies payloads with annotations, as cosign finds them in .sig tags.
func byCertificate(_ context.Context, t work.Task) (done, error) {
	c := t.Certificates
	text, _, signed, err := c.Read()
	if err != nil {
		return nil, err
	}
	trusted, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		return nil, err
	}
	_, hash, _, err := inMemory(t)
	if err != nil {
		return nil, err
	}
	o := &cosign.CheckOpts{
		TrustedMaterial: trusted, Offline: true, ClaimVerifier: cosign.SimpleClaimVerifier,
		Identities: []cosign.Identity{{Issuer: c.Issuer, Subject: c.URI}},
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, signed, func(ctx context.Context, s work.Signed) error {
			signature, err := signatureOf(s)
			if err != nil {
				return err
			}
			return c.Judged(verifySignature(ctx, signature, hash, o))
		})
	}, nil
}

// Annotations as cosign writes them.
const (
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationBundle      = "dev.sigstore.cosign/bundle"
)

func signatureOf(s work.Signed) (oci.Signature, error) {
	var entry cosignbundle.RekorBundle
	if err := json.NewDecoder(strings.NewReader(s.Annotations[annotationBundle])).Decode(&entry); err != nil {
		return nil, err
	}
	return static.NewSignature(s.Payload, s.Annotations[annotationSignature],
		static.WithCertChain([]byte(s.Annotations[annotationCertificate]), nil), static.WithBundle(&entry))
}

func verifySignature(ctx context.Context, signature oci.Signature, hash v1.Hash, o *cosign.CheckOpts) error {
	own := *o
	_, err := cosign.VerifyImageSignature(ctx, signature, hash, &own)
	return err
}
