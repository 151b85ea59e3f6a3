package gate

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/seal"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
)

// linkKey names a digest that manifests of a repository list. There is no policy in
// it: who lists what does not change with that, so that a pull under way goes on
// when the policy is replaced.
type linkKey struct {
	repo, digest string
	as           role
}

func (k linkKey) parts() []string { return []string{k.repo, k.digest, string(k.as)} }

// link is what may vouch for a digest. It decides nothing: each parent is judged
// when it is needed.
type link struct {
	// Parents are manifests that list the digest, or that it is evidence about, the
	// latest first, but evidence after images.
	Parents []string `json:"parents"`
	// Evidence: no image is among them.
	Evidence bool `json:"evidence,omitempty"`
	// Kinds are what evidence has said that a blob may be, also such evidence as had to
	// make room among the parents for an attacker's.
	Kinds kinds.Set `json:"kinds,omitempty"`
}

// weight is about how many bytes a link holds in memory, with its key.
func (l link) weight() int64 {
	const each, parent = 400, 96
	return max(decisionBytes, each+parent*int64(len(l.Parents)))
}

// maxParents bounds what is remembered of manifests that share a blob.
const maxParents = 4

// links are the links that are known. What only evidence lists is bounded apart, as
// in permits.
type links struct {
	images, evidence *lru.Cache[linkKey, link]
	shared           DecisionStore
	box              seal.Box
}

func newLinks(c *Config) *links {
	held := func() *lru.Cache[linkKey, link] {
		return lru.New[linkKey](link.weight, int64(c.MaxDecisions)*decisionBytes)
	}
	return &links{images: held(), evidence: held(), shared: c.Decisions, box: seal.Box{Kind: "hallmark-gate-link-1", Key: c.DecisionKey}}
}

// held returns what this process remembers.
func (l *links) held(key linkKey) (link, bool) {
	if known, ok := l.images.Get(key); ok {
		return known, true
	}
	return l.evidence.Get(key)
}

// get returns what may vouch for a digest.
func (l *links) get(ctx context.Context, key linkKey) link {
	known, ok := l.held(key)
	if !ok {
		if known, ok = fromShared[link](ctx, l.shared, l.box, key.parts()); ok {
			l.put(key, known)
		}
	}
	return known
}

// add remembers that a manifest lists a digest, and lets other gates find it for a
// while. Evidence never goes before images: an attacker who attaches it could drive them
// out. may is what a blob may be as evidence.
func (l *links) add(ctx context.Context, key linkKey, parent string, evidence bool, may kinds.Set, keep time.Duration) {
	known, ok := l.held(key)
	may |= known.Kinds
	others := slices.DeleteFunc(slices.Clone(known.Parents), func(other string) bool { return other == parent })
	switch {
	case !ok || !evidence || known.Evidence:
		known = link{append([]string{parent}, others...), evidence, may}
	case slices.Contains(known.Parents, parent):
		return
	default:
		known.Parents = append(others, parent)
	}
	known.Parents = known.Parents[:min(len(known.Parents), maxParents)]
	l.put(key, known)
	toShared(ctx, l.shared, l.box, key.parts(), known, keep)
}

func (l *links) put(key linkKey, v link) {
	if v.Evidence {
		l.evidence.Put(key, v)
		return
	}
	l.evidence.Remove(key)
	l.images.Put(key, v)
}

// forgotten counts what had to make room.
func (l *links) forgotten(evidence bool) int64 {
	if evidence {
		return l.evidence.Evicted(0)
	}
	return l.images.Evicted(0)
}

// linkedAt makes the linked of a permit. -1: its links may not be there.
func linkedAt(forgotten int64) *atomic.Int64 {
	n := new(atomic.Int64)
	n.Store(forgotten)
	return n
}

// listedBy yields what a manifest lists, and as what.
func listedBy(m *manifest) func(yield func(v1.Descriptor, role) bool) {
	return func(yield func(v1.Descriptor, role) bool) {
		for _, child := range m.doc.Manifests {
			if !yield(child, asManifest) {
				return
			}
		}
		for _, blob := range blobsOf(m) {
			if !yield(blob, asBlob) {
				return
			}
		}
	}
}

// relink makes sure that what a manifest lists is known to be listed by it: links
// may have been forgotten before the decision that they rest on.
func (g *gate) relink(ctx context.Context, p pull, m *manifest, d permit) {
	if d.linked == nil {
		return
	}
	now := g.links.forgotten(d.Evidence)
	if d.linked.Load() == now {
		return
	}
	d.linked.Store(now)
	may := g.mayBe(m, d)
	for listed, as := range listedBy(m) {
		key := linkKey{p.repo.Name(), listed.Digest.String(), as}
		if known, ok := g.links.held(key); !ok || !slices.Contains(known.Parents, m.digest) {
			g.links.add(ctx, key, m.digest, d.Evidence, may[listed.Digest], g.keepFor(&d))
		}
	}
}

// mayBe says what each blob may be that evidence lists; nil: it is no evidence.
func (g *gate) mayBe(m *manifest, d permit) map[v1.Hash]kinds.Set {
	if !d.Evidence {
		return nil
	}
	return g.evidence.kindsOf(m.doc)
}
