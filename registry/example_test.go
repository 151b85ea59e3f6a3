package registry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// exampleImage pushes an image to a store in memory.
func exampleImage(store registry.Store) name.Digest {
	tag, err := name.NewTag("registry.example/team/app:v1")
	if err != nil {
		panic(err)
	}
	image, err := registrytest.PushImage(context.Background(), store, tag, registrytest.ImageOptions{})
	if err != nil {
		panic(err)
	}
	return image
}

// exampleBundle is a piece of evidence. Package sign makes real ones.
func exampleBundle(text string) registry.Item {
	return registry.Item{
		Format:  registry.FormatBundle,
		Layer:   v1.Descriptor{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json"},
		Payload: []byte(text),
	}
}

// Evidence that was attached comes back, in every format, from one digest.
func ExampleAttach() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	image := exampleImage(store)

	at, err := registry.Attach(ctx, store, image, exampleBundle(`{"a":"bundle"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := store.Manifest(ctx, at)
	if err != nil {
		fmt.Println(err)
		return
	}
	doc, err := m.Parse()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the subject is the image:", doc.Subject.Digest.String() == image.DigestStr())
	// Output: the subject is the image: true
}

// Errors beside an item tell about that piece or place. The sequence goes on.
func ExampleEvidence() {
	ctx := context.Background()
	store := registrytest.New(registrytest.Options{}).Store()
	image := exampleImage(store)
	for _, text := range []string{`{"first":1}`, `{"second":2}`} {
		if _, err := registry.Attach(ctx, store, image, exampleBundle(text)); err != nil {
			fmt.Println(err)
			return
		}
	}

	for item, err := range registry.Evidence(ctx, store, image, registry.Limits{}) {
		switch {
		case registry.Unreadable(err):
			fmt.Println("could not be read:", err)
		case err != nil:
			fmt.Println("is not what it must be:", err)
		default:
			fmt.Printf("%s in %s: %s\n", item.Format, item.Place, item.Payload)
		}
	}
	// Output:
	// bundle in referrers: {"first":1}
	// bundle in referrers: {"second":2}
}

// An image is copied with its evidence: every digest stays, and every signature holds.
func ExampleCopy() {
	ctx := context.Background()
	src := registrytest.New(registrytest.Options{}).Store()
	dst := registrytest.New(registrytest.Options{}).Store()
	image := exampleImage(src)
	if _, err := registry.Attach(ctx, src, image, exampleBundle(`{"a":"bundle"}`)); err != nil {
		fmt.Println(err)
		return
	}

	to := image.Context().Tag("copied")
	copied, err := registry.Copy(ctx, src, image, dst, to, registry.CopyOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("same digest:", copied.DigestStr() == image.DigestStr())
	for item, err := range registry.Evidence(ctx, dst, copied, registry.Limits{}) {
		fmt.Println(item.Format, err)
	}
	// Output:
	// same digest: true
	// bundle <nil>
}

func ExampleParseReference() {
	for _, text := range []string{"nginx", "registry.example:5000/team/app:v1", "https://registry.example/app"} {
		ref, err := registry.ParseReference(text)
		if errors.Is(err, registry.ErrReference) {
			fmt.Println("malformed:", text)
			continue
		}
		fmt.Println(ref.Context().Name(), ref.Identifier())
	}
	// Output:
	// index.docker.io/library/nginx latest
	// registry.example:5000/team/app v1
	// malformed: https://registry.example/app
}
