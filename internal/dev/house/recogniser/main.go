// Command recogniser is the smallest program that verifies an image that may be signed with
// a certificate. The weight of certificates is measured on it.
//
//	recogniser TRUSTED-ROOT-FILE POLICY-FILE IMAGE
//
// It prints the digest to run, or exits with 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func main() {
	digest, err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "recogniser:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func run(ctx context.Context, args []string) (string, error) {
	if len(args) != 3 {
		return "", errors.New("usage: recogniser TRUSTED-ROOT-FILE POLICY-FILE IMAGE")
	}
	authority, err := sigstore.New(map[string]sigstore.Instance{"sigstore": {RootFile: args[0]}})
	if err != nil {
		return "", err
	}
	linked := map[string]policy.Authority{"sigstore": authority}
	p, err := policy.Load(args[1], policy.ParseOptions{Authorities: linked})
	if err != nil {
		return "", err
	}
	verifier, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		return "", err
	}
	ref, err := name.ParseReference(args[2])
	if err != nil {
		return "", err
	}
	client, err := remote.New(remote.Options{})
	if err != nil {
		return "", err
	}
	result, err := verifier.Image(ctx, client, ref)
	if err != nil {
		return "", err
	}
	return result.Digest.String(), nil
}
