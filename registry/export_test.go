package registry

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
)

// Confirm is what Attach does last, for tests that change what is there in between.
func Confirm(ctx context.Context, r Reader, subject name.Digest, item Item, at name.Digest) error {
	return confirm(ctx, r, subject, item, at, nil)
}

// Bounds of what Attach repeats.
const (
	MaxInlineBytes = evidence.MaxInlineBytes
	MaxListedBytes = maxListedBytes
)
