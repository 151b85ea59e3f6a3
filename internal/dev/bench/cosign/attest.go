package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/cosign/attestation"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

// predicate is what is attested: the fields that provenance must have.
const predicate = `{"buildDefinition":{"buildType":"https://ci.example/build","externalParameters":{"ref":"refs/heads/main"}},` +
	`"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`

// attesting does what "cosign attest" does once its key is open: it reads what is
// there, signs, adds and writes.
func attesting(_ context.Context, t work.Task) (done, error) {
	text, err := os.ReadFile(t.PrivateKey)
	if err != nil {
		return nil, err
	}
	key, err := cosign.LoadPrivateKey(text, []byte(work.Password), nil)
	if err != nil {
		return nil, err
	}
	signer := dsse.WrapSigner(key, types.IntotoPayloadType)
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, t.Images, func(_ context.Context, image string) error { return attestOne(image, signer) })
	}, nil
}

func attestOne(image string, signer signature.Signer) error {
	digest, err := name.NewDigest(image)
	if err != nil {
		return err
	}
	statement, err := attestation.GenerateStatement(attestation.GenerateOpts{
		Predicate: bytes.NewReader([]byte(predicate)), Type: "slsaprovenance1",
		Digest: digest.DigestStr()[len("sha256:"):], Repo: digest.Context().String(),
	})
	if err != nil {
		return err
	}
	message, err := json.Marshal(statement)
	if err != nil {
		return err
	}
	envelope, err := signer.SignMessage(bytes.NewReader(message))
	if err != nil {
		return err
	}
	layer, err := static.NewAttestation(envelope, static.WithLayerMediaType(types.DssePayloadType))
	if err != nil {
		return err
	}
	entity, err := ociremote.SignedEntity(digest)
	if err != nil {
		return err
	}
	if entity, err = mutate.AttachAttestationToEntity(entity, layer); err != nil {
		return err
	}
	return ociremote.WriteAttestations(digest.Context(), entity)
}
