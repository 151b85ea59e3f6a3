// Command verifier is the smallest program that really verifies an image. The
// project's weight is measured on it: how large it is and how many modules it
// links.
//
//	verifier PUBLIC-KEY-FILE IMAGE
//
// It prints the digest to run, or exits with 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func main() {
	digest, err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "verifier:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func run(ctx context.Context, args []string) (string, error) {
	if len(args) != 2 {
		return "", errors.New("usage: verifier PUBLIC-KEY-FILE IMAGE")
	}
	key, err := policy.LoadPublicKey(args[0])
	if err != nil {
		return "", err
	}
	verifier, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{key}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		return "", err
	}
	ref, err := name.ParseReference(args[1])
	if err != nil {
		return "", err
	}
	client, err := registry.NewClient(registry.Options{})
	if err != nil {
		return "", err
	}
	result, err := verifier.Image(ctx, client, ref)
	if err != nil {
		return "", err
	}
	return result.Digest.String(), nil
}
