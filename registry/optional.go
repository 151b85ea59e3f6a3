package registry

import (
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Mounter is implemented by stores that can take a blob from another repository
// of theirs without its bytes being sent.
type Mounter interface {
	// MountBlob makes the blob that the repository from holds available as ref.
	// False without an error means that the store would not.
	MountBlob(ctx context.Context, ref name.Digest, from name.Repository) (bool, error)
}

// Remover is a Store that can remove manifests. Many registries do not allow it,
// or allow it to some users only.
type Remover interface {
	// RemoveManifest makes the manifest no longer be listed or found. Removing
	// what is not there is ErrNotFound.
	RemoveManifest(ctx context.Context, ref name.Digest) error
}

// Lister is implemented by stores that keep a list of their images for other tools, as
// a layout does in its index.json.
type Lister interface {
	// ListManifest adds a manifest that the store holds to the list, without a name.
	ListManifest(ctx context.Context, m Manifest) error
}

// TagWriter is implemented by stores that many processes write to. Attach, Detach and
// Copy change a tag by reading, merging and writing it, and ask the store how.
type TagWriter interface {
	// LockTag lets the writers of this process change a tag one after another.
	LockTag(ctx context.Context, tag name.Tag) (unlock func(), err error)
	// RetryDelay says how long to wait before something that has failed so many
	// times is tried again. False: it is not to be tried again.
	RetryDelay(failures int, err error) (time.Duration, bool)
	// MayLackReferrers reports whether the store has not shown yet that it lists
	// the referrers of a repository's manifests by itself.
	MayLackReferrers(repo name.Repository) bool
}
