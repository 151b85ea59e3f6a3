// Command verifier is the smallest program that really verifies an image with
// cosign v2 as a library: what ours is compared with.
//
//	verifier PUBLIC-KEY-FILE IMAGE
package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: verifier PUBLIC-KEY-FILE IMAGE")
	}
	key, err := signature.LoadVerifierFromPEMFile(args[0], crypto.SHA256)
	if err != nil {
		return err
	}
	ref, err := name.ParseReference(args[1])
	if err != nil {
		return err
	}
	_, _, err = cosign.VerifyImageSignatures(ctx, ref, &cosign.CheckOpts{
		SigVerifier: key, IgnoreTlog: true, Offline: true, ClaimVerifier: cosign.SimpleClaimVerifier,
	})
	return err
}
