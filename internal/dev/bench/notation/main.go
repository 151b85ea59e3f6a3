// Command notation does the benchmark's tasks with notation-go. It signs with a
// certificate of its own, which it alone trusts: sign first, then verify.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

type done = func(context.Context) (int, error)

func main() {
	w, err := newWorker()
	if err == nil {
		err = work.Serve(context.Background(), map[string]work.Prepare{"sign": w.signing, "verify": w.verifying})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "notation worker:", err)
		os.Exit(1)
	}
}

// worker signs, and trusts what it signs.
type worker struct {
	signer   notation.Signer
	verifier notation.Verifier
}

func newWorker() (*worker, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "bench", Organization: []string{"bench"}, Country: []string{"US"}, Province: []string{"WA"}},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	w := &worker{}
	if w.signer, err = signer.NewGenericSigner(key, []*x509.Certificate{certificate}); err != nil {
		return nil, err
	}
	policy := &trustpolicy.Document{Version: "1.0", TrustPolicies: []trustpolicy.TrustPolicy{{
		Name: "bench", RegistryScopes: []string{"*"}, TrustStores: []string{"ca:bench"}, TrustedIdentities: []string{"*"},
		SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: trustpolicy.LevelStrict.Name},
	}}}
	w.verifier, err = verifier.New(policy, trusted{certificate}, nil)
	return w, err
}

// trusted is a trust store in memory.
type trusted struct{ certificate *x509.Certificate }

func (t trusted) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return []*x509.Certificate{t.certificate}, nil
}

func repository(reference string) (registry.Repository, error) {
	repo, err := remote.NewRepository(reference)
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = true
	return registry.NewRepository(repo), nil
}

func (w *worker) signing(_ context.Context, t work.Task) (done, error) {
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, t.Images, func(ctx context.Context, image string) error {
			repo, err := repository(image)
			if err != nil {
				return err
			}
			_, err = notation.Sign(ctx, w.signer, repo, notation.SignOptions{
				ArtifactReference: image, SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: cose.MediaTypeEnvelope},
			})
			return err
		})
	}, nil
}

func (w *worker) verifying(_ context.Context, t work.Task) (done, error) {
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, t.Images, func(ctx context.Context, image string) error {
			repo, err := repository(image)
			if err != nil {
				return err
			}
			// A tag is resolved first, as notation's command does.
			if ref, err := name.NewTag(image, name.StrictValidation); err == nil {
				resolved, err := repo.Resolve(ctx, ref.TagStr())
				if err != nil {
					return err
				}
				image = ref.Context().Digest(resolved.Digest.String()).String()
			}
			_, _, err = notation.Verify(ctx, w.verifier, repo, notation.VerifyOptions{ArtifactReference: image, MaxSignatureAttempts: 50})
			return err
		})
	}, nil
}
