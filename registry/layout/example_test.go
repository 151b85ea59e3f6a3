package layout_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// An image is carried into a place without a network, with all of its evidence.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "layout")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// A registry with a signed image.
	hosted := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		log.Fatal(err)
	}
	image, err := registrytest.PushImage(ctx, hosted, repo.Tag("v1"), registrytest.ImageOptions{})
	if err != nil {
		log.Fatal(err)
	}
	pair, err := sign.Generate(ctx, sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := sign.Image(ctx, hosted, image, sign.ImageOptions{}, pair.Signer); err != nil {
		log.Fatal(err)
	}

	l, err := layout.Open(dir, layout.Options{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	digest, err := registry.Copy(ctx, hosted, repo.Tag("v1"), l, l.Tag("v1"), registry.CopyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for item, err := range registry.Evidence(ctx, l, digest, registry.Limits{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(item.Format)
	}
	fmt.Println(digest.DigestStr() == image.DigestStr())
	// Output:
	// bundle
	// true
}

// A program that takes references to registries and to layouts alike.
func ExampleLocate() {
	dir, err := os.MkdirTemp("", "layout")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, ref, err := layout.Locate("oci:"+dir+":v1", layout.LocateOptions{Layout: layout.Options{Create: true}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ref.Identifier())
	_, err = store.Resolve(context.Background(), ref)
	fmt.Println(registry.KindOf(err))

	_, _, err = layout.Locate("registry.example/team/app:v1", layout.LocateOptions{})
	fmt.Println(registry.KindOf(err)) // no client for registries was given
	// Output:
	// v1
	// not found
	// bad reference
}

// An image and its evidence become one file, which skopeo and podman read, too.
func ExampleOpenArchive() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	hosted := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := registrytest.PushImage(ctx, hosted, repo.Tag("v1"), registrytest.ImageOptions{}); err != nil {
		log.Fatal(err)
	}

	file := filepath.Join(dir, "app.tar")
	l, err := layout.OpenArchive(file, layout.Options{Create: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := registry.Copy(ctx, hosted, repo.Tag("v1"), l, l.Tag("v1"), registry.CopyOptions{}); err != nil {
		log.Fatal(err)
	}
	if err := l.Commit(ctx); err != nil {
		log.Fatal(err)
	}

	read, err := layout.OpenArchive(file, layout.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer read.Close()
	tags, err := read.Tags(ctx)
	fmt.Println(tags, err)
	// Output: [v1] <nil>
}
