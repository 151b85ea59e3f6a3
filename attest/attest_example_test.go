package attest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// A test system attests its result beside the image, and a reader lists what is attached.
// A listed claim is not verified; package verify does that.
func ExampleImage_testResult() {
	ctx := context.Background()
	repo := registrytest.New(registrytest.Options{}).Store()
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		log.Fatal(err)
	}
	image, err := registrytest.PushImage(ctx, repo, tag, registrytest.ImageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		log.Fatal(err)
	}

	passed := predicate.TestResult{Result: "PASSED", Configuration: []predicate.ResourceDescriptor{}, PassedTests: []string{"unit", "race"}}
	attached, err := attest.Image(ctx, repo, image, passed, attest.Options{}, signer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("attested", attached.PredicateType)

	for claim, err := range attest.Claims(ctx, repo, image, registry.Limits{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("about the image: %v, says: %s\n", claim.Names, claim.Statement.Predicate)
	}
	// Output:
	// attested https://in-toto.io/attestation/test-result/v0.1
	// about the image: true, says: {"result":"PASSED","configuration":[],"passedTests":["unit","race"]}
}

// An envelope signs a statement about something that is not an image.
func ExampleEnvelope_file() {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	statement, err := attest.NewStatement(
		predicate.TestResult{Result: "FAILED", Configuration: []predicate.ResourceDescriptor{}, FailedTests: []string{"unit"}},
		attest.Subject{Name: "app.tar.gz", Digest: map[string]string{"sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}},
	)
	if err != nil {
		log.Fatal(err)
	}
	envelope, err := attest.Envelope(context.Background(), statement, signer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(statement.Subjects[0].Name, len(envelope) > 0)
	// Output: app.tar.gz true
}
