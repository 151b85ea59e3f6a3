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
	// Platform copies one manifest of an index, or of the indexes that it lists: the one that
	// Verifier.Platform would choose. The destination names that manifest. What else the
	// index lists is left out, and so are the index itself and the evidence about it; events
	// say so. ErrReference: it is not an index, or lists none or several manifests for the
	// platform. Nil: all is copied.
	Platform *v1.Platform
	// SourceEvidence and DestinationEvidence are repositories that hold the evidence of
	// either side, apart from the image, as Item.Repository does. The Reader and the Store
	// must serve them. Zero: the repository of the image.
	SourceEvidence, DestinationEvidence name.Repository
	// Concurrency is how many requests are under way at once. Zero: 4.
	Concurrency int
	// MaxManifests bounds the manifests of the image: itself, and what it lists
	// if it is an index. Zero: 1000.
	MaxManifests int
	// MaxEvidence bounds the manifests that carry evidence. Zero: 10,000.
	MaxEvidence int
	// MaxEvidenceBlob bounds one blob of evidence, in bytes. A manifest with a
	// larger blob is skipped, with an event. Zero: 1 GiB.
	MaxEvidenceBlob int64
	// Progress gets each event, one call at a time. Copying waits for it, so it
	// must be quick, and must not wait for the copy. Nil: events are dropped.
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
	// CopyIgnored: it was not copied. Detail says why: it is a layer that need not
	// be in a registry, or garbage among the evidence.
	CopyIgnored CopyAction = "ignored"
)

// CopyEvent is one step of a copy.
type CopyEvent struct {
	// Action says what happened.
	Action CopyAction
	// Content describes to what. It is zero for a tag that could not be read.
	Content v1.Descriptor
	// Detail explains, as text that is safe to print. Often empty.
	Detail string
	// Done and Total count manifests and blobs, and their bytes: those that are
	// finished, and those known so far. Total grows while Copy finds more. Done
	// stays below Total if evidence was ignored.
	Done, Total CopyCount
}

// CopyCount counts manifests and blobs and their bytes.
type CopyCount struct {
	Items int
	Bytes int64
}

// Copy copies an image, or an index with all that it lists, and all of its evidence,
// and returns the digest at the destination. Manifests and blobs are copied byte for
// byte: every digest stays, and every signature holds. src and dst are registries or
// layouts in any combination. If to is a digest, it must be that of the image, and no
// tag is set.
//
// # Evidence
//
// Copied are the referrers of every type and the tags sha256-<hex>.sig, .att and
// .sbom: of the image, of each manifest listed in it, and of those referrers.
//
// CopyOptions name other repositories for evidence that is kept apart, and one platform of
// an index to copy alone. The copy of one platform has the evidence about its manifest: a
// signature of the index alone does not vouch for it.
//
// What the destination has is never dropped. Lists of referrers are merged, and so
// are the layers of a .sig or .att tag; a different .sbom tag is kept. If the
// destination does not index subjects, Copy keeps the fallback tag up to date.
//
// An attacker who may push to the source may have left garbage among the evidence:
// entries that lead nowhere, manifests about other subjects, damaged blobs. Copy skips
// it, with an event. Copy fails if evidence or its list could not be read (see
// [Unreadable]), or if the destination refuses it: it loses nothing in silence.
//
// # Order
//
// Copy writes blobs, then the manifests that an index lists, the image by its digest,
// and its evidence. It reads all of that back, and writes the tag last. An interrupted
// copy leaves the tag as it was. Another attempt sends only what is missing.
//
// # Reading back
//
// Copy compares what the destination returns with what it wrote:
//
//   - each manifest, the layers under the tags .sig and .att, and the tag itself;
//   - the list of referrers of each manifest that got one: manifests that a registry has
//     taken and does not list are pushed again, one by one;
//   - blobs of evidence up to 32 MiB, and every blob up to 64 KiB, in full.
//
// A larger blob that was sent is opened, and not read to its end: clients verify it.
// A larger blob that the destination already has is not read.
//
// Layers that need not be in a registry, because of their media type or "urls", are
// copied if the source has them. Their URLs are never fetched.
//
// # Errors
//
// Every byte is verified against its digest; signatures are not verified. Besides the
// errors of the stores, Copy returns:
//
//   - ErrMalformed: a manifest is not what its descriptor says.
//   - ErrTooMany, ErrTooLarge: a limit of CopyOptions was reached.
//   - ErrNotConfirmed: the destination does not return what was written; the error
//     names it.
func Copy(ctx context.Context, src Reader, from name.Reference, dst Store, to name.Reference, o CopyOptions) (name.Digest, error) {
	if o.NoEvidence && o.EvidenceOnly {
		return name.Digest{}, &Error{Op: "copy", Ref: safe(from.Identifier()), Kind: ErrReference,
			Detail: "neither the image nor its evidence is to be copied"}
	}
	o = o.withDefaults()
	c := newCopier(&copyRun{
		src: src, dst: dst, from: from.Context(), to: to.Context(), o: o,
		slots: make(chan struct{}, o.Concurrency), progress: &progress{report: o.Progress},
	})
	root, err := c.readSource(ctx, from)
	if err == nil && o.Platform != nil {
		root, err = c.choose(ctx, root)
	}
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
	progress *progress

	writing sync.Mutex
	checks  []check // of what was written
}

// copier is one run of Copy.
type copier struct {
	*copyRun
	content  *copyContent
	evidence *copyEvidence
}

func newCopier(run *copyRun) *copier {
	content := newCopyContent(run)
	about := content
	if apart := run.evidence(); apart != run {
		about = newCopyContent(apart)
	}
	return &copier{run, content, &copyEvidence{copyRun: about.copyRun, content: about, lists: about.lists, levels: make(map[v1.Hash]int)}}
}

// evidence is the run between the repositories that hold the evidence: the same one where
// these are the image's.
func (c *copyRun) evidence() *copyRun {
	from, to := cmp.Or(c.o.SourceEvidence, c.from), cmp.Or(c.o.DestinationEvidence, c.to)
	if from == c.from && to == c.to {
		return c
	}
	return &copyRun{src: c.src, dst: c.dst, from: from, to: to, o: c.o, slots: c.slots, progress: c.progress}
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
	for _, part := range c.parts() {
		if err := part.lists.write(ctx); err != nil {
			return err
		}
		if err := part.readBack(ctx); err != nil {
			return err
		}
	}
	if c.o.EvidenceOnly {
		return nil
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

// parts are the runs with what was written: the image's, and the evidence's where that is
// apart.
func (c *copier) parts() []*copyContent {
	if c.evidence.content == c.content {
		return []*copyContent{c.content}
	}
	return []*copyContent{c.content, c.evidence.content}
}

// readBack reads back all that a run has written but the image's tag.
func (c *copyContent) readBack(ctx context.Context) error {
	for subject, l := range c.lists.all {
		if len(l.copied) > 0 {
			c.written(check{
				about: subject, what: "the list of referrers",
				look:  func(ctx context.Context) error { return c.lists.confirm(ctx, subject, l) },
				again: func(ctx context.Context) error { return c.lists.again(ctx, subject, l) },
			})
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
