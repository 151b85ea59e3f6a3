package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/cosign/v2/pkg/types"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

// signing writes signatures as cosign does: a .sig tag, or, with bundles in the
// files of the task, one for each image, those bundles as referrers.
func signing(_ context.Context, t work.Task) (done, error) {
	text, err := os.ReadFile(t.PrivateKey)
	if err != nil {
		return nil, err
	}
	key, err := cosign.LoadPrivateKey(text, []byte(work.Password), nil)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		for i, image := range t.Images {
			digest, err := name.NewDigest(image)
			if err != nil {
				return i, err
			}
			if t.Format == work.Bundle {
				err = writeBundle(digest, t.Evidence[i])
			} else {
				err = signOne(digest, key)
			}
			if err != nil {
				return i, err
			}
		}
		return len(t.Images), nil
	}, nil
}

func writeBundle(digest name.Digest, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return ociremote.WriteAttestationNewBundleFormat(digest, text, types.CosignSignPredicateType)
}

func signOne(digest name.Digest, key signature.Signer) error {
	message, err := payload.Cosign{Image: digest}.MarshalJSON()
	if err != nil {
		return err
	}
	sig, err := key.SignMessage(bytes.NewReader(message))
	if err != nil {
		return err
	}
	layer, err := static.NewSignature(message, base64.StdEncoding.EncodeToString(sig))
	if err != nil {
		return err
	}
	entity, err := ociremote.SignedEntity(digest)
	if err != nil {
		return err
	}
	if entity, err = mutate.AttachSignatureToEntity(entity, layer); err != nil {
		return err
	}
	return ociremote.WriteSignatures(digest.Context(), entity)
}
