package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// CopyOptions configure Copy. The zero value copies the image and all of its
// evidence.
type CopyOptions struct {
	// NoEvidence leaves the evidence behind. False: it is copied.
	NoEvidence bool
	// EvidenceOnly copies the evidence alone; the image must be at the
	// destination already, and no tag is set. False: the image is copied too.
	EvidenceOnly bool
	// Concurrency is how many requests are under way at once. Zero: 4.
	Concurrency int
	// MaxManifests bounds the manifests of the image: itself, and what it lists
	// if it is an index. Zero: 1000.
	MaxManifests int
	// MaxEvidence bounds the manifests that carry evidence. Zero: 10,000.
	MaxEvidence int
	// MaxEvidenceBlob bounds one blob of evidence, in bytes. Larger ones are
	// passed over with their manifest. Zero: 1 GiB.
	MaxEvidenceBlob int64
	// Progress is told what happens, by one call at a time; it must be quick,
	// since copying waits for it, and must not wait for the copy. Nil: events are dropped.
	Progress func(CopyEvent)
}

func (o CopyOptions) withDefaults() CopyOptions {
	o.Concurrency = cmp.Or(o.Concurrency, 4)
	o.MaxManifests = cmp.Or(o.MaxManifests, 1000)
	o.MaxEvidence = cmp.Or(o.MaxEvidence, 10_000)
	o.MaxEvidenceBlob = cmp.Or(o.MaxEvidenceBlob, 1<<30)
	return o
}

// CopyAction is what happened to something that Copy met.
type CopyAction string

// The actions.
const (
	// CopyStarted: a part of the bytes of a blob was sent.
	CopyStarted CopyAction = "copying"
	// CopyDone: it was copied.
	CopyDone CopyAction = "copied"
	// CopyPresent: the destination had it.
	CopyPresent CopyAction = "present"
	// CopyMounted: the registry took it from another of its repositories.
	CopyMounted CopyAction = "mounted"
	// CopyMerged: its layers were added to those of a tag at the destination.
	CopyMerged CopyAction = "merged"
	// CopyIgnored: it was not copied, for the reason that Detail says: a layer
	// that is to be had elsewhere, or evidence that is none.
	CopyIgnored CopyAction = "ignored"
)

// CopyEvent is one step of a copy.
type CopyEvent struct {
	// Action says what happened.
	Action CopyAction
	// Content describes to what, as far as it is known; of what was found by a
	// tag that could not be read, nothing is.
	Content v1.Descriptor
	// Detail explains, as text that is safe to print. Often empty.
	Detail string
	// Done and Total count what has been dealt with, and what is known by now
	// to be dealt with: manifests and blobs, and the bytes in them. Total grows
	// while more is found; Done stays behind it where evidence was ignored.
	Done, Total CopyCount
}

// CopyCount counts manifests and blobs and their bytes.
type CopyCount struct {
	Items int
	Bytes int64
}

