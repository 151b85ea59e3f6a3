package sign

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// PushAndSign pushes an image, or an index with all that it lists, by digest,
// signs it, reads both back, and only then sets the tag: no tag ever points at an
// image that is not signed. The tag is read back too, see registry.ConfirmTag. With an error the tag is as it was; only
// where setting it or reading it back failed may it lead to the signed image.
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
