package gate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// exampleUpstream serves a registry with a signed and an unsigned image. It returns the
// address, and the verifier of a policy that wants signatures.
func exampleUpstream(ctx context.Context) (host string, stop func(), v *verify.Verifier) {
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		log.Fatal(err)
	}
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		log.Fatal(err)
	}
	repo, err := name.NewRepository(host + "/team/app")
	if err != nil {
		log.Fatal(err)
	}
	for _, tag := range []string{"signed", "unsigned"} {
		digest, err := registrytest.PushImage(ctx, hosted.Store(), repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
		if err == nil && tag == "signed" {
			_, err = sign.Image(ctx, hosted.Store(), digest, sign.ImageOptions{}, pair.Signer)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	key, err := policy.ParsePublicKey(pair.PublicPEM)
	if err != nil {
		log.Fatal(err)
	}
	v, err = verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return host, stop, v
}

// A gate is a registry that serves only what the policy allows.
func ExampleNewHandler() {
	ctx := context.Background()
	upstream, stop, verifier := exampleUpstream(ctx)
	defer stop()

	handler, err := gate.NewHandler(gate.Config{
		Verifier:  verifier, // a verify.FileSource follows its file
		Upstreams: []gate.Upstream{{Registry: upstream}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	for _, tag := range []string{"signed", "unsigned"} {
		resp, err := http.Get(server.URL + "/v2/team/app/manifests/" + tag)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(tag, resp.Status)
		_ = resp.Body.Close() // its status is all that is wanted
	}
	// Output:
	// signed 200 OK
	// unsigned 403 Forbidden
}

// A transport makes any OCI client of a Go program a verifying one.
func ExampleNewTransport() {
	ctx := context.Background()
	upstream, stop, verifier := exampleUpstream(ctx)
	defer stop()

	transport, err := gate.NewTransport(gate.Config{Verifier: verifier})
	if err != nil {
		log.Fatal(err)
	}
	client, err := remote.New(remote.Options{InsecureTransport: transport})
	if err != nil {
		log.Fatal(err)
	}
	for _, tag := range []string{"signed", "unsigned"} {
		ref, err := name.NewTag(upstream + "/team/app:" + tag)
		if err != nil {
			log.Fatal(err)
		}
		_, err = registry.ReadManifest(ctx, client, ref)
		var denial *verify.Error
		if errors.As(err, &denial) {
			fmt.Println(tag, denial.Reason)
			continue
		}
		fmt.Println(tag, err == nil)
	}
	// Output:
	// signed true
	// unsigned no-signature
}
