package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// maxEvidenceDepth is how far evidence about evidence is followed: evidence about
// the image, and evidence about that.
const maxEvidenceDepth = 2

// copyEvidence copies what is attached to manifests.
type copyEvidence struct {
	*copyRun
	content *copyContent
	lists   *copyLists
	met     atomic.Int64 // how many manifests of evidence

	mu     sync.Mutex
	levels map[v1.Hash]int // whose evidence was looked for, and how far it was followed
}

// of copies the evidence about one manifest, and the evidence about that.
func (c *copyEvidence) of(ctx context.Context, subject v1.Hash, level int) error {
	if !c.begin(subject, level) {
		return nil
	}
	var referrers, sboms []v1.Hash
	err := together(ctx,
		func(ctx context.Context) (err error) { referrers, err = c.referrers(ctx, subject); return err },
		func(ctx context.Context) (err error) { sboms, err = c.tagged(ctx, subject, ".sbom"); return err },
		func(ctx context.Context) error { _, err := c.tagged(ctx, subject, ".sig"); return err },
		func(ctx context.Context) error { _, err := c.tagged(ctx, subject, ".att"); return err },
	)
	if err != nil || level == maxEvidenceDepth {
		return err
	}
	return forEach(ctx, c.copyRun, append(referrers, sboms...), func(ctx context.Context, h v1.Hash) error {
		return c.of(ctx, h, level+1)
	})
}

// begin reports whether the evidence about a manifest is still to be looked for:
// a manifest may be listed in the image and refer to another at once.
func (c *copyEvidence) begin(subject v1.Hash, level int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, known := c.levels[subject]; known && before <= level {
		return false
	}
	c.levels[subject] = level
	return true
}

// count fails where more manifests of evidence were met than there may be.
func (c *copyEvidence) count(subject v1.Hash, n int) error {
	if c.met.Add(int64(n)) > int64(c.o.MaxEvidence) {
		return c.fail(subject, ErrTooMany, fmt.Sprintf("more than %d manifests of evidence", c.o.MaxEvidence), nil)
	}
	return nil
}

// pass decides about an error met in a piece of evidence: rubbish is passed over.
func (c *copyEvidence) pass(about v1.Descriptor, err error) error {
	if !rubbish(err) {
		return err
	}
	c.progress.note(CopyIgnored, about, safe(err.Error()))
	return nil
}

// referrers copies the referrers of subject, and returns the digests of those
// that are at the destination now.
func (c *copyEvidence) referrers(ctx context.Context, subject v1.Hash) ([]v1.Hash, error) {
	list, err := c.sourceLists(ctx, subject)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var copied []v1.Hash
	err = forEach(ctx, c.copyRun, list, func(ctx context.Context, d v1.Descriptor) error {
		if err := c.referrer(ctx, subject, d); err != nil {
			return c.pass(d, err)
		}
		mu.Lock()
		defer mu.Unlock()
		copied = append(copied, d.Digest)
		return nil
	})
	return copied, err
}

