package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sgverify "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

// inMemory gives the one image of a task, and its evidence.
func inMemory(t work.Task) (digest name.Digest, hash v1.Hash, evidence [][]byte, err error) {
	if len(t.Images) != 1 {
		return digest, hash, nil, fmt.Errorf("%d images, want one", len(t.Images))
	}
	if digest, err = name.NewDigest(t.Images[0]); err != nil {
		return digest, hash, nil, err
	}
	for _, path := range t.Evidence {
		text, err := os.ReadFile(path)
		if err != nil {
			return digest, hash, nil, err
		}
		evidence = append(evidence, text)
	}
	hash, err = v1.NewHash(digest.DigestStr())
	return digest, hash, evidence, err
}

// signatureInMemory verifies a payload (the first file) and its signature in
// base64 (the second).
func signatureInMemory(_ context.Context, t work.Task) (done, error) {
	_, hash, evidence, err := inMemory(t)
	if err != nil {
		return nil, err
	}
	t.Format = work.Tag
	o, err := checkOpts(t)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, []int{0}, func(ctx context.Context, _ int) error {
			sig, err := static.NewSignature(evidence[0], string(evidence[1]))
			if err != nil {
				return err
			}
			_, err = cosign.VerifyImageSignature(ctx, sig, hash, o)
			return err
		})
	}, nil
}

// sigstoreGo parses a bundle and verifies it with the key.
func sigstoreGo(_ context.Context, t work.Task) (done, error) {
	_, hash, evidence, err := inMemory(t)
	if err != nil {
		return nil, err
	}
	key, err := verifierOf(t.PublicKey)
	if err != nil {
		return nil, err
	}
	material := root.NewTrustedPublicKeyMaterial(func(hint string) (root.TimeConstrainedVerifier, error) {
		if _, err := base64.StdEncoding.DecodeString(hint); err != nil {
			return nil, err
		}
		return root.NewExpiringKey(key, time.Time{}, time.Time{}), nil
	})
	v, err := sgverify.NewVerifier(material, sgverify.WithNoObserverTimestamps())
	if err != nil {
		return nil, err
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(hash.String(), "sha256:"))
	if err != nil {
		return nil, err
	}
	policy := sgverify.NewPolicy(sgverify.WithArtifactDigest("sha256", sum), sgverify.WithKey())
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, evidence, func(_ context.Context, text []byte) error {
			b := new(sgbundle.Bundle)
			if err := b.UnmarshalJSON(text); err != nil {
				return err
			}
			_, err := v.Verify(b, policy)
			return err
		})
	}, nil
}
