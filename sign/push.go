package sign

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// PushAndSign pushes an image, signs it, and then sets its tag. The tag never
// points at an unsigned image. The steps are:
//
//  1. Push the image by digest, an index with everything it lists.
//  2. Sign it, as Image does, and read the signatures back.
//  3. Set the tag and read it back, see registry.ConfirmTag.
//
// If the first two steps fail, the tag is unchanged. If the third fails, the tag
// is unchanged or points at the signed image.
func PushAndSign(ctx context.Context, repo registry.Store, tag name.Tag, image registry.Pushable, o ImageOptions, signers ...Signer) (*Signed, error) {
	if _, err := newJob(repo, o, signers); err != nil {
		return nil, err // before anything is sent
	}
	digest, err := registry.Push(ctx, repo, tag.Context(), image)
	if err != nil {
		return nil, err
	}
	signed, err := Image(ctx, repo, digest, o, signers...)
	if err != nil {
		return nil, err
	}
	if err := setTag(ctx, repo, tag, digest); err != nil {
		return nil, err
	}
	return signed, nil
}

func setTag(ctx context.Context, repo registry.Store, tag name.Tag, digest name.Digest) error {
	m, err := registry.ReadManifest(ctx, repo, digest)
	if err != nil {
		return err
	}
	if _, err := repo.PushManifest(ctx, tag, m, registry.PushOptions{}); err != nil {
		return err
	}
	hash, err := registry.HashOf(digest)
	if err != nil {
		return err
	}
	return registry.ConfirmTag(ctx, repo, tag, hash)
}
