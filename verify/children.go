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

// readChildren begins to look for denied children, beside the evidence, where the
// policy denies digests and there is a registry to ask; nil elsewhere.
func (j *judgement) readChildren() <-chan children {
	if len(j.v.policy.denied) == 0 || j.hasGiven {
		return nil
	}
	done := make(chan children, 1)
	go func() {
		var found children
		err := panics.Caught(func() error {
			found = j.v.childrenOf(j.ctx, j.r, j.digest)
			return nil
		})
		if err != nil {
			found.err = panicked(err)
		}
		done <- found
	}()
	return done
}

// judgeChildren is the decision about an image that is allowed by itself: an index
// none of whose images may run is denied.
func (j *judgement) judgeChildren(r *Result, found children) (*Result, error) {
	switch {
	case found.err != nil && j.ctx.Err() != nil:
		return nil, fmt.Errorf("%s: not verified: %w", j.digest, j.ctx.Err())
	case found.err != nil:
		return nil, &UndecidedError{Reference: j.reference, Digest: j.digest, Evidence: j.seen, Causes: []error{found.err}}
	case found.all():
		e := allDenied(found)
		e.Reference, e.Digest, e.Evidence, e.PolicyDigest, e.Rule = j.reference, j.digest, j.seen, j.v.policy.digest, j.pattern
		return nil, e
	}
	r.DeniedChildren = found.denied
	return r, nil
}

func allDenied(found children) *Error {
	first := found.denied[0]
	return &Error{Reason: ReasonDeniedDigest, Detail: registry.SafeText(fmt.Sprintf(
		"the policy denies each of the %d images that the index lists, such as %s: %s", found.runnable, first.Digest, first.Reason), maxDetail)}
}

// childrenOf looks for denied digests among what an index lists, and the indexes in
// it. A manifest of an unknown type, which no client runs, has no children.
func (v *Verifier) childrenOf(ctx context.Context, r registry.Reader, root name.Digest) children {
	w := childWalk{r: r, repo: root.Context(), denied: v.policy.denied, told: make(map[string]bool)}
	found := w.look(ctx, root, 0)
	if errors.Is(found.err, registry.ErrUnsupported) && !registry.Unreadable(found.err) {
		return children{}
	}
	return found
}

type childWalk struct {
	r       registry.Reader
	repo    name.Repository
	denied  map[string]string
	told    map[string]bool
	indexes int
}

func (w *childWalk) look(ctx context.Context, at name.Digest, depth int) (found children) {
	if w.indexes++; w.indexes > maxManifests || depth > maxIndexDepth {
		found.err = &registry.Error{Op: "read index", Ref: at.String(), Kind: registry.ErrMalformed, Detail: fmt.Sprintf("indexes nest deeper than %d, or are more than %d", maxIndexDepth, maxManifests)}
		return found
	}
	entries, err := w.entries(ctx, at)
	if err != nil {
		found.err = err
		return found
	}
	for _, d := range entries {
		if found.err == nil {
			w.add(ctx, &found, d, depth)
		}
	}
	return found
}

// entries are those of an index that could run, without what is not needed of them.
func (w *childWalk) entries(ctx context.Context, at name.Digest) ([]v1.Descriptor, error) {
	m, err := readManifest(ctx, w.r, at)
	if err != nil {
		return nil, err
	}
	doc, err := parseManifest(ctx, m)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
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

// add counts an entry of an index: an image, or an index of some.
func (w *childWalk) add(ctx context.Context, found *children, d v1.Descriptor, depth int) {
	reason, refused := w.denied[d.Digest.String()]
	if refused && !w.told[d.Digest.String()] {
		w.told[d.Digest.String()] = true
		child := DeniedChild{Digest: d.Digest.String(), Reason: registry.SafeText(reason, maxDetail)}
		if d.Platform != nil {
			child.Platform = registry.SafeText(d.Platform.String(), 100)
		}
		found.denied = append(found.denied, child)
	}
	if !refused && d.MediaType.IsIndex() {
		below := w.look(ctx, w.repo.Digest(d.Digest.String()), depth+1)
		if found.err = below.err; below.err != nil || below.runnable == 0 {
			return
		}
		found.denied = append(found.denied, below.denied...)
		refused = below.all()
	}
	found.runnable++
	if refused {
		found.refused++
	}
}
