package remote_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// One client serves a process. It resolves a tag once, and then works with the digest.
func ExampleNew_resolve() {
	ctx := context.Background()
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	tag, err := name.NewTag(host + "/team/app:v1")
	if err != nil {
		log.Fatal(err)
	}
	pushed, err := registrytest.PushImage(ctx, hosted.Store(), tag, registrytest.ImageOptions{})
	if err != nil {
		log.Fatal(err)
	}

	client, err := remote.New(remote.Options{})
	if err != nil {
		log.Fatal(err)
	}
	found, err := client.Resolve(ctx, tag)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Digest.String() == pushed.DigestStr())

	_, err = client.Resolve(ctx, tag.Context().Tag("v2"))
	fmt.Println(errors.Is(err, registry.ErrNotFound))
	// Output:
	// true
	// true
}

// An observer counts the requests of a process, for metrics.
func ExampleOptions_observe() {
	ctx := context.Background()
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	client, err := remote.New(remote.Options{Observe: func(_ context.Context, r remote.Request) {
		fmt.Println(r.Method, r.Operation, r.Status)
	}})
	if err != nil {
		log.Fatal(err)
	}
	tag, err := name.NewTag(host + "/team/app:missing")
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Resolve(ctx, tag)
	fmt.Println(errors.Is(err, registry.ErrNotFound))
	// Output:
	// HEAD resolve 404
	// true
}

// A wrapper sees every request that the client's own, safe transport sends.
func ExampleOptions_wrap() {
	ctx := context.Background()
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	client, err := remote.New(remote.Options{Wrap: func(inner http.RoundTripper) http.RoundTripper {
		return traced{inner}
	}})
	if err != nil {
		log.Fatal(err)
	}
	tag, err := name.NewTag(host + "/team/app:missing")
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Resolve(ctx, tag)
	fmt.Println(errors.Is(err, registry.ErrNotFound))
	// Output:
	// traced HEAD /v2/team/app/manifests/missing
	// true
}

// traced prints requests. A tracer would add a header, to a copy of the request.
type traced struct{ inner http.RoundTripper }

func (t traced) RoundTrip(req *http.Request) (*http.Response, error) {
	fmt.Println("traced", req.Method, req.URL.Path)
	return t.inner.RoundTrip(req)
}
