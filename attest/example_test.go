package attest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

func exampleSigner() sign.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return signer
}

// Attest the bill of materials of an image.
func ExampleImage() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		log.Fatal(err)
	}
	image, err := registry.Push(ctx, store, repo, empty.Image)
	if err != nil {
		log.Fatal(err)
	}

	bill := []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,
		"components":[{"type":"library","name":"left-pad","purl":"pkg:npm/left-pad@1.3.0"}]}`)
	p, err := predicate.Parse("cyclonedx", bill)
	if err != nil {
		log.Fatal(err)
	}
	attached, err := attest.Image(ctx, store, image, p, attest.Options{}, exampleSigner())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(attached.PredicateType)

	for claim, err := range attest.Claims(ctx, store, image, registry.Limits{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(claim.Item.Format, claim.Signatures, claim.Names)
	}
	// Output:
	// https://cyclonedx.org/bom
	// bundle 1 true
}

// Sign a statement about a file.
func ExampleEnvelope() {
	p := predicate.TestResult{Result: predicate.TestsPassed, Configuration: []predicate.ResourceDescriptor{{URI: "https://ci.example/tests"}}}
	file := attest.Subject{
		Name:   "app.tar.gz",
		Digest: map[string]string{"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	}
	statement, err := attest.NewStatement(p, file)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := attest.Envelope(context.Background(), statement, exampleSigner()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(statement.PredicateType)
	fmt.Println(string(statement.Predicate))
	// Output:
	// https://in-toto.io/attestation/test-result/v0.1
	// {"result":"PASSED","configuration":[{"uri":"https://ci.example/tests"}]}
}
