package keyless_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// overHTTP pushes an image to a registry.
func overHTTP(t *testing.T) (registry.Store, name.Digest) {
	t.Helper()
	client, err := remote.New(remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(registrytest.Start(t, registrytest.New(registrytest.Options{})) + "/acme/app")
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.Push(t.Context(), client, repo, img)
	if err != nil {
		t.Fatal(err)
	}
	return client, digest
}

// A bundle with certificate and log entry has no room in the list of referrers, which holds
// those of keys: reading it is one request more.
func TestCertificatesTakeAtMostOneRequestMoreThanKeys(t *testing.T) {
	pair, err := sign.Generate(t.Context(), sign.KeyOptions{Password: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	key, err := policy.ParsePublicKey(pair.PublicPEM)
	if err != nil {
		t.Fatal(err)
	}
	byKey, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for format, more := range map[registry.Format]int{registry.FormatBundle: 1, registry.FormatSimpleSigning: 0} {
		w := newWorld(t)
		taken := func(by sign.Signer, v *verify.Verifier) int {
			store, digest := overHTTP(t)
			if _, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: []registry.Format{format}}, by); err != nil {
				t.Fatal(err)
			}
			res, err := v.Image(t.Context(), store, digest)
			if err != nil {
				t.Fatal(err)
			}
			return res.Requests
		}
		if keys, certificates := taken(pair.Signer, byKey), taken(w.signer(w.options(1)), w.verifier("[{signature: {by: release}}]")); certificates != keys+more || keys == 0 {
			t.Errorf("%s: %d requests, and %d for a key", format, certificates, keys)
		}
	}
}
