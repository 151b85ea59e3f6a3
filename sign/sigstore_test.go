package sign_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

func sigstoreSigners(t *testing.T) map[string]signature.Signer {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]signature.Signer)
	add := func(name string, s signature.Signer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		all[name] = s
	}
	byECDSA, err := signature.LoadECDSASigner(ec, crypto.SHA256)
	add("ECDSA", byECDSA, err)
	byRSA, err := signature.LoadRSAPKCS1v15Signer(rs, crypto.SHA256)
	add("RSA", byRSA, err)
	byPSS, err := signature.LoadRSAPSSSigner(rs, crypto.SHA256, nil)
	add("RSA-PSS", byPSS, err)
	byEd, err := signature.LoadED25519Signer(ed)
	add("Ed25519", byEd, err)
	byEdPh, err := signature.LoadED25519phSigner(ed)
	add("Ed25519ph", byEdPh, err)
	return all
}

func TestSigstoresSignersSignImagesAndFiles(t *testing.T) {
	for name, by := range sigstoreSigners(t) {
		t.Run(name, func(t *testing.T) {
			s, err := sign.FromSigstore(t.Context(), by)
			if err != nil {
				t.Fatal(err)
			}
			verifies(t, s)
			store, repo := newStore(t)
			subject := pushRandom(t, store, repo)
			for round := range 2 {
				signed, err := sign.Image(t.Context(), store, subject, sign.ImageOptions{Formats: bothFormats}, s)
				if err != nil || len(signed.Signatures) != 2 || signed.Signatures[0].Existed != (round > 0) {
					t.Fatalf("round %d: %+v, %v", round, signed, err)
				}
			}
			if n := signedBy(t, store, subject, s); n[registry.FormatBundle] != 1 || n[registry.FormatSimpleSigning] != 1 {
				t.Errorf("%v", n)
			}
			if _, err := sign.Blob(t.Context(), strings.NewReader("a file"), s); err != nil {
				t.Errorf("a file: %v", err)
			}
		})
	}
}

// service is a key service that is asked over a network.
type service struct {
	key    crypto.PublicKey
	broken error
	asked  func(ctx context.Context)
}

func (s service) PublicKey(opts ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	for _, o := range opts {
		ctx := context.Background()
		o.ApplyContext(&ctx)
		s.asked(ctx)
	}
	return s.key, s.broken
}

func (s service) SignMessage(_ io.Reader, opts ...signature.SignOption) ([]byte, error) {
	for _, o := range opts {
		ctx := context.Background()
		o.ApplyContext(&ctx)
		s.asked(ctx)
	}
	return []byte("no signature"), s.broken
}

func TestAKeyServiceWithoutAUsableKeyIsNoSigner(t *testing.T) {
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("the service is down")
	for label, c := range map[string]struct {
		s    service
		want []error
	}{
		"down":       {service{broken: down}, []error{sign.ErrSigner, down}},
		"a weak key": {service{key: weak.Public()}, []error{sign.ErrKey}},
		"no key":     {service{}, []error{sign.ErrKey}},
	} {
		c.s.asked = func(context.Context) {}
		s, err := sign.FromSigstore(t.Context(), c.s)
		for _, want := range c.want {
			if s != nil || !errors.Is(err, want) {
				t.Errorf("%s: %v, %v; want %v", label, s, err, want)
			}
		}
	}
}

// The service is asked in the caller's context, and what it returns is checked as
// what any signer returns.
func TestAKeyServiceIsAskedInTheCallersContextAndNotBelieved(t *testing.T) {
	type mark struct{}
	ctx, asked := context.WithValue(t.Context(), mark{}, "caller's"), 0
	s, err := sign.FromSigstore(ctx, service{key: newSigner(t).Public(), asked: func(ctx context.Context) {
		if asked++; ctx.Value(mark{}) != "caller's" {
			t.Error("asked in another context")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	store, repo := newStore(t)
	if signed, err := sign.Image(ctx, store, pushRandom(t, store, repo), sign.ImageOptions{}, s); signed != nil || !errors.Is(err, sign.ErrSigner) {
		t.Errorf("%+v, %v; want ErrSigner", signed, err)
	}
	if asked != 2 {
		t.Errorf("asked %d times, want once for the key and once for a signature", asked)
	}
}
