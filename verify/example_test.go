package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// exampleKeys makes a key pair. A program loads keys from files: sign.Load and
// policy.LoadPublicKey.
func exampleKeys(ctx context.Context) (sign.Signer, []byte) {
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		log.Fatal(err)
	}
	return pair.Signer, pair.PublicPEM
}

// exampleImages pushes an image under each tag, and signs those that are not called
// unsigned. A program opens a registry with remote.New or a directory with layout.Open.
func exampleImages(ctx context.Context, signer sign.Signer, tags ...string) registry.Store {
	store := registrytest.New(registrytest.Options{}).Store()
	for _, tag := range tags {
		digest, err := registrytest.PushImage(ctx, store, exampleRef(tag), registrytest.ImageOptions{Seed: tag})
		if err == nil && !strings.Contains(tag, "unsigned") {
			_, err = sign.Image(ctx, store, digest, sign.ImageOptions{}, signer)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	return store
}

func exampleRef(tag string) name.Tag {
	ref, err := name.NewTag("registry.example/team/app:" + tag)
	if err != nil {
		log.Fatal(err)
	}
	return ref
}

// One trusted key must have signed the image. Run the digest of the result, never the tag.
func Example() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	store := exampleImages(ctx, signer, "v1")

	key, err := policy.ParsePublicKey(publicPEM)
	if err != nil {
		log.Fatal(err)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	res, err := v.Image(ctx, store, exampleRef("v1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("run", res.Digest.Context(), "by digest; keys that signed:", len(res.Keys))
	// Output: run registry.example/team/app by digest; keys that signed: 1
}

// A policy in YAML says which keys sign for which repositories.
func ExampleVerifier_Image_policy() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	store := exampleImages(ctx, signer, "v1")

	p, err := policy.Parse([]byte(`
version: 1
keys:
  release: {file: release.pub}
roles:
  release: {keys: [release]}
rules:
  - images: [registry.example/team/**]
    require:
      - signature: {by: release}
`), policy.ParseOptions{
		// policy.Load reads such files from the directory of the policy.
		ReadFile: func(string, int64) ([]byte, error) { return publicPEM, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	res, err := v.Image(ctx, store, exampleRef("v1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Rule)
	for _, met := range res.Requirements {
		fmt.Println(met.Requirement, "by", met.Keys[0].Name)
	}
	// Output:
	// registry.example/team/**
	// rules[0].require[0] by release
}

// A denial says why, for machines and for people. Any other error means that no decision
// was reached.
func ExampleError() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	store := exampleImages(ctx, signer, "unsigned")
	v := exampleVerifier(publicPEM)

	_, err := v.Image(ctx, store, exampleRef("unsigned"))
	var denied *verify.Error
	switch {
	case errors.As(err, &denied):
		fmt.Println(denied.Reason)
		for _, unmet := range denied.Unmet {
			fmt.Printf("%s (%s): %s\n", unmet.Requirement, unmet.Title, unmet.Detail)
		}
	case err != nil:
		fmt.Println("undecided, try again:", err)
	}
	// Output:
	// no-signature
	// rules[0].require[0] (signature by signers): no signature is attached
}

func exampleVerifier(publicPEM []byte) *verify.Verifier {
	key, err := policy.ParsePublicKey(publicPEM)
	if err != nil {
		log.Fatal(err)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// Explain says what a repository needs, before anything is read.
func ExampleVerifier_Explain() {
	_, release := exampleKeys(context.Background())
	_, builder := exampleKeys(context.Background())
	v, err := verify.New(&policy.Policy{
		Version: 1,
		Keys:    map[string]policy.Key{"release": {PEM: string(release)}, "builder": {PEM: string(builder)}},
		Roles:   map[string]policy.Role{"release": {Keys: []string{"release"}}, "builder": {Keys: []string{"builder"}}},
		Rules: []policy.Rule{{
			Images: []string{"registry.example/team/**"},
			Require: []policy.Requirement{
				{Signature: &policy.SignatureRequirement{By: "release"}},
				{Attestation: &policy.AttestationRequirement{
					Type: "slsaprovenance", By: "builder",
					ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{"https://ci.example/builder"}},
				}},
			},
		}},
	}, verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	e := v.Explain(exampleRef("v1").Context())
	fmt.Println(e.Rule, e.Mode)
	for _, r := range e.Requirements {
		fmt.Println("-", r.Text, r.Conditions)
	}
	// Output:
	// registry.example/team/** enforce
	// - a signature by release: release []
	// - an attestation of type slsaprovenance by builder: builder [builder: https://ci.example/builder]
}

// Many images are judged at once.
func ExampleVerifier_Images() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	store := exampleImages(ctx, signer, "v1", "v2", "unsigned")
	refs := []name.Reference{exampleRef("v1"), exampleRef("v2"), exampleRef("unsigned")}

	for ref, outcome := range exampleVerifier(publicPEM).Images(ctx, store, slices.Values(refs), verify.BatchOptions{}) {
		fmt.Println(ref.Identifier(), outcome.Err == nil)
	}
	// Unordered output:
	// v1 true
	// v2 true
	// unsigned false
}

// A file is judged by the bundles that were made for it.
func ExampleVerifier_Blob() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	file := []byte("a release archive")
	bundle, err := sign.Blob(ctx, bytes.NewReader(file), signer)
	if err != nil {
		log.Fatal(err)
	}

	v := exampleVerifier(publicPEM)
	res, err := v.Blob(ctx, bytes.NewReader(file), bundle)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.SHA256[:8], res.Size)
	_, err = v.Blob(ctx, strings.NewReader("another archive"), bundle)
	var denied *verify.Error
	fmt.Println(errors.As(err, &denied) && denied.Reason == verify.ReasonNoTrustedSignature)
	// Output:
	// fd6e6ba7 17
	// true
}

// An observer counts judgements by their status and reason, for metrics.
func ExampleOptions_observe() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	store := exampleImages(ctx, signer, "v1", "unsigned")
	key, err := policy.ParsePublicKey(publicPEM)
	if err != nil {
		log.Fatal(err)
	}
	counts := make(map[string]int) // a program's metrics are safe for concurrent use
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{
		Cache:   verify.NewMemoryCache(verify.MemoryCacheOptions{}),
		Observe: func(_ context.Context, j verify.Judgement) { counts[fmt.Sprint(j.Status, " cached=", j.Cached)]++ },
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, tag := range []string{"v1", "v1", "unsigned"} {
		if _, err := v.Image(ctx, store, exampleRef(tag)); err != nil && !errors.As(err, new(*verify.Error)) {
			log.Fatal(err)
		}
	}
	fmt.Println(counts)
	// Output: map[denied cached=false:1 verified cached=false:1 verified cached=true:1]
}

// Examine tells what each piece of evidence is worth, also those that the decision does not
// need. Decide with Image.
func ExampleVerifier_Examine() {
	ctx := context.Background()
	signer, publicPEM := exampleKeys(ctx)
	stranger, _ := exampleKeys(ctx)
	store := exampleImages(ctx, signer, "v1")
	desc, err := store.Resolve(ctx, exampleRef("v1"))
	if err != nil {
		log.Fatal(err)
	}
	image := exampleRef("v1").Context().Digest(desc.Digest.String())
	if _, err := sign.Image(ctx, store, image, sign.ImageOptions{}, stranger); err != nil {
		log.Fatal(err)
	}

	key, err := policy.ParsePublicKey(publicPEM)
	if err != nil {
		log.Fatal(err)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	res, err := v.Examine(ctx, store, image)
	if err != nil {
		log.Fatal(err)
	}
	counts := make(map[verify.Reason]int)
	for _, e := range res.Evidence {
		counts[e.Reason]++
	}
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		fmt.Println(reason)
	}
	// Output:
	// counted
	// untrusted-key
}
