package steps_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/sign"
)

// Two functionaries perform two steps. The second step must read what the first one
// made, and the image must be what the second one made.
func Example() {
	ctx := context.Background()
	owner, builder, packer := newSigner(), newSigner(), newSigner()

	layout, err := steps.SignLayout(ctx, steps.Layout{
		Expires: time.Now().AddDate(1, 0, 0),
		Steps: []steps.Step{{
			Name: "build", Functionaries: []crypto.PublicKey{builder.Public()},
			Materials: []steps.Rule{steps.Allow("*.go")},
			Products:  []steps.Rule{steps.Create("app"), steps.Allow("*.go")},
		}, {
			Name: "pack", Functionaries: []crypto.PublicKey{packer.Public()},
			Materials: []steps.Rule{steps.Require("app"), steps.Match("app", steps.Origin{Step: "build"})},
			Products:  []steps.Rule{steps.Create("manifest.json"), steps.Allow("app")},
		}},
	}, owner)
	if err != nil {
		log.Fatal(err)
	}

	// Each functionary signs a link on their own machine.
	sources, app, manifest := sum("package main"), sum("binary"), sum("manifest")
	build, err := steps.SignLink(ctx, steps.Link{
		Name: "build", Command: []string{"go", "build", "-o", "app"},
		Materials: steps.SHA256(map[string]string{"main.go": sources}),
		Products:  steps.SHA256(map[string]string{"main.go": sources, "app": app}),
	}, builder)
	if err != nil {
		log.Fatal(err)
	}
	pack, err := steps.SignLink(ctx, steps.Link{
		Name:      "pack",
		Materials: steps.SHA256(map[string]string{"app": app}),
		Products:  steps.SHA256(map[string]string{"app": app, "manifest.json": manifest}),
	}, packer)
	if err != nil {
		log.Fatal(err)
	}

	image := v1.Hash{Algorithm: "sha256", Hex: manifest}
	o := steps.VerifyOptions{OwnerKeys: []crypto.PublicKey{owner.Public()}}
	result, err := steps.Verify(ctx, layout, [][]byte{pack, build}, image, o)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range result.Steps {
		fmt.Printf("%s: %d key, %d products\n", s.Name, len(s.Keys), len(s.Products))
	}

	_, err = steps.Verify(ctx, layout, [][]byte{pack}, image, o)
	if refusal, ok := errors.AsType[*steps.Error](err); ok {
		fmt.Println(refusal)
	}
	// Output:
	// build: 1 key, 2 products
	// pack: 1 key, 2 products
	// refused: step "build": 0 functionaries have signed links that agree, want 1 (threshold); links that did not count: 1 not-used
}

// SignLink signs what a step did, AddSignatures lets a second functionary vouch for the
// same link, and a LinkPredicate attaches the link to an image.
func ExampleLinkPredicate() {
	ctx := context.Background()
	manifest := sum("manifest")
	link, err := steps.SignLink(ctx, steps.Link{Name: "pack", Products: steps.SHA256(map[string]string{"manifest.json": manifest})}, newSigner())
	if err != nil {
		log.Fatal(err)
	}
	if link, err = steps.AddSignatures(ctx, link, newSigner()); err != nil {
		log.Fatal(err)
	}
	// attest.Image signs such a statement and attaches it.
	statement, err := attest.NewStatement(
		steps.LinkPredicate{Links: [][]byte{link}},
		attest.Subject{Digest: map[string]string{"sha256": manifest}},
	)
	if err != nil {
		log.Fatal(err)
	}
	// A verifier passes the links to Verify.
	carried, err := steps.ReadLinkPredicate(statement.Predicate)
	if err != nil {
		log.Fatal(err)
	}
	read, err := steps.ReadLink(carried.Links[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(statement.PredicateType == steps.TypeLinkSet, read.Name, len(read.Products))
	// Output:
	// true pack 1
}

func newSigner() sign.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return signer
}
