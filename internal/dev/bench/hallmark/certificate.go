package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

const certificatePolicy = `version: 1
identities:
  signer: {authority: sigstore, settings: {issuer: %q, uri: %q}}
roles:
  signer: {identities: [signer]}
files: [{signature: {by: signer}}]
rules:
  - {images: ["**"], require: [{signature: {by: signer}}]}
`

// byCertificate verifies evidence of many certificates. The verifier has seen none of them.
func byCertificate(ctx context.Context, t work.Task) (done, error) {
	c := t.Certificates
	root, artifact, signed, err := c.Read()
	if err != nil {
		return nil, err
	}
	authority, err := sigstore.New(map[string]sigstore.Instance{"private": {Root: root, WithoutLogs: c.WithoutLogs, WithoutCT: c.WithoutLogs}})
	if err != nil {
		return nil, err
	}
	linked := map[string]policy.Authority{"sigstore": authority}
	p, err := policy.Parse(fmt.Appendf(nil, certificatePolicy, c.Issuer, c.URI), policy.ParseOptions{Authorities: linked})
	if err != nil {
		return nil, err
	}
	v, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		return nil, err
	}
	if c.Artifact != "" {
		return func(ctx context.Context) (int, error) {
			return work.Each(ctx, t, signed, func(ctx context.Context, s work.Signed) error {
				_, err := v.Blob(ctx, bytes.NewReader(artifact), s.Bundle)
				return c.Judged(err)
			})
		}, nil
	}
	if len(t.Images) != 1 || len(signed) == 0 {
		return nil, errors.New("want one image and some evidence")
	}
	digest, err := name.NewDigest(t.Images[0])
	if err != nil {
		return nil, err
	}
	if signed[0].Bundle != nil {
		return func(ctx context.Context) (int, error) {
			return work.Each(ctx, t, signed, func(ctx context.Context, s work.Signed) error {
				_, err := v.Bundles(ctx, digest, s.Bundle)
				return c.Judged(err)
			})
		}, nil
	}
	store, images, err := attached(ctx, digest, signed)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, images, func(ctx context.Context, image name.Digest) error {
			_, err := v.Image(ctx, store, image)
			return c.Judged(err)
		})
	}, nil
}

// attached puts the image into a repository for each signature, in memory.
func attached(ctx context.Context, digest name.Digest, signed []work.Signed) (registry.Store, []name.Digest, error) {
	store := registrytest.New(registrytest.Options{}).Store()
	var images []name.Digest
	for n, s := range signed {
		repo := digest.Context().Registry.Repo(fmt.Sprintf("bench/app-%d", n))
		image, err := registrytest.PushImage(ctx, store, repo.Tag("v1"), registrytest.ImageOptions{Seed: "by certificate"})
		if err != nil {
			return nil, nil, err
		}
		if image.DigestStr() != digest.DigestStr() {
			return nil, nil, fmt.Errorf("pushed %s, want %s", image.DigestStr(), digest.DigestStr())
		}
		item := registry.Item{Format: registry.FormatSimpleSigning, Payload: s.Payload, Layer: v1.Descriptor{
			MediaType: simplesigning.LayerMediaType, Annotations: s.Annotations,
		}}
		if _, err := registry.Attach(ctx, store, image, item); err != nil {
			return nil, nil, err
		}
		images = append(images, image)
	}
	return store, images, nil
}
