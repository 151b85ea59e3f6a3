package registry

import (
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Mounter is implemented by stores that can take a blob from another of their
// repositories, without its bytes being sent.
type Mounter interface {
	// MountBlob makes the blob that the repository from holds available as ref.
	// False without an error means that the store would not.
	MountBlob(ctx context.Context, ref name.Digest, from name.Repository) (bool, error)
}

// Remover is implemented by stores that can remove manifests. Many registries do not
// allow it, or only to some users.
type Remover interface {
	// RemoveManifest removes a manifest, and its entries in lists of referrers. A
	// manifest that does not exist is ErrNotFound.
	RemoveManifest(ctx context.Context, ref name.Digest) error
}

// Lister is implemented by stores that keep a list of their images for other tools, as
// a layout does in its index.json.
type Lister interface {
	// ListManifest adds a manifest that the store holds to the list, without a name.
	ListManifest(ctx context.Context, m Manifest) error
}

// TagWriter is implemented by stores that several processes write to. Attach, Detach
// and Copy change a tag by reading, merging and writing it. The store says how.
type TagWriter interface {
	// LockTag lets the writers of this process change a tag one after another.
	LockTag(ctx context.Context, tag name.Tag) (unlock func(), err error)
	// RetryDelay returns how long to wait before the next attempt, after some
	// failures, the last with err. False: do not try again.
	RetryDelay(failures int, err error) (time.Duration, bool)
	// MayLackReferrers reports whether the store has not shown yet that it lists
	// the referrers of a repository's manifests by itself.
	MayLackReferrers(repo name.Repository) bool
}
