package proxy

import (
	"context"
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// referrers is the list of what refers to a manifest that passes, as an index:
// what the referrers API answers, and the fallback tag holds. Whichever of the two
// the upstream has, clients find both here. The list is the gate's own: an entry has what
// evidenceRules.entry leaves of it, and no content of its own.
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
func (g *gate) referrers(ctx context.Context, p pull, subject string) (*manifest, error) {
	key := readKey{p.from, p.repo.Name() + " referrers " + subject}
	known, ok := g.tags.get(key)
	if ok && known.holds(g.c.Now()) {
		return known.list, nil
	}
	list, err := g.listing.Do(ctx, key, func(ctx context.Context) (*manifest, error) {
		if known, ok := g.tags.get(key); ok && known.holds(g.c.Now()) {
			return known.list, nil // read between the look above and now
		}
		all, seen := []v1.Descriptor{}, make(map[v1.Hash]bool)
		for d, err := range p.from.Referrers(ctx, p.digest(subject)) {
			if err != nil {
				return nil, err
			}
			if entry, ok := g.evidence.entry(d); ok && !seen[d.Digest] {
				seen[d.Digest] = true
				all = append(all, entry)
			}
		}
		list, err := indexOf(all)
		if err == nil {
			g.tags.put(key, tagged{list: list, term: g.term(g.c.TagFor)})
		}
		return list, err
	})
	if err != nil && ok && ctx.Err() == nil && down(err) {
		return known.list, nil
	}
	return list, err
}

// indexOf writes a list.
func indexOf(all []v1.Descriptor) (*manifest, error) {
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
	return newManifest(m)
}

// filtered leaves the entries of one artifact type.
func filtered(list *manifest, artifactType string) (*manifest, error) {
	some := []v1.Descriptor{}
	for _, d := range list.doc.Manifests {
		if d.ArtifactType == artifactType {
			some = append(some, d)
		}
	}
	return indexOf(some)
}
