// Command cosign does the benchmark's tasks with cosign v2 as a library, and those
// in memory with sigstore-go too.
package main

import (
	"context"
	"crypto"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

type done = func(context.Context) (int, error)

func main() {
	err := work.Serve(context.Background(), map[string]work.Prepare{
		"verify":                        verifying,
		"signature in memory":           signatureInMemory,
		"bundle in memory, sigstore-go": sigstoreGo,
		"by certificate":                byCertificate,
		"by certificate, sigstore-go":   byCertificateSigstoreGo,
		"attest":                        attesting,
		"sign":                          signing,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "cosign worker:", err)
		os.Exit(1)
	}
}

const trustNothing = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`

func verifierOf(path string) (signature.Verifier, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	public, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, err
	}
	return signature.LoadVerifier(public, crypto.SHA256)
}

// checkOpts ask for the signature alone: no transparency log, no services.
func checkOpts(t work.Task) (*cosign.CheckOpts, error) {
	v, err := verifierOf(t.PublicKey)
	if err != nil {
		return nil, err
	}
	material, err := root.NewTrustedRootFromJSON([]byte(trustNothing))
	if err != nil {
		return nil, err
	}
	o := &cosign.CheckOpts{SigVerifier: v, IgnoreTlog: true, Offline: true, TrustedMaterial: material}
	if t.Format == work.Bundle {
		o.NewBundleFormat, o.ClaimVerifier = true, cosign.IntotoSubjectClaimVerifier
	} else {
		o.ClaimVerifier = cosign.SimpleClaimVerifier
	}
	return o, nil
}

// verifying judges each image as cosign does by default, or, shared, with one
// puller for all of them, which is the best that go-containerregistry offers.
func verifying(_ context.Context, t work.Task) (done, error) {
	o, err := checkOpts(t)
	if err != nil {
		return nil, err
	}
	var refs []name.Reference
	for _, text := range t.Images {
		ref, err := name.ParseReference(text)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	check := cosign.VerifyImageSignatures
	if t.Format == work.Bundle {
		check = cosign.VerifyImageAttestations
	}
	return func(ctx context.Context) (int, error) {
		if t.Shared {
			puller, err := remote.NewPuller(remote.WithContext(ctx), remote.WithJobs(16))
			if err != nil {
				return 0, err
			}
			o.RegistryClientOpts = []ociremote.Option{ociremote.WithRemoteOptions(remote.WithContext(ctx), remote.Reuse(puller))}
		}
		return work.Each(ctx, t, refs, func(ctx context.Context, ref name.Reference) error {
			own := *o
			_, _, err := check(ctx, ref, &own)
			return err
		})
	}, nil
}
