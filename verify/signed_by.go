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
// It is not a judgement: only the methods of Verifier say whether evidence counts. Of an
// item without a Payload, SignedBy reads what Open gives, in memory that does not grow with
// it. An error is the context's, or that of Open's reader.
func SignedBy(ctx context.Context, item registry.Item, key policy.PublicKey) (bool, error) {
	signer, err := sigkey.New(key.Public())
	if err != nil {
		return false, nil // the zero PublicKey, which has signed nothing
	}
	if item.Payload == nil && item.Open != nil {
		large, err := evidence.OpenLarge(string(item.Layer.MediaType), item.Open)
		if err != nil {
			return false, ctx.Err() // no key can be known to have made its signatures
		}
		return large.MadeBy(ctx, signer)
	}
	opened, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	if err != nil {
		return false, nil // no key can have made its signatures
	}
	return opened.VerifiedWithin(ctx, signer)
}
