// Command conformance runs Hallmark under the Sigstore client conformance suite.
//
//	conformance verify-bundle --bundle F (--key K | --certificate-identity I --certificate-oidc-issuer O) --trusted-root R (PATH | sha256:HEX)
//
// The exit code is 0 if the bundle verifies, 1 if it does not, and 64 for a request that is
// not supported. The command uses no network, so --trusted-root is required.
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
