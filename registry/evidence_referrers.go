package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
)

// referrers reads what the list of referrers names: first the shares of all small
// manifests, and then what was put off.
func (p *gathering) referrers() error {
	entries := make(chan chan carrier, p.g.limits.Concurrency)
	var incomplete error
	p.g.spawn(func() {
		defer close(entries)
		_, incomplete = caught("list referrers of", text(p.g.subject), func() (struct{}, error) {
			return struct{}{}, p.list(entries)
		})
	})
	for entry := range entries {
		if !p.referrer(<-entry) {
			break
		}
	}
	if p.ctx.Err() != nil {
		return nil
	}
	tooMany := p.readLarge()
	return cmp.Or(p.sendPutOff(), tooMany, incomplete)
}

// list begins to read what is listed, until there is an error or the reader has gone.
func (p *gathering) list(entries chan<- chan carrier) error {
	seen := make(map[v1.Hash]bool)
	n := 0
	for desc, err := range p.g.r.Referrers(p.g.reading, p.g.subject) {
		if err != nil {
			return err
		}
		if n++; n > p.g.limits.MaxReferrers {
			return reached(p.g, "MaxReferrers", int64(p.g.limits.MaxReferrers), 0, "more referrers")
		}
		if seen[desc.Digest] {
			continue
		}
		seen[desc.Digest] = true
		entry := make(chan carrier, 1)
		p.g.listed(p.ctx, desc, entry)
		select {
		case entries <- entry:
		case <-p.ctx.Done():
			return nil
		}
	}
	return nil
}

// referrer sends what a manifest of the list carries.
func (p *gathering) referrer(c carrier) bool {
	switch {
	case c.size > 0:
		large := c.in.Manifest
		large.Size, large.Annotations, large.Data = c.size, nil, nil
		p.large = append(p.large, large)
		return len(p.large) <= maxLargeFree || budget.Large(p.ctx) == nil
	case c.err != nil || c.doc == nil:
		return p.send(&found{item: c.in, err: c.err})
	}
	return p.take(c)
}

// listed begins to read a manifest of the list, if it may be evidence.
func (g *gatherer) listed(ctx context.Context, desc v1.Descriptor, out chan<- carrier) {
	c := carrier{
		in:  Item{Place: PlaceReferrers, Manifest: desc, ManifestAnnotations: desc.Annotations},
		ref: g.subject.Context().Digest(desc.Digest.String()),
	}
	if !evidence.MayCarry(desc.ArtifactType) {
		c.in.Format = FormatOther
		out <- c
		return
	}
	g.spawn(func() { out <- g.readSmall(ctx, c) })
}

// readSmall reads a manifest of the list, unless it is large.
func (g *gatherer) readSmall(ctx context.Context, c carrier) carrier {
	m, whole := fromEntry(g.digest, c.in.Manifest)
	if !whole {
		if c.size = g.largeSize(ctx, c); c.size > 0 {
			return c
		}
		m, c.err = g.fetchManifestWith(ctx, budget.Small(g.reading), c.ref)
		if errors.Is(c.err, budget.ErrLater) {
			c.err = nil
			m.Bytes = nil
			c.size = max(c.in.Manifest.Size, g.smallManifest(ctx)+1)
			return c
		}
		if c.err != nil {
			return c
		}
		if n := int64(len(m.Bytes)); n > g.smallManifest(ctx) {
			g.wary.Store(true)
			c.size = n
			return c
		}
	}
	c.m = m
	return g.open(c)
}

// largeSize returns the size of a large manifest, or 0 for one that seems small. An
// attacker may have written the list. The store is asked about entries that claim to
// be large, and about all entries once one has lied.
func (g *gatherer) largeSize(ctx context.Context, c carrier) int64 {
	size := c.in.Manifest.Size
	small := g.smallManifest(ctx)
	if size > small || g.wary.Load() {
		if d, err := g.resolve(ctx, c.ref); err == nil {
			size = d.Size
		}
	}
	if size > small {
		return size
	}
	return 0
}

// smallManifest is up to what size a manifest of the list is read in its turn.
func (g *gatherer) smallManifest(ctx context.Context) int64 {
	if budget.In(ctx) {
		return budget.Free
	}
	return smallBytes
}

func (g *gatherer) resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	release, err := g.slot(ctx)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer release()
	return caught("resolve", text(ref), func() (v1.Descriptor, error) { return g.r.Resolve(g.reading, ref) })
}

// readLarge reads the large manifests, the smallest first, and puts off what they
// carry. An error says that there are more than may be.
func (p *gathering) readLarge() error {
	if len(p.large) > 0 && budget.Large(p.ctx) != nil {
		return nil // the context has ended
	}
	slices.SortStableFunc(p.large, func(a, b v1.Descriptor) int { return cmp.Compare(a.Size, b.Size) })
	size := int64(0)
	for _, desc := range p.large {
		c := carrier{in: Item{Place: p.name, Manifest: desc}, ref: p.g.subject.Context().Digest(desc.Digest.String())}
		if c.m, c.err = p.g.fetchManifest(p.ctx, c.ref); c.err == nil {
			if size += int64(len(c.m.Bytes)); size > maxManifestsBytes {
				return p.g.tooMany(fmt.Sprintf("%s: manifests of more than %d bytes", p.name, maxManifestsBytes))
			}
			c = p.g.open(c)
		}
		if c.err != nil {
			if !p.send(&found{item: c.in, err: c.err}) {
				return nil
			}
			continue
		}
		pieces, other := piecesOf(c.in, c.doc)
		for _, item := range pieces {
			p.later(item)
		}
		if other != nil && !p.send(&found{item: *other}) {
			return nil
		}
	}
	return nil
}
