// Command app is what the example builds: a program whose dependency appears in its bill of
// materials.
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