// Copy copies an image, or an index with all that it lists, with its blobs and
// all of its evidence, and returns its digest at the destination. Manifests and
// blobs are copied byte for byte: every digest stays and every signature holds. src and dst are registries or layouts in any combination. If to is a
// digest it must be that of the image, and no tag is set.
//
// The evidence of a manifest is what Evidence reads, and more: its referrers of
// every type, and the tags sha256-<hex>.sig, .att and .sbom. Copied is that of
// the image, of each manifest listed in it, and of those referrers themselves.
// What the destination has is never dropped: lists are merged, and so are the
// layers of a .sig or .att tag; another .sbom tag is kept. Where the destination
// does not index referrers, the fallback tag is kept up to date.
//
// The order is blobs, what is listed, the image by its digest, its evidence, and
// last, once all of it has been read back, the tag. A copy that was interrupted
// thus leaves the tag as it was, and another attempt sends only what is missing:
// each blob and manifest is asked for first.
//
// What a registry says about a push is not believed. Read back and compared are:
//   - each manifest, the layers under the tags .sig and .att, and the tag itself;
//   - the list of referrers of each manifest that got one;
//   - blobs of evidence up to 32 MiB, and every blob up to 64 KiB, in full.
//
// A larger blob that was sent is opened, and not read to its end: clients verify
// it. One that the destination said it has is not asked for again.
//
// An attacker who may push to the source may have left rubbish among the evidence:
// entries that lead nowhere, manifests about something else, blobs that are not
// what they should be. It is passed over, with an event. But where evidence, or
// the list of it, could not be read (see Unreadable), and where the destination
// refuses it, the copy fails: nothing is lost in silence.
//
// Layers that need not be in a registry (of a non-distributable media type, or
// with "urls") are copied if the source has them; their urls are never asked.
//
// Verified: every byte against the digest that leads to it. Not verified: any
// signature. Errors are those of the stores, ErrMalformed where a manifest is not
// what its descriptor says, ErrTooMany and ErrTooLarge beyond the limits,
// ErrNotConfirmed where the destination does not give back what was written to it:
// the error names what.
func Copy(ctx context.Context, src Reader, from name.Reference, dst Store, to name.Reference, o CopyOptions) (name.Digest, error) {
	if o.NoEvidence && o.EvidenceOnly {
		return name.Digest{}, &Error{Op: "copy", Ref: safe(from.Identifier()), Kind: ErrReference,
			Detail: "neither the image nor its evidence is to be copied"}
	}
	o = o.withDefaults()
	c := newCopier(&copyRun{
		src: src, dst: dst, from: from.Context(), to: to.Context(), o: o,
		slots: make(chan struct{}, o.Concurrency), progress: progress{report: o.Progress},
	})
	root, err := c.readSource(ctx, from)
	if err != nil {
		return name.Digest{}, err
	}
	at := c.to.Digest(root.Descriptor.Digest.String())
	if d, ok := to.(name.Digest); ok && d.DigestStr() != at.DigestStr() {
		return name.Digest{}, c.fail(root.Descriptor.Digest, ErrDigestMismatch, "the image is another than the one to be written, "+safe(d.DigestStr()), nil)
	}
	if err := c.run(ctx, root, to); err != nil {
		return name.Digest{}, err
	}
	return at, nil
}

// copyRun is what the parts of one run of Copy share.
type copyRun struct {
	src      Reader
	dst      Store
	from, to name.Repository
	o        CopyOptions
	slots    chan struct{} // one for each request under way
	progress progress

	writing sync.Mutex
	checks  []check // of what was written
}

// copier is one run of Copy.
type copier struct {
	*copyRun
	content  *copyContent
	lists    *copyLists
	evidence *copyEvidence
}

func newCopier(run *copyRun) *copier {
	lists := &copyLists{copyRun: run, all: make(map[v1.Hash]*destinationList)}
	content := &copyContent{copyRun: run, lists: lists, blobs: &copyBlobs{copyRun: run, tasks: make(map[blobKey]*blobTask)}}
	return &copier{run, content, lists, &copyEvidence{copyRun: run, content: content, lists: lists, levels: make(map[v1.Hash]int)}}
}

// run copies root, and makes to name it.
func (c *copier) run(ctx context.Context, root Manifest, to name.Reference) error {
	if c.o.EvidenceOnly {
		if err := confirmManifest(ctx, c.dst, c.to, root.Descriptor); err != nil {
			return err
		}
	}
	image, err := c.content.load(ctx, root)
	if err != nil {
		return err
	}
	if !c.o.EvidenceOnly {
		if err := c.content.store(ctx, image, ofImage); err != nil {
			return err
		}
	}
	if !c.o.NoEvidence {
		err := forEach(ctx, c.copyRun, image.all(), func(ctx context.Context, t *tree) error {
			return c.evidence.of(ctx, t.Descriptor.Digest, 1)
		})
		if err != nil {
			return err
		}
	}
	if err := c.lists.write(ctx); err != nil {
		return err
	}
	if err := c.readBack(ctx); err != nil || c.o.EvidenceOnly {
		return err
	}
	if err := c.confirm(ctx, root.Descriptor); err != nil {
		return err
	}
	return c.publish(ctx, to, root)
}

