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

// DeniedChild is a manifest that an allowed index lists and the policy denies
// (Policy.DenyDigests). It must not run.
type DeniedChild struct {
	Digest string `json:"digest"`
	// Platform is that of its entry, OS/ARCH[/VARIANT]. Empty: the entry has none.
	Platform string `json:"platform,omitempty"`
	// Reason is the policy's.
	Reason string `json:"reason"`
}

// children counts what can run of an index, and what of that the policy denies. The zero
// value is that of an image.
type children struct {
	runnable int
	refused  int
	denied   []DeniedChild
	err      error
}

// all reports whether every image is denied.
func (c children) all() bool { return c.runnable > 0 && c.refused == c.runnable }

// detail says why an index is denied whose images are all denied.
func (c children) detail() string {
	first := c.denied[0]
	return registry.SafeText(fmt.Sprintf("the policy denies all %d images of the index, such as %s: %s", c.runnable, first.Digest, first.Reason), maxDetail)
}

// readChildren starts to look for denied children while evidence is read. Nil: the policy
// denies no digests, or the evidence was given.
func (d *decision) readChildren(ctx context.Context) <-chan children {
	if len(d.v.policy.denied) == 0 || d.hasGiven {
		return nil
	}
	done := make(chan children, 1)
	go func() {
		var found children
		err := panics.Caught(func() error {
			found = childrenOf(ctx, d.v, d.r, d.image)
			return nil
		})
		if err != nil {
			found.err = panicked(err)
		}
		done <- found
	}()
	return done
}

// childrenOf looks for denied digests in an index and its nested indexes. A manifest of an
// unknown type, which no client runs, has no children.
func childrenOf(ctx context.Context, v *Verifier, r registry.Reader, root name.Digest) children {
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

// openIndex is an index under inspection, and the children found in it until now.
type openIndex struct {
	entries []v1.Descriptor // that are left
	found   children
}

// walk inspects an index and its nested indexes, to maxIndexDepth and at most maxManifests.
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

// add counts an image, or an index that is itself denied.
func (c *children) add(refused bool) {
	c.runnable++
	if refused {
		c.refused++
	}
}

// addIndex counts an index by its children.
func (c *children) addIndex(below children) {
	if below.runnable > 0 {
		c.denied = append(c.denied, below.denied...)
		c.add(below.all())
	}
}

// deny reports whether the policy denies an entry, and notes each digest once.
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
		return openIndex{}, &registry.Error{Op: "read index", Ref: at.String(), Kind: registry.ErrMalformed, Detail: fmt.Sprintf("it nests more than %d levels of indexes, or more than %d indexes", maxIndexDepth, maxManifests)}
	}
	entries, err := w.entries(at)
	return openIndex{entries: entries}, err
}

// entries are those that could run, reduced to the members that are needed.
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

// runs reports whether a client could run the manifest of an entry. BuildKit lists
// attestations for the platform unknown/unknown.
func runs(d v1.Descriptor) bool {
	const none = "unknown"
	return oci.IsManifestType(string(d.MediaType)) && !(d.Platform != nil && d.Platform.OS == none && d.Platform.Architecture == none)
}
