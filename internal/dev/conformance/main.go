// Command conformance speaks the protocol of the Sigstore client conformance suite:
//
//	conformance verify-bundle --bundle F (--key K | --certificate-identity I --certificate-oidc-issuer O) --trusted-root R (PATH | sha256:HEX)
//
// It exits with 0 where the bundle verifies, 1 where it does not, and 64 where what is
// asked for is not supported. It asks no network, so that a trusted root is needed.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	switch err := run(os.Args[1:]); {
	case errors.Is(err, errUnsupported):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(64)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
