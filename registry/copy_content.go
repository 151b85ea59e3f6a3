package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

const (
	// maxIndexDepth is how deep indexes may nest.
	maxIndexDepth = 4
	// maxHeldBytes bounds the manifests of an image, which are held until they
	// are written.
	maxHeldBytes = 256 << 20
	// ofImage bounds no blob: one of an image may have any size.
	ofImage = math.MaxInt64
)

// copyContent reads what an image leads to, and stores it.
type copyContent struct {
	*copyRun
	blobs *copyBlobs
	lists *copyLists
}

func newCopyContent(run *copyRun) *copyContent {
	return &copyContent{
		copyRun: run, blobs: &copyBlobs{copyRun: run, tasks: make(map[blobKey]*blobTask)},
		lists: &copyLists{copyRun: run, all: make(map[v1.Hash]*destinationList)},
	}
}

// tree is a manifest with what it leads to.
type tree struct {
	Manifest
	doc      *oci.Document
	children []*tree         // of an index
	blobs    []v1.Descriptor // everything else that it lists

	store    sync.Once // several indexes may list it
	storeErr error
}

// all returns the tree's manifests, each once.
func (t *tree) all() []*tree {
	seen := map[*tree]bool{t: true}
	list := []*tree{t}
	for i := 0; i < len(list); i++ {
		for _, child := range list[i].children {
			if !seen[child] {
				seen[child] = true
				list = append(list, child)
			}
		}
	}
	return list
}

// load reads all manifests that root leads to, level by level.
func (c *copyContent) load(ctx context.Context, root Manifest) (*tree, error) {
	top := &tree{Manifest: root}
	if err := c.parse(top); err != nil {
		return nil, err
	}
	known := map[v1.Hash]*tree{root.Descriptor.Digest: top}
	bound := bounds{c: c.copyRun, top: root.Descriptor.Digest, seen: map[v1.Hash]bool{root.Descriptor.Digest: true}, held: root.Descriptor.Size}
	if err := bound.add(top.doc); err != nil {
		return nil, err
	}
	level := []*tree{top}
	for depth := 0; len(level) > 0; depth++ {
		fresh, err := c.listed(level, known)
		if err != nil {
			return nil, err
		}
		if len(fresh) > 0 && depth >= maxIndexDepth {
			return nil, sourceError{c.fail(bound.top, ErrTooMany, fmt.Sprintf("its indexes nest deeper than %d", maxIndexDepth), nil)}
		}
		err = forEach(ctx, c.copyRun, fresh, func(ctx context.Context, t *tree) error {
			if err := c.fill(ctx, t); err != nil {
				return err
			}
			return bound.add(t.doc)
		})
		if err != nil {
			return nil, err
		}
		level = fresh
	}
	return top, nil
}

// bounds counts the manifests that an image leads to, as soon as they are listed:
// a few indexes can list more than fits in memory.
type bounds struct {
	c   *copyRun
	top v1.Hash

	mu   sync.Mutex
	seen map[v1.Hash]bool
	held int64
}

// add counts what an index lists, and fails where that is too much in all.
func (b *bounds) add(doc *oci.Document) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range doc.Manifests {
		if b.seen[d.Digest] || !oci.IsManifestType(string(d.MediaType)) {
			continue
		}
		b.seen[d.Digest] = true
		b.held += d.Size
		switch {
		case len(b.seen) > b.c.o.MaxManifests:
			return sourceError{b.c.fail(b.top, ErrTooMany, fmt.Sprintf("it has more than %d manifests", b.c.o.MaxManifests), nil)}
		case b.held > maxHeldBytes || b.held < 0:
			return sourceError{b.c.fail(b.top, ErrTooLarge, fmt.Sprintf("its manifests exceed %d bytes", maxHeldBytes), nil)}
		}
	}
	return nil
}