// sourceLists lists the referrers of subject, each once.
func (c *copyEvidence) sourceLists(ctx context.Context, subject v1.Hash) ([]v1.Descriptor, error) {
	list, err := slotted(ctx, c.copyRun, func() ([]v1.Descriptor, error) {
		return collectReferrers(ctx, c.src, c.from.Digest(subject.String()), c.o.MaxEvidence)
	})
	if errors.Is(err, ErrMalformed) && !Unreadable(err) && c.fallbackIsRubbish(ctx, subject) {
		c.progress.note(CopyIgnored, v1.Descriptor{}, "the fallback tag of "+subject.String()+" is no list of referrers")
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return list, c.count(subject, len(list))
}

func collectReferrers(ctx context.Context, r Reader, subject name.Digest, limit int) ([]v1.Descriptor, error) {
	seen := make(map[v1.Hash]bool)
	var list []v1.Descriptor
	entries := 0
	for d, err := range r.Referrers(ctx, subject) {
		if err != nil {
			return list, err
		}
		if entries++; entries > limit {
			return list, &Error{Op: "list referrers of", Ref: subject.String(), Kind: ErrTooMany, Detail: fmt.Sprintf("more than %d", limit)}
		}
		if !seen[d.Digest] {
			seen[d.Digest] = true
			list = append(list, d)
		}
	}
	return list, nil
}

// fallbackIsRubbish tells a fallback tag that anyone may have overwritten from an
// answer that the source got wrong.
func (c *copyEvidence) fallbackIsRubbish(ctx context.Context, subject v1.Hash) bool {
	m, err := c.readSource(ctx, c.from.Tag(oci.DigestTag(subject)))
	if err != nil {
		return rubbish(err) && !errors.Is(err, ErrNotFound)
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	return err != nil || !doc.IsIndex
}

func (c *copyEvidence) referrer(ctx context.Context, subject v1.Hash, listed v1.Descriptor) error {
	m, err := c.readSource(ctx, c.from.Digest(listed.Digest.String()))
	if err != nil {
		return err
	}
	t, err := c.content.load(ctx, m)
	if err != nil {
		return err
	}
	if t.doc.Subject == nil || t.doc.Subject.Digest != subject {
		return sourceError{c.fail(listed.Digest, ErrMalformed, "it is listed as a referrer of "+subject.String()+" but does not refer to it", nil)}
	}
	if err := c.count(subject, len(t.all())-1); err != nil {
		return err
	}
	return c.content.store(ctx, t, c.o.MaxEvidenceBlob)
}

// tagged copies what carries evidence about subject by a tag of cosign's, and
// returns its digest if it is there now as it is.
func (c *copyEvidence) tagged(ctx context.Context, subject v1.Hash, suffix string) ([]v1.Hash, error) {
	tag := oci.DigestTag(subject) + suffix
	m, err := c.readSource(ctx, c.from.Tag(tag))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, c.pass(v1.Descriptor{}, err)
	}
	if err := c.count(subject, 1); err != nil {
		return nil, err
	}
	t := &tree{Manifest: m}
	if err := c.content.parse(t); err != nil {
		return nil, c.pass(m.Descriptor, err)
	}
	if t.doc.IsIndex || t.doc.Subject != nil && t.doc.Subject.Digest != subject {
		c.progress.note(CopyIgnored, m.Descriptor, "the tag "+tag+" holds something else than evidence about the image")
		return nil, nil
	}
	whole, err := c.storeLayers(ctx, t)
	if err != nil {
		return nil, err
	}
	if suffix == ".sbom" {
		return c.storeSBOM(ctx, tag, t, whole)
	}
	return nil, c.storeTag(ctx, subject, tag, t, whole)
}

// storeLayers copies the blobs of a tag's manifest. Each layer is evidence of its
// own, and rubbish in one says nothing about the others: such layers are
// dropped from t.doc, and whole is false.
func (c *copyEvidence) storeLayers(ctx context.Context, t *tree) (whole bool, err error) {
	c.progress.expect(t.Descriptor)
	for _, d := range t.blobs {
		c.content.blobs.task(d)
	}
	var mu sync.Mutex
	bad := make(map[blobKey]bool)
	err = forEach(ctx, c.copyRun, t.blobs, func(ctx context.Context, d v1.Descriptor) error {
		err := c.content.blobs.copy(ctx, listedBlob{d, t.Descriptor.Digest}, c.o.MaxEvidenceBlob)
		if rubbish(err) {
			mu.Lock()
			defer mu.Unlock()
			bad[blobKey{d.Digest, d.Size}] = true
		}
		return c.pass(d, err)
	})
	t.doc.Layers = slices.DeleteFunc(t.doc.Layers, func(d v1.Descriptor) bool { return bad[blobKey{d.Digest, d.Size}] })
	return len(bad) == 0, err
}

// storeTag writes a tag whose layers are a set: where the destination has the tag
// it gets the layers that it lacks.
func (c *copyEvidence) storeTag(ctx context.Context, subject v1.Hash, tag string, t *tree, whole bool) error {
	_, err := slotted(ctx, c.copyRun, func() (struct{}, error) {
		return struct{}{}, c.putTag(ctx, subject, c.to.Tag(tag), t, whole)
	})
	return err
}

func (c *copyEvidence) putTag(ctx context.Context, subject v1.Hash, tag name.Tag, t *tree, whole bool) error {
	now, err := ReadManifest(ctx, c.dst, tag)
	switch {
	case err == nil && now.Descriptor.Digest == t.Descriptor.Digest:
		c.progress.end(CopyPresent, t.Descriptor, "")
		return nil
	case Unreadable(err) && !seemsAbsent(ctx, c.dst, tag, err):
		return err
	case len(t.doc.Layers) == 0:
		c.progress.end(CopyIgnored, t.Descriptor, "it holds no evidence")
		return nil
	}
	// Others may write the tag at the same time. A first write is one like any
	// other: it is looked at again, and both sides' layers count.
	action := CopyMerged
	change := &tagChange{s: c.dst, tag: tag, adds: true, merge: func(held heldTag) (*Manifest, error) {
		if held.doc == nil && whole {
			action = CopyDone
			return &t.Manifest, nil
		}
		next, err := withLayers(ctx, c.dst, subject, tag, held.doc, t.doc.Layers)
		if next != nil {
			action = CopyMerged
		}
		return next, err
	}}
	if _, err := change.run(ctx); err != nil {
		return err
	}
	c.written(layersCheck(c.dst, tag, subject, t.doc.Layers))
	c.progress.end(action, t.Descriptor, "")
	return nil
}

// storeSBOM writes a .sbom tag. It holds one document, which cannot be merged with
// another: that of the destination stays.
func (c *copyEvidence) storeSBOM(ctx context.Context, tag string, t *tree, whole bool) ([]v1.Hash, error) {
	if !whole {
		return nil, nil // told already
	}
	at := c.to.Tag(tag)
	now, err := slotted(ctx, c.copyRun, func() (Manifest, error) { return ReadManifest(ctx, c.dst, at) })
	there := []v1.Hash{t.Descriptor.Digest}
	switch {
	case err == nil && now.Descriptor.Digest == t.Descriptor.Digest:
		c.progress.end(CopyPresent, t.Descriptor, "")
		return there, nil
	case Unreadable(err):
		if !seemsAbsent(ctx, c.dst, at, err) {
			return nil, err
		}
		if absent := staysAbsent(ctx, c.dst, at, t.Manifest); errors.Is(absent, ErrConflict) {
			return c.otherSBOM(tag, t)
		} else if absent != nil {
			return nil, err
		}
	case !errors.Is(err, ErrNotFound):
		return c.otherSBOM(tag, t)
	}
	_, err = slotted(ctx, c.copyRun, func() (PushReport, error) {
		return c.dst.PushManifest(ctx, at, t.Manifest, PushOptions{IfAbsent: true})
	})
	switch {
	case errors.Is(err, ErrConflict): // another writer was faster
		return c.otherSBOM(tag, t)
	case err != nil:
		return nil, err
	}
	c.written(tagCheck(c.dst, at, t.Descriptor.Digest))
	c.progress.end(CopyDone, t.Descriptor, "")
	return there, nil
}

func (c *copyEvidence) otherSBOM(tag string, t *tree) ([]v1.Hash, error) {
	c.progress.end(CopyIgnored, t.Descriptor, "the destination has another under "+tag)
	return nil, nil
}
