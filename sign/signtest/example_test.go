package signtest_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/signtest"
)

// device signs with a key that a program cannot read.
type device struct{ key ed25519.PrivateKey }

func (d device) Public() crypto.PublicKey { return d.key.Public() }
func (d device) Sign(_ context.Context, message []byte) ([]byte, error) {
	return ed25519.Sign(d.key, message), nil
}

// A test of a Signer is one call. Here it stands in a program, where a test function
// would be.
func ExampleTestSigner() {
	test := func(t *testing.T) {
		signtest.TestSigner(t, func(*testing.T) sign.Signer {
			return device{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
		})
	}
	fmt.Println(test != nil)
	// Output: true
}
