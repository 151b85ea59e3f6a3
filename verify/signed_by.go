package verify

import (
	"context"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// SignedBy reports whether a key made one of the signatures of an item, whatever the item
// says and about any image. It is for programs that show evidence, as registry.Describe is.
// It is not a judgement: only the methods of Verifier say whether evidence counts. An error
// is the context's.
func SignedBy(ctx context.Context, item registry.Item, key policy.PublicKey) (bool, error) {
	signer, err := sigkey.New(key.Public())
	if err != nil {
		return false, nil // the zero PublicKey, which has signed nothing
	}
	opened, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	if err != nil {
		return false, nil // no key can have made its signatures
	}
	return opened.VerifiedWithin(ctx, signer)
}
