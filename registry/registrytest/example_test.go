package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// A registry that is unavailable when the manifest is read for the second time.
func Example() {
	r := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	tag, err := name.NewTag(host + "/team/app:v1")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := registrytest.PushImage(context.Background(), r.Store(), tag, registrytest.ImageOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	r.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Skip: 1, Times: 1, Do: registrytest.Status(503, "Retry-After", "1")})

	for range 3 {
		res, err := http.Get("http://" + host + "/v2/team/app/manifests/v1")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(res.StatusCode)
		if err := res.Body.Close(); err != nil {
			fmt.Println(err)
		}
	}
	for _, req := range r.Requests() {
		fmt.Println(req.Method, req.Kind, req.Repo, req.Ref, req.Status)
	}
	// Output:
	// 200
	// 503
	// 200
	// GET manifest team/app v1 200
	// GET manifest team/app v1 503
	// GET manifest team/app v1 200
}

// An attacker who owns the registry stores other bytes under a digest. The
// in-process store notices, as every registry.Reader must.
func ExampleRegistry_PutBlobAs() {
	r := registrytest.New(registrytest.Options{})
	digest := r.PutBlob("app", []byte("what was signed"))
	r.PutBlobAs("app", digest, []byte("something else!"))

	ref, err := name.NewDigest("registry.example/app@" + digest)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = registry.ReadBlob(context.Background(), r.Store(), ref, int64(len("what was signed")))
	fmt.Println(errors.Is(err, registry.ErrDigestMismatch))
	// Output: true
}