// listed links the indexes of a level to what they list, and returns what has
// not been met before, with descriptors alone.
func (c *copyContent) listed(level []*tree, known map[v1.Hash]*tree) (fresh []*tree, err error) {
	for _, t := range level {
		for _, d := range t.doc.Manifests {
			if !oci.IsManifestType(string(d.MediaType)) {
				t.blobs = append(t.blobs, d) // an index may list content of any type
				continue
			}
			child := known[d.Digest]
			if child == nil {
				child = &tree{Manifest: Manifest{Descriptor: d}}
				known[d.Digest] = child
				fresh = append(fresh, child)
			}
			if !oci.SameContent(child.Descriptor, d) {
				return nil, sourceError{c.fail(d.Digest, ErrMalformed, "it is described in different ways", nil)}
			}
			t.children = append(t.children, child)
		}
	}
	return fresh, nil
}

// fill reads a manifest that is known by its descriptor alone.
func (c *copyContent) fill(ctx context.Context, t *tree) error {
	want := t.Descriptor
	m, err := c.readSource(ctx, c.from.Digest(want.Digest.String()))
	if err != nil {
		return sourceError{c.fail(want.Digest, KindOf(err), "a manifest that the index lists", err)}
	}
	if !oci.SameContent(m.Descriptor, want) {
		return sourceError{c.fail(want.Digest, ErrMalformed, fmt.Sprintf("the index lists it as %s of %d bytes, it is %s of %d",
			safe(string(want.MediaType)), want.Size, safe(string(m.Descriptor.MediaType)), m.Descriptor.Size), nil)}
	}
	t.Manifest = m
	return c.parse(t)
}

func (c *copyContent) parse(t *tree) error {
	doc, err := oci.Parse(string(t.Descriptor.MediaType), t.Bytes)
	if err != nil {
		return sourceError{c.fail(t.Descriptor.Digest, KindOf(err), "", err)}
	}
	t.doc = doc
	if doc.Config != nil {
		t.blobs = append(t.blobs, *doc.Config)
	}
	t.blobs = append(t.blobs, doc.Layers...)
	return nil
}

// store copies a tree: its blobs, of at most bound bytes each, then its manifests
// by digest, each after what it lists.
func (c *copyContent) store(ctx context.Context, t *tree, bound int64) error {
	var blobs []listedBlob
	for _, m := range t.all() {
		for _, d := range m.blobs {
			blobs = append(blobs, listedBlob{d, m.Descriptor.Digest})
			c.blobs.task(d)
		}
		c.progress.expect(m.Descriptor)
	}
	err := forEach(ctx, c.copyRun, blobs, func(ctx context.Context, b listedBlob) error { return c.blobs.copy(ctx, b, bound) })
	if err != nil {
		return err
	}
	return c.storeManifests(ctx, t)
}

func (c *copyContent) storeManifests(ctx context.Context, t *tree) error {
	t.store.Do(func() {
		if t.storeErr = forEach(ctx, c.copyRun, t.children, c.storeManifests); t.storeErr == nil {
			t.storeErr = c.storeManifest(ctx, t)
		}
	})
	return t.storeErr
}

func (c *copyContent) storeManifest(ctx context.Context, t *tree) error {
	at := c.to.Digest(t.Descriptor.Digest.String())
	there, err := c.hasManifest(ctx, t)
	if err != nil {
		return err
	}
	if there {
		c.progress.end(CopyPresent, t.Descriptor, "")
		return nil
	}
	report, err := slotted(ctx, c.copyRun, func() (PushReport, error) { return c.dst.PushManifest(ctx, at, t.Manifest, PushOptions{}) })
	if err != nil {
		return err
	}
	c.written(manifestCheck(c.dst, c.to, t.Descriptor))
	c.progress.end(CopyDone, t.Descriptor, "")
	if t.doc.Subject != nil {
		c.lists.add(t, report.SubjectIndexed)
	}
	return nil
}

// hasManifest reads a manifest at the destination, and reports whether it is there
// and, if it refers to another, is listed: a copy may have been interrupted in
// between.
func (c *copyContent) hasManifest(ctx context.Context, t *tree) (bool, error) {
	_, err := slotted(ctx, c.copyRun, func() (struct{}, error) { return struct{}{}, confirmManifest(ctx, c.dst, c.to, t.Descriptor) })
	switch {
	case Unreadable(err) && !Refused(err) && !errors.Is(err, ErrNotConfirmed):
		return false, err
	case err != nil:
		return false, nil // absent, or damaged: to be written
	case t.doc.Subject == nil:
		return true, nil
	}
	return c.lists.holds(ctx, t)
}
