package registry

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// written notes what is to be read back at the end of a copy, by one of the
// requests that may be under way.
func (c *copier) written(k check) {
	look := k.look
	k.look = func(ctx context.Context) error {
		_, err := slotted(ctx, c, func() (struct{}, error) { return struct{}{}, look(ctx) })
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks = append(c.checks, k)
}

// readBack reads back all that this copy has written but the image's tag.
func (c *copier) readBack(ctx context.Context) error {
	for subject, l := range c.lists {
		if len(l.copied) > 0 {
			c.written(check{subject, "the list of referrers", func(ctx context.Context) error { return c.confirmList(ctx, subject, l) }})
		}
	}
	return readBack(ctx, c.checks, c.o.Concurrency)
}

// copiedReferrer is a referrer as it has to be listed. A registry may list the
// media type of the config as the artifact type, or none.
type copiedReferrer struct {
	v1.Descriptor
	config string
}

func (r copiedReferrer) isListedAs(d v1.Descriptor) bool {
	known := d.ArtifactType == r.ArtifactType || d.ArtifactType == r.config || d.ArtifactType == ""
	return oci.SameContent(d, r.Descriptor) && known && (evidence.MayCarry(d.ArtifactType) || !evidence.MayCarry(r.ArtifactType))
}

// confirmList looks for the copied referrers of a subject in the destination's
// list, of which readers take the first entry of each digest.
func (c *copier) confirmList(ctx context.Context, subject v1.Hash, l *destinationList) error {
	at := c.to.Digest(subject.String())
	left := make(map[v1.Hash]copiedReferrer, len(l.copied))
	for _, r := range l.copied {
		left[r.Digest] = r
	}
	entries := 0
	for d, err := range c.dst.Referrers(ctx, at) {
		if err != nil {
			return err
		}
		if entries++; entries > c.o.MaxEvidence {
			break
		}
		r, ours := left[d.Digest]
		if ours && !r.isListedAs(d) {
			return unconfirmed(at, fmt.Sprintf("it lists %s as something else: %s of %d bytes, artifact type %s",
				d.Digest, safe(string(d.MediaType)), d.Size, safe(d.ArtifactType)))
		}
		if delete(left, d.Digest); len(left) == 0 {
			return nil
		}
	}
	missing := make([]string, 0, len(left))
	for h := range left {
		missing = append(missing, h.String())
	}
	return unconfirmed(at, fmt.Sprintf("it does not list %s, nor %d others", slices.Min(missing), len(missing)-1))
}
