package tasks_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// A registry's maintainer puts a gate in front of it: clients pull what the policy allows,
// and read why the rest is denied.
func Example_registryMaintainer() {
	upstream, key, stop := startUpstream(context.Background())
	defer stop()

	trusted := policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}
	verifier, err := verify.New(trusted.Policy(), verify.Options{Cache: verify.NewMemoryCache(verify.MemoryCacheOptions{})})
	check(err)
	handler, err := gate.NewHandler(gate.Config{Verifier: verifier, Upstreams: []gate.Upstream{{Registry: upstream}}})
	check(err)
	server := httptest.NewServer(handler) // yours: an http.Server with TLS
	defer server.Close()

	for _, tag := range []string{"signed", "unsigned"} {
		resp, err := http.Get(server.URL + "/v2/team/app/manifests/" + tag)
		check(err)
		check(resp.Body.Close())
		fmt.Println(tag, resp.Status)
	}
	// Output:
	// signed 200 OK
	// unsigned 403 Forbidden
}

// startUpstream stands for the registry, and returns the key that signs in it.
func startUpstream(ctx context.Context) (host string, key policy.PublicKey, stop func()) {
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	check(err)
	repo, err := name.NewRepository(host + "/team/app")
	check(err)
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	check(err)
	key, err = policy.ParsePublicKey(pair.PublicPEM)
	check(err)
	_, err = registrytest.PushImage(ctx, hosted.Store(), repo.Tag("unsigned"), registrytest.ImageOptions{Seed: "unsigned"})
	check(err)
	digest, err := registrytest.PushImage(ctx, hosted.Store(), repo.Tag("signed"), registrytest.ImageOptions{Seed: "signed"})
	check(err)
	_, err = sign.Image(ctx, hosted.Store(), digest, sign.ImageOptions{}, pair.Signer)
	check(err)
	return host, key, stop
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
