package interop

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// key is a key pair that we have made, with its files.
type key struct {
	algorithm sign.Algorithm
	pair      *sign.KeyPair
	// private is encrypted with password.
	private, public string
}

// pairs keeps the key pairs by owner and algorithm: RSA and scrypt are slow.
var pairs sync.Map

// newKey returns the owner's key. Different owners have different keys.
func newKey(t testing.TB, owner string, a sign.Algorithm) key {
	t.Helper()
	once, _ := pairs.LoadOrStore(owner+" "+string(a), sync.OnceValues(func() (*sign.KeyPair, error) {
		return sign.Generate(context.Background(), sign.KeyOptions{Algorithm: a, Password: []byte(password)})
	}))
	pair, err := once.(func() (*sign.KeyPair, error))()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	k := key{
		algorithm: a, pair: pair,
		private: filepath.Join(dir, owner+".key"), public: filepath.Join(dir, owner+".pub"),
	}
	writeFile(t, k.private, pair.PrivatePEM)
	writeFile(t, k.public, pair.PublicPEM)
	return k
}

func writeFile(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// signer chooses the algorithm; without a choice it saves opening the file.
func (k key) signer(t testing.TB, o sign.SignerOptions) sign.Signer {
	t.Helper()
	if o == (sign.SignerOptions{}) {
		return k.pair.Signer
	}
	s, err := sign.Load(t.Context(), k.private, sign.LoadOptions{Password: give(password), Signer: o})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func give(password string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(password), nil }
}

// trusting makes a verifier that wants a signature of every key.
func trusting(t testing.TB, annotations map[string]string, keys ...key) *verify.Verifier {
	t.Helper()
	p := policy.Signatures{Threshold: len(keys), Annotations: annotations}
	for _, k := range keys {
		p.Keys = append(p.Keys, publicKey(t, k.pair.PublicPEM))
	}
	v, err := verify.New(p.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func publicKey(t testing.TB, pem []byte) policy.PublicKey {
	t.Helper()
	k, err := policy.ParsePublicKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
