package main

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
)

// signer decrypts the key before anything is measured.
func signer(ctx context.Context, t work.Task) (sign.Signer, error) {
	return sign.Load(ctx, t.PrivateKey, sign.LoadOptions{
		Password: func(context.Context) ([]byte, error) { return []byte(work.Password), nil },
	})
}

func digests(texts []string) ([]name.Digest, error) {
	var all []name.Digest
	for _, text := range texts {
		d, err := name.NewDigest(text)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// adding does something to each image with a client that starts without
// connections.
func adding(t work.Task, do func(context.Context, *remote.Client, name.Digest) error) (done, error) {
	all, err := digests(t.Images)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		client, err := newClient()
		if err != nil {
			return 0, err
		}
		defer client.CloseIdleConnections()
		return work.Each(ctx, t, all, func(ctx context.Context, d name.Digest) error { return do(ctx, client, d) })
	}, nil
}

func signing(recursive bool) work.Prepare {
	return func(ctx context.Context, t work.Task) (done, error) {
		by, err := signer(ctx, t)
		if err != nil {
			return nil, err
		}
		o := sign.ImageOptions{Recursive: recursive, Formats: []registry.Format{registry.FormatBundle}}
		if t.Format == work.Tag {
			o.Formats = []registry.Format{registry.FormatSimpleSigning}
		}
		return adding(t, func(ctx context.Context, client *remote.Client, d name.Digest) error {
			_, err := sign.Image(ctx, client, d, o, by)
			return err
		})
	}
}

// attesting attests provenance.
func attesting(ctx context.Context, t work.Task) (done, error) {
	by, err := signer(ctx, t)
	if err != nil {
		return nil, err
	}
	said := predicate.Provenance{
		BuildDefinition: predicate.BuildDefinition{
			BuildType: "https://ci.example/build", ExternalParameters: map[string]any{"ref": "refs/heads/main"},
		},
		RunDetails: predicate.RunDetails{Builder: predicate.Builder{ID: builderID}},
	}
	o := attest.Options{Formats: []registry.Format{registry.FormatBundle}}
	if t.Format == work.Tag {
		o.Formats = []registry.Format{registry.FormatEnvelope}
	}
	return adding(t, func(ctx context.Context, client *remote.Client, d name.Digest) error {
		_, err := attest.Image(ctx, client, d, said, o, by)
		return err
	})
}
