package main

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What a verification costs before a registry on loopback, by digest, the
// registry's own work included.
func BenchmarkVerificationOverTheNetwork(b *testing.B) {
	for _, format := range []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning} {
		b.Run(string(format), func(b *testing.B) {
			check := func(err error) {
				b.Helper()
				if err != nil {
					b.Fatal(err)
				}
			}
			repo, err := name.NewRepository(registrytest.Start(b, registrytest.New(registrytest.Options{})) + "/team/app")
			check(err)
			client, err := registry.NewClient(registry.Options{Keychain: authn.NewMultiKeychain()})
			check(err)
			digest, err := registrytest.PushImage(b.Context(), client, repo.Tag("v1"), registrytest.ImageOptions{})
			check(err)
			pair, err := sign.Generate(b.Context(), sign.KeyOptions{Password: []byte("bench")})
			check(err)
			_, err = sign.Image(b.Context(), client, digest, sign.ImageOptions{Formats: []registry.Format{format}}, pair.Signer)
			check(err)
			key, err := policy.ParsePublicKey(pair.PublicPEM)
			check(err)
			v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
			check(err)
			b.ReportAllocs()
			for b.Loop() {
				_, err := v.Image(b.Context(), client, digest)
				check(err)
			}
		})
	}
}