// confirm asks how the destination describes the image. Its bytes have been read.
func (c *copier) confirm(ctx context.Context, root v1.Descriptor) error {
	got, err := c.dst.Resolve(ctx, c.to.Digest(root.Digest.String()))
	if err != nil {
		return err
	}
	if !oci.SameContent(got, root) {
		return c.fail(root.Digest, ErrNotConfirmed, "the destination describes it as something else", nil)
	}
	return nil
}

// readBack reads back all that this copy has written but the image's tag.
func (c *copier) readBack(ctx context.Context) error {
	for subject, l := range c.lists.all {
		if len(l.copied) > 0 {
			c.written(check{subject, "the list of referrers", func(ctx context.Context) error { return c.lists.confirm(ctx, subject, l) }})
		}
	}
	return readBack(ctx, c.checks, c.o.Concurrency)
}

// publish makes to name the image, which is complete by now.
func (c *copier) publish(ctx context.Context, to name.Reference, root Manifest) error {
	tag, ok := to.(name.Tag)
	if !ok {
		if l, ok := c.dst.(Lister); ok {
			return l.ListManifest(ctx, root)
		}
		return nil
	}
	report, err := c.dst.PushManifest(ctx, tag, root, PushOptions{})
	if err != nil || report.Atomic {
		return err // a store in this process has it, or says why not
	}
	return ConfirmTag(ctx, c.dst, tag, root.Descriptor.Digest)
}

// readSource reads a manifest. What a store returns is checked again.
func (c *copyRun) readSource(ctx context.Context, ref name.Reference) (Manifest, error) {
	m, err := slotted(ctx, c, func() (Manifest, error) { return c.src.Manifest(ctx, ref) })
	if err == nil {
		m, err = describeChecked(m, ref)
	}
	if err != nil {
		return Manifest{}, sourceError{err}
	}
	return m, nil
}

func (c *copyRun) fail(h v1.Hash, kind Kind, detail string, err error) error {
	return &Error{Op: "copy", Ref: h.String(), Kind: kind, Detail: detail, Err: err}
}

// written notes what is to be read back at the end of a copy, by one of the
// requests that may be under way.
func (c *copyRun) written(k check) {
	look := k.look
	k.look = func(ctx context.Context) error {
		_, err := slotted(ctx, c, func() (struct{}, error) { return struct{}{}, look(ctx) })
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.checks = append(c.checks, k)
}

// sourceError marks an error that lies in what the source holds. In evidence,
// anyone may have put it there.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// rubbish reports whether the source did answer, and what it has is not evidence.
func rubbish(err error) bool {
	var of sourceError
	return errors.As(err, &of) && !Unreadable(err)
}

// slotted runs f once one of the requests that may be under way is free.
func slotted[T any](ctx context.Context, c *copyRun, f func() (T, error)) (T, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		var zero T
		return zero, ended(ctx, "copy")
	}
	defer func() { <-c.slots }()
	return f()
}

// ended is the error of what the end of a context has cut off.
func ended(ctx context.Context, op string) error {
	return &Error{Op: op, Kind: ErrUnavailable, Err: ctx.Err()}
}

// forEach calls f for each element, as many at once as requests may be. The first
// error cancels the others and is returned once all have ended.
func forEach[T any](ctx context.Context, c *copyRun, all []T, f func(context.Context, T) error) error {
	return eachOf(ctx, "copy", c.o.Concurrency, all, f)
}

// eachOf is forEach for so many at once.
func eachOf[T any](ctx context.Context, op string, most int, all []T, f func(context.Context, T) error) error {
	err := parallel.Each(ctx, most, slices.Values(all), f)
	if err != nil && err == ctx.Err() {
		return ended(ctx, op)
	}
	return asError(op, "", err)
}
