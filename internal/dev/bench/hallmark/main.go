// Command hallmark does the benchmark's tasks with Hallmark.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

func main() {
	err := work.Serve(context.Background(), map[string]work.Prepare{
		"verify":             verifying(signatures),
		"verify attestation": verifying(provenances),
		"verify warm":        verifyingWarm,
		"verify bytes":       verifyingBytes(signatures),
		"attestation bytes":  verifyingBytes(provenances),
		"raw ECDSA":          rawECDSA,
		"raw Ed25519":        rawEd25519,
		"by certificate":     byCertificate,
		"policy":             policies,
		"compile policy":     compiling,
		"sign":               signing(false),
		"sign recursively":   signing(true),
		"attest":             attesting,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "hallmark worker:", err)
		os.Exit(1)
	}
}
