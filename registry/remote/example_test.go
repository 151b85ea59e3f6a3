package remote_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// anonymous has no credentials. Without Options.Keychain, those of docker login count.
type anonymous struct{}

func (anonymous) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// A client resolves a tag, and reads the manifest by its digest.
func Example() {
	ctx := context.Background()
	hosted := registrytest.New(registrytest.Options{})
	host, stop, err := registrytest.Serve(hosted)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	tag, err := registry.ParseReference(host + "/team/app:v1")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := registrytest.PushImage(ctx, hosted.Store(), tag, registrytest.ImageOptions{}); err != nil {
		fmt.Println(err)
		return
	}

	client, err := remote.New(remote.Options{Keychain: anonymous{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	desc, err := client.Resolve(ctx, tag)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := client.Manifest(ctx, tag.Context().Digest(desc.Digest.String()))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Descriptor.MediaType, int64(len(m.Bytes)) == desc.Size)

	_, err = client.Manifest(ctx, tag.Context().Tag("v2"))
	fmt.Println("not found:", errors.Is(err, registry.ErrNotFound))
	// Output:
	// application/vnd.oci.image.manifest.v1+json true
	// not found: true
}
