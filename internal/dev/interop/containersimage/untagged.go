//go:build !containers_image_openpgp

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "containers-image: built without -tags containers_image_openpgp")
	os.Exit(1)
}
