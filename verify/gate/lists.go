package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// lists are the lists of referrers of manifests that pass, as indexes. They answer the
// referrers API and the fallback tag, whichever of the two the upstream has. The gate
// writes each entry.
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
type lists struct {
	recent    *recent
	referrers *referrers
	maxBytes  int64
	patience  patience
	making    singleflight.Group[readKey, *manifest]
}

// of returns the list for a subject, as the upstream gave it within Config.TagTTL. above is
// the permit of the subject.
func (l *lists) of(ctx context.Context, p pull, subject string, above permit) (*manifest, error) {
	v, err := l.referrers.judge.source.Verifier(ctx)
	if err != nil {
		return nil, err
	}
	key := readKey{p.from, p.repo.Name() + " referrers " + subject + " by " + v.Generation()}
	last, known, holds := l.recent.get(key)
	if holds {
		return last.list, nil
	}
	asking, cancel := l.patience.asking(ctx, known)
	defer cancel()
	list, err := l.making.Do(asking, key, func(ctx context.Context) (*manifest, error) {
		if now, _, holds := l.recent.get(key); holds {
			return now.list, nil // read between the look above and now
		}
		list, err := l.read(ctx, &listing{referrers: l.referrers, v: v, p: p, subject: subject, nested: above.Evidence})
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

// read makes a list of the upstream's, within its bounds.
func (l *lists) read(ctx context.Context, of *listing) (*manifest, error) {
	ctx, cancel := l.patience.whole(ctx)
	defer cancel()
	ctx, end := budget.Session(ctx)
	defer end()
	claimed, err := l.claimed(ctx, of)
	if err != nil {
		return nil, err
	}
	of.plain = len(claimed) > maxReads
	all, size := []v1.Descriptor{}, int64(0)
	for some := range slices.Chunk(claimed, maxRead) {
		entries, err := of.passing(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, d := range entries {
			if size > maxAnnotated { // many small entries are better than few with annotations
				d.Annotations = nil
			}
			if size += lengthOf(d); size > l.maxBytes {
				return nil, l.tooLong(of)
			}
			all = append(all, d)
		}
		if err := large(ctx, size); err != nil {
			return nil, err
		}
	}
	return indexOf(ctx, all)
}

// maxRead is how many referrers are read before their entries are counted: each may have
// maxEntry bytes.
const maxRead = 64

// claimed are the digests that the upstream lists, each once.
func (l *lists) claimed(ctx context.Context, of *listing) ([]string, error) {
	var all []string
	size, seen := int64(0), make(map[v1.Hash]bool)
	for d, err := range of.p.from.Referrers(ctx, of.p.digest(of.subject)) {
		switch {
		case err != nil:
			return nil, err
		case seen[d.Digest] || checkDigest(d.Digest.String()) != nil:
			continue
		}
		seen[d.Digest] = true
		all = append(all, d.Digest.String())
		if size > maxAnnotated {
			d.Annotations = nil
		}
		if size += lengthOf(d); size > l.maxBytes {
			return nil, l.tooLong(of)
		}
		if err := large(ctx, size); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// large waits until so many bytes may be held.
func large(ctx context.Context, size int64) error {
	if size <= budget.Free {
		return nil
	}
	return budget.Large(ctx)
}

func (l *lists) tooLong(of *listing) error {
	return &registry.Error{
		Op: "list referrers of", Ref: of.p.digest(of.subject).String(), Kind: registry.ErrTooLarge,
		Detail: fmt.Sprintf("the list has more than the %d bytes of Config.MaxListBytes", l.maxBytes),
	}
}

// maxAnnotated is the length of a list after which entries have no annotations.
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

// filtered keeps the entries of one artifact type. It is made once for concurrent requests.
func (l *lists) filtered(ctx context.Context, list *manifest, artifactType string) (*manifest, error) {
	if len(list.bytes) <= budget.Free {
		return ofType(ctx, list, artifactType)
	}
	return l.making.Do(ctx, readKey{nil, list.digest + " of " + artifactType}, func(ctx context.Context) (*manifest, error) {
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
