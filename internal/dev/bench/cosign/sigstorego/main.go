// Command sigstorego is the smallest program that really verifies a bundle about a
// digest with sigstore-go: what ours is compared with.
//
//	sigstorego PUBLIC-KEY-FILE BUNDLE-FILE HEX-SHA256
package main

import (
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sigstorego:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: sigstorego PUBLIC-KEY-FILE BUNDLE-FILE HEX-SHA256")
	}
	key, err := signature.LoadVerifierFromPEMFile(args[0], crypto.SHA256)
	if err != nil {
		return err
	}
	b, err := bundle.LoadJSONFromPath(args[1])
	if err != nil {
		return err
	}
	sum, err := hex.DecodeString(args[2])
	if err != nil {
		return err
	}
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(key, time.Time{}, time.Time{}), nil
	})
	v, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	_, err = v.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", sum), verify.WithKey()))
	return err
}
