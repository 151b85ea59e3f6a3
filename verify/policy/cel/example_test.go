package cel_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policy/cel"
)

// reviewType is the predicate type of the examples.
const reviewType = "https://example.com/review/v1"

// reviewed is an image in memory with a signed review, and the reviewer's key.
func reviewed(review string) (registry.Store, name.Digest, policy.PublicKey, error) {
	ctx, store := context.Background(), registrytest.New(registrytest.Options{}).Store()
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		return nil, name.Digest{}, policy.PublicKey{}, err
	}
	image, err := registrytest.PushImage(ctx, store, tag, registrytest.ImageOptions{})
	if err != nil {
		return nil, image, policy.PublicKey{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, image, policy.PublicKey{}, err
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		return nil, image, policy.PublicKey{}, err
	}
	public, err := policy.NewPublicKey(key.Public())
	if err != nil {
		return nil, image, public, err
	}
	content := predicate.Raw{Type: reviewType, JSON: json.RawMessage(review)}
	_, err = attest.Image(ctx, store, image, content, attest.Options{}, signer)
	return store, image, public, err
}

// judged judges an image by requirements in Go.
func judged(store registry.Store, image name.Digest, key policy.PublicKey, require ...policy.Requirement) (*verify.Result, error) {
	p := &policy.Policy{
		Version: 1,
		Keys:    map[string]policy.Key{"reviewer": {Public: key}},
		Roles:   map[string]policy.Role{"reviewer": {Keys: []string{"reviewer"}}},
		Rules:   []policy.Rule{{Images: []string{"registry.example/team/**"}, Require: require}},
	}
	v, err := verify.New(p, verify.Options{Authorities: map[string]policy.Authority{cel.Name: cel.New()}})
	if err != nil {
		return nil, err
	}
	return v.Image(context.Background(), store, image)
}

// An image is allowed if two people approved it.
func ExampleNew() {
	store, image, key, err := reviewed(`{"approved": true, "by": ["ann", "bob"]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, expression := range []string{
		"predicate.approved == true && predicate.by.size() >= 2",
		"'carl' in predicate.by",
		"!has(predicate.by.carl)", // by is a list, and no object
	} {
		_, err := judged(store, image, key, policy.Requirement{Attestation: &policy.AttestationRequirement{Type: reviewType, By: "reviewer", CEL: []string{expression}}})
		var denial *verify.Error
		switch {
		case err == nil:
			fmt.Println("allowed")
		case errors.As(err, &denial):
			fmt.Println("denied:", denial.Reason)
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// allowed
	// denied: expression-not-met
	// denied: expression-not-met
}

// An expression that cannot be intended is refused with the policy.
func ExampleAuthority_Compile() {
	for _, text := range []string{"predicate.approved", "true || predicate.approved", "predicate.repository.matches('acme/.*')"} {
		_, err := cel.New().Compile(text, policy.AboutStatement)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// is always true, whatever is judged
	// has the pattern "acme/.*" of matches, which also matches parts of a text; write it as ^(…)$, or use contains
}

// The image itself is judged by its config.
func ExampleAuthority() {
	store, image, key, err := reviewed(`{}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, expression := range []string{"config.os == 'linux'", "config.os != 'linux' || now < timestamp('2020-01-01T00:00:00Z')"} {
		_, err := judged(store, image, key, policy.Requirement{Config: &policy.ConfigRequirement{CEL: []string{expression}}})
		fmt.Println(err == nil)
	}
	// Output:
	// true
	// false
}
