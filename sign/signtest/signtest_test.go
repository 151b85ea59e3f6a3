package signtest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
	"github.com/hallmark-oci/hallmark/sign/signtest"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func TestSignersOfPackageSign(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key crypto.Signer
		o   sign.SignerOptions
	}{
		"P-256": {p256, sign.SignerOptions{}}, "P-384 with SHA-256": {p384, sign.SignerOptions{Hash: crypto.SHA256}},
		"Ed25519": {ed, sign.SignerOptions{}}, "Ed25519ph": {ed, sign.SignerOptions{Prehash: true}}, "RSA": {rsa2048, sign.SignerOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			signtest.TestSigner(t, func(t *testing.T) sign.Signer {
				s, err := sign.New(c.key, c.o)
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func TestSignersOfKeyless(t *testing.T) {
	i := sigstoretest.New(t, sigstoretest.Options{})
	services := i.Serve()
	signtest.TestSigner(t, func(t *testing.T) sign.Signer {
		s, err := keyless.New(keyless.Options{
			SigningConfig: services.Config(2), TrustedRoot: i.Root(), Now: func() time.Time { return i.Now.Add(3 * time.Minute) },
			Identity: keyless.Token(services.IDToken(sigstoretest.Object{"sub": "spiffe://acme.example/ci"})),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

const (
	workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
	issuer   = "https://issuer.example"
)

func TestMatchersOfSigstore(t *testing.T) {
	i := sigstoretest.New(t, sigstoretest.Options{})
	by := i.Issue(sigstoretest.Leaf{URI: workflow, Issuer: issuer})
	newMatcher := func(t *testing.T) policy.Matcher {
		t.Helper()
		a, err := sigstore.New(map[string]sigstore.Instance{"private": {Root: i.Root()}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.Matcher(map[string]any{"issuer": issuer, "uri": workflow})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	bundled := by.SignStatement([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[]}`)).Log(i.Rekor2, "dsse 0.0.2").Stamp(i.TSA)
	text := bundled.Text()
	t.Run("bundle", func(t *testing.T) {
		signtest.TestMatcher(t, newMatcher, func(*testing.T) policy.SignedEvidence {
			return policy.SignedEvidence{
				MediaType: bundle.MediaTypeV03, Content: text, Message: bundled.Message, Signatures: [][]byte{bundled.Signature}, Now: i.Now.Add(time.Hour),
			}
		})
	})
	simple := by.SignMessage([]byte(`{"critical":{}}`))
	annotations := simple.Annotations(i.Rekor1, "hashedrekord 0.0.1", i.TSA)
	t.Run("annotations", func(t *testing.T) {
		signtest.TestMatcher(t, newMatcher, func(*testing.T) policy.SignedEvidence {
			return policy.SignedEvidence{
				MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Annotations: annotations, Content: simple.Message,
				Message: simple.Message, Signatures: [][]byte{simple.Signature}, Now: i.Now.Add(time.Hour),
			}
		})
	})
}
