package remote_test

import (
	"context"
	"errors"
	"fmt"
	"log"

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
