package built_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/registry/built"
)

// A metadata file of docker buildx names the image, and the digest that was pushed.
func ExampleImages() {
	metadata := `{
	  "image.name": "registry.example/team/app:v1",
	  "containerimage.digest": "sha256:` + strings.Repeat("a", 64) + `"
	}`
	images, err := built.Images([]byte(metadata))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, image := range images {
		fmt.Println(image.Digest.Context(), image.Tag, image.Digest.DigestStr()[:11])
	}
	// Output: registry.example/team/app v1 sha256:aaaa
}

// The file of docker build --iidfile holds the digest of a configuration, and names no
// image.
func ExampleImages_iidfile() {
	_, err := built.Images([]byte("sha256:" + strings.Repeat("a", 64)))
	fmt.Println(errors.Is(err, built.ErrNoDigest))
	// Output: true
}

// A list for a promotion may name tags.
func ExampleNames() {
	names, err := built.Names([]byte("# to be promoted\nregistry.example/team/app:v1\nregistry.example/team/web:v7\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(names)
	// Output: [registry.example/team/app:v1 registry.example/team/web:v7]
}
