package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// DeniedChild is a manifest that an allowed index lists, and that the policy denies
// (Policy.DenyDigests): it must not run.
type DeniedChild struct {
	Digest string `json:"digest"`
	// Platform is that of its entry, OS/ARCH[/VARIANT]; empty where there is none.
	Platform string `json:"platform,omitempty"`
	// Reason is the policy's.
	Reason string `json:"reason"`
}

// children are what of an index can run, and what of that the policy denies. The zero
// value is that of an image.
type children struct {
	runnable int
	refused  int
	denied   []DeniedChild
	err      error
}

// all reports whether nothing is left that could run.
func (c children) all() bool { return c.runnable > 0 && c.refused == c.runnable }

// detail says why an index is denied that lists nothing else.
func (c children) detail() string {
	first := c.denied[0]
	return registry.SafeText(fmt.Sprintf("the policy denies each of the %d images that the index lists, such as %s: %s", c.runnable, first.Digest, first.Reason), maxDetail)
}

// readChildren begins to look for denied children, beside the evidence, where the
// policy denies digests and there is a registry to ask; nil elsewhere.
func (d *decision) readChildren(ctx context.Context) <-chan children {
	if len(d.v.policy.denied) == 0 || d.hasGiven {
		return nil
	}
	done := make(chan children, 1)
	go func() {
		var found children
		err := panics.Caught(func() error {
			found = d.v.childrenOf(ctx, d.r, d.image)
			return nil
		})
		if err != nil {
			found.err = panicked(err)
		}
		done <- found
	}()
	return done
}

// childrenOf looks for denied digests among what an index lists, and the indexes in
// it. A manifest of an unknown type, which no client runs, has no children.
func (v *Verifier) childrenOf(ctx context.Context, r registry.Reader, root name.Digest) children {
	w := childWalk{ctx: ctx, r: r, repo: root.Context(), denied: v.policy.denied, told: make(map[string]bool)}
	found := w.walk(root)
	if errors.Is(found.err, registry.ErrUnsupported) && !registry.Unreadable(found.err) {
		return children{}
	}
	return found
}

type childWalk struct {
	ctx     context.Context
	r       registry.Reader
	repo    name.Repository
	denied  map[string]string
	told    map[string]bool
	indexes int
}

// openIndex is an index that is walked through, and what was found in it so far.
type openIndex struct {
	entries []v1.Descriptor // that are left
	found   children
}

// walk goes through an index, and each index where it is listed: no deeper than
// maxIndexDepth, and through no more than maxManifests.
func (w *childWalk) walk(root name.Digest) children {
	top, err := w.open(root, 0)
	if err != nil {
		return children{err: err}
	}
	for path := []openIndex{top}; ; {
		at := &path[len(path)-1]
		if len(at.entries) == 0 {
			if len(path) == 1 {
				return at.found
			}
			path = path[:len(path)-1]
			path[len(path)-1].found.addIndex(at.found)
			continue
		}
		d := at.entries[0]
		at.entries = at.entries[1:]
		switch refused := w.deny(&at.found, d); {
		case refused || !d.MediaType.IsIndex():
			at.found.add(refused)
		default:
			below, err := w.open(w.repo.Digest(d.Digest.String()), len(path))
			if err != nil {
				return children{err: err}
			}
			path = append(path, below)
		}
	}
}

// add counts an image, or an index that is denied as such.
func (c *children) add(refused bool) {
	c.runnable++
	if refused {
		c.refused++
	}
}

// addIndex counts an index by what is in it.
func (c *children) addIndex(below children) {
	if below.runnable > 0 {
		c.denied = append(c.denied, below.denied...)
		c.add(below.all())
	}
}

// deny reports whether the policy denies an entry, and notes that once.
func (w *childWalk) deny(found *children, d v1.Descriptor) bool {
	reason, refused := w.denied[d.Digest.String()]
	if refused && !w.told[d.Digest.String()] {
		w.told[d.Digest.String()] = true
		child := DeniedChild{Digest: d.Digest.String(), Reason: registry.SafeText(reason, maxDetail)}
		if d.Platform != nil {
			child.Platform = registry.SafeText(d.Platform.String(), 100)
		}
		found.denied = append(found.denied, child)
	}
	return refused
}

func (w *childWalk) open(at name.Digest, depth int) (openIndex, error) {
	if w.indexes++; w.indexes > maxManifests || depth > maxIndexDepth {
		return openIndex{}, &registry.Error{Op: "read index", Ref: at.String(), Kind: registry.ErrMalformed, Detail: fmt.Sprintf("indexes nest deeper than %d, or are more than %d", maxIndexDepth, maxManifests)}
	}
	entries, err := w.entries(at)
	return openIndex{entries: entries}, err
}

// entries are those of an index that could run, without what is not needed of them.
func (w *childWalk) entries(at name.Digest) ([]v1.Descriptor, error) {
	m, err := readManifest(w.ctx, w.r, at)
	if err != nil {
		return nil, err
	}
	doc, err := parseManifest(w.ctx, m)
	switch {
	case w.ctx.Err() != nil:
		return nil, w.ctx.Err()
	case errors.Is(err, oci.ErrUnsupported):
		return nil, &registry.Error{Op: "read index", Ref: at.String(), Kind: registry.ErrUnsupported, Err: err}
	case err != nil:
		return nil, &registry.Error{Op: "read index", Ref: at.String(), Kind: registry.ErrMalformed, Err: err}
	}
	var entries []v1.Descriptor
	for _, d := range doc.Manifests {
		if runs(d) {
			entries = append(entries, v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Platform: d.Platform})
		}
	}
	return entries, nil
}

// runs reports whether a client could run what an entry of an index leads to. That of
// the platform unknown/unknown is none: BuildKit lists attestations as such.
func runs(d v1.Descriptor) bool {
	const none = "unknown"
	return oci.IsManifestType(string(d.MediaType)) && !(d.Platform != nil && d.Platform.OS == none && d.Platform.Architecture == none)
}
