package gate

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// lists are the lists of what refers to manifests that pass, as indexes: what the
// referrers API answers, and the fallback tag holds. Whichever of the two the upstream
// has, clients find both here. A list is the gate's own: an entry has what
// evidenceRules.entry leaves of it, and no content of its own.
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
type lists struct {
	recent   *recent
	rules    evidenceRules
	maxBytes int64
	patience patience
	listing  singleflight.Group[readKey, *manifest]
}

// of returns the list for a subject, as the upstream said within Config.TagTTL.
func (l *lists) of(ctx context.Context, p pull, subject string) (*manifest, error) {
	key := readKey{p.from, p.repo.Name() + " referrers " + subject}
	last, known, holds := l.recent.get(key)
	if holds {
		return last.list, nil
	}
	asking, cancel := l.patience.asking(ctx, known)
	defer cancel()
	list, err := l.listing.Do(asking, key, func(ctx context.Context) (*manifest, error) {
		if now, _, holds := l.recent.get(key); holds {
			return now.list, nil // read between the look above and now
		}
		list, err := l.read(ctx, p, subject)
		if err == nil {
			l.recent.note(key, said{list: list})
		}
		return list, err
	})
	if err != nil && known && ctx.Err() == nil && (down(err) || asking.Err() != nil) {
		return last.list, nil
	}
	return list, err
}

// read reads a list of referrers, as long as it may be.
func (l *lists) read(ctx context.Context, p pull, subject string) (*manifest, error) {
	ctx, cancel := l.patience.whole(ctx)
	defer cancel()
	ctx, end := budget.Session(ctx)
	defer end()
	all, size, seen := []v1.Descriptor{}, int64(0), make(map[v1.Hash]bool)
	for listed, err := range p.from.Referrers(ctx, p.digest(subject)) {
		if err != nil {
			return nil, err
		}
		d, ok := l.rules.entry(listed)
		if !ok || seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		if size > maxAnnotated { // many small entries are better than few with annotations
			d.Annotations = nil
		}
		if size += lengthOf(d); size > l.maxBytes {
			return nil, &registry.Error{
				Op: "list referrers of", Ref: p.digest(subject).String(), Kind: registry.ErrTooLarge,
				Detail: fmt.Sprintf("the list has more than the %d bytes of Config.MaxListBytes", l.maxBytes),
			}
		}
		if size > budget.Free {
			if err := budget.Large(ctx); err != nil {
				return nil, err
			}
		}
		all = append(all, d)
	}
	return indexOf(ctx, all)
}

// maxAnnotated is how long a list may be before entries go without annotations.
const maxAnnotated = 1 << 20

// lengthOf is about how many bytes an entry of a list has.
func lengthOf(d v1.Descriptor) int64 {
	const entry, pair = 150, 6 // names, quotes, the digest
	n := entry + len(d.MediaType) + len(d.ArtifactType)
	for key, value := range d.Annotations {
		n += pair + len(key) + len(value)
	}
	return int64(n)
}

// indexOf writes a list.
func indexOf(ctx context.Context, all []v1.Descriptor) (*manifest, error) {
	text, err := json.Marshal(struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     []v1.Descriptor `json:"manifests"`
	}{2, oci.MediaTypeIndex, all})
	if err != nil {
		return nil, err
	}
	m, err := registry.NewManifest(oci.MediaTypeIndex, text)
	if err != nil {
		return nil, err
	}
	return newManifest(ctx, m)
}

// filtered leaves the entries of one artifact type. It is made once for all who ask at
// the same time.
func (l *lists) filtered(ctx context.Context, list *manifest, artifactType string) (*manifest, error) {
	if len(list.bytes) <= budget.Free {
		return ofType(ctx, list, artifactType)
	}
	return l.listing.Do(ctx, readKey{nil, list.digest + " of " + artifactType}, func(ctx context.Context) (*manifest, error) {
		ctx, end := budget.Session(ctx)
		defer end()
		if err := budget.Large(ctx); err != nil {
			return nil, err
		}
		return ofType(ctx, list, artifactType)
	})
}

func ofType(ctx context.Context, list *manifest, artifactType string) (*manifest, error) {
	some := []v1.Descriptor{}
	for _, d := range list.doc.Manifests {
		if d.ArtifactType == artifactType {
			some = append(some, d)
		}
	}
	return indexOf(ctx, some)
}
