package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
)

// knownAs is the name by which the gate judges what is in the registry.
const knownAs = "bench.example"

const policy = `version: 1
keys:
  release: {file: release.pub}
roles:
  release: {keys: [release]}
rules:
  - images: [bench.example/**]
    require:
      - signature: {by: release}
`

// images pushes signed images to the registry.
type images struct {
	client *remote.Client
	repo   name.Repository
	signer sign.Signer
	policy string // a file
}

// image is what was pushed.
type image struct {
	tag, digest string
	layers      []string
	size        int64 // of all layers
}

func newImages(ctx context.Context, address, dir string) (*images, error) {
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		return nil, err
	}
	i := &images{signer: pair.Signer, policy: filepath.Join(dir, "policy.yaml")}
	for file, text := range map[string][]byte{i.policy: []byte(policy), filepath.Join(dir, "release.pub"): pair.PublicPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, err
		}
	}
	if i.client, err = remote.New(remote.Options{}); err != nil {
		return nil, err
	}
	i.repo, err = name.NewRepository(address + "/team/app")
	return i, err
}

func (i *images) push(ctx context.Context, tag string, layer int64, layers int) (*image, error) {
	digest, err := registrytest.PushImage(ctx, i.client, i.repo.Tag(tag), registrytest.ImageOptions{Seed: tag, Layers: layers, LayerSize: layer})
	if err != nil {
		return nil, err
	}
	if _, err := sign.Image(ctx, i.client, digest, sign.ImageOptions{}, i.signer); err != nil {
		return nil, err
	}
	m, err := registry.ReadManifest(ctx, i.client, digest)
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return nil, err
	}
	pushed := &image{tag: tag, digest: digest.DigestStr()}
	for _, l := range doc.Layers {
		pushed.layers = append(pushed.layers, l.Digest.String())
		pushed.size += l.Size
	}
	return pushed, nil
}
