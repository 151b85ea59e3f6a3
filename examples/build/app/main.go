// Command app is the program that the example builds. It has a dependency for its SBOM to
// list.
package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
)

func main() {
	ref, err := name.ParseReference("registry.example/team/app:v1")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("running", ref)
}
