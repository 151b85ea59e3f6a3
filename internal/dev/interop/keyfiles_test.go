package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// A key pair that cosign has made opens here with its password, and signs so
// that its public half verifies.
func TestWeOpenKeysThatCosignMakes(t *testing.T) {
	for _, version := range cosigns {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := newCosign(t, version)
			c.run(t, "generate-key-pair").accepted(t)
			for _, wrong := range []sign.LoadOptions{{}, {Password: give("")}, {Password: give(password + "!")}} {
				if _, err := sign.Load(t.Context(), filepath.Join(c.dir, "cosign.key"), wrong); !errors.Is(err, sign.ErrPassword) {
					t.Errorf("without the password: %v, want ErrPassword", err)
				}
			}
			opensHere(t, filepath.Join(c.dir, "cosign"))
		})
	}
}

// Keys of every type that cosign has imported from PKCS#8 open here.
func TestWeOpenKeysThatCosignImports(t *testing.T) {
	for _, version := range cosigns {
		for name, private := range privateKeys(t) {
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				c := newCosign(t, version)
				der, err := x509.MarshalPKCS8PrivateKey(private)
				if err != nil {
					t.Fatal(err)
				}
				clear := writeFile(t, filepath.Join(c.dir, "clear.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
				c.run(t, "import-key-pair", "--yes", "--key", clear, "--output-key-prefix", "imported").accepted(t)
				opensHere(t, filepath.Join(c.dir, "imported"))
			})
		}
	}
}

func privateKeys(t *testing.T) map[string]any {
	t.Helper()
	keys := make(map[string]any)
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys["ed25519"], keys["rsa2048"] = ed, k
	return keys
}

func opensHere(t *testing.T, prefix string) {
	t.Helper()
	signer, err := sign.Load(t.Context(), prefix+".key", sign.LoadOptions{Password: give(password)})
	if err != nil {
		t.Fatal(err)
	}
	public, err := policy.LoadPublicKey(prefix + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	text, err := sign.Blob(t.Context(), strings.NewReader(blobText), signer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{public}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Blob(t.Context(), strings.NewReader(blobText), text); err != nil {
		t.Error(err)
	}
}

// The keys that we make open with both versions of cosign, which derive the
// same public key; with another password they refuse. That they sign with them
// is shown by every test in which cosign signs.
func TestCosignOpensKeysThatWeMake(t *testing.T) {
	for _, version := range cosigns {
		for _, a := range sign.Algorithms() {
			t.Run(version+"/"+string(a), func(t *testing.T) {
				t.Parallel()
				k := newKey(t, "release", a)
				c := newCosign(t, version)
				c.run(t, "public-key", "--key", k.private, "--outfile", "derived.pub").accepted(t)
				derived, err := os.ReadFile(filepath.Join(c.dir, "derived.pub"))
				if err != nil || !bytes.Equal(derived, k.pair.PublicPEM) {
					t.Errorf("cosign derives\n%s, %v, want\n%s", derived, err, k.pair.PublicPEM)
				}
			})
		}
		t.Run(version+"/wrong-password", func(t *testing.T) {
			t.Parallel()
			c := newCosign(t, version, "COSIGN_PASSWORD="+password+"!")
			c.run(t, "public-key", "--key", newKey(t, "release", sign.ECDSAP256).private).refused(t, "decrypt")
		})
	}
}
