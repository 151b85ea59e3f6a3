package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/bundle"
	"github.com/hallmark-oci/hallmark/internal/evidence"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/oci"
	"github.com/hallmark-oci/hallmark/internal/simplesigning"
)

// Format is the wire format of one piece of evidence.
type Format string

// The formats. What each is called in the wild stands behind it.
const (
	// FormatBundle is a Sigstore bundle (cosign v3; sigstore bundle v0.1 to v0.3).
	FormatBundle Format = "bundle"
	// FormatSimpleSigning is a payload with its signature in an annotation
	// (cosign v1 and v2, podman, skopeo).
	FormatSimpleSigning Format = "simple-signing"
	// FormatEnvelope is a bare DSSE envelope (cosign attest, v1 and v2).
	FormatEnvelope Format = "dsse-envelope"
	// FormatStatement is an in-toto statement that nobody has signed (BuildKit).
	// IndexEvidence alone yields it.
	FormatStatement Format = "statement"
	// FormatOther is a referrer that this package does not read, or the first
	// such layer of a manifest: there may be many, and nothing is made of them.
	FormatOther Format = "other"
)

// Place is where evidence was found.
type Place string

// The places that are looked at.
const (
	// PlaceReferrers is the referrers API, or its fallback tag sha256-<hex>.
	PlaceReferrers Place = "referrers"
	// PlaceSignatureTag is cosign's tag sha256-<hex>.sig.
	PlaceSignatureTag Place = "signature tag"
	// PlaceAttestationTag is cosign's tag sha256-<hex>.att.
	PlaceAttestationTag Place = "attestation tag"
	// PlaceIndex is an entry of an index; see IndexEvidence.
	PlaceIndex Place = "index entry"
)

// Item is one piece of evidence, as found. Nothing about it is trusted: its
// bytes hash to their digests, and its manifest names the subject, no more.
type Item struct {
	// Place and Format say where it was found and how it is to be read.
	Place  Place
	Format Format
	// Manifest describes the manifest that carries it.
	Manifest v1.Descriptor
	// ManifestAnnotations are those of the carrying manifest.
	ManifestAnnotations map[string]string
	// Layer describes the payload, with the layer's annotations. Zero in
	// FormatOther referrers, which are not fetched.
	Layer v1.Descriptor
	// Payload is the layer's content; nil in FormatOther.
	Payload []byte
	// Describes is the manifest of the index that an item of PlaceIndex is about.
	// Zero in other places: those items are about the subject asked for.
	Describes v1.Hash
	// Open gives Attach the content of a payload that is nil, once per attempt.
	// Evidence leaves it nil.
	Open func() (io.ReadCloser, error)
}

// Limits bound what Evidence and IndexEvidence read. For each field, zero means
// the default.
type Limits struct {
	// MaxItems is how many pieces of evidence are read, whether reading them
	// succeeds or not. Default 1000.
	MaxItems int
	// MaxReferrers is how many entries of the referrers list, or of the index,
	// are looked at, evidence or not. Default 10,000.
	MaxReferrers int
	// MaxPayloadBytes bounds one payload. Default 32 MiB.
	MaxPayloadBytes int64
	// MaxTotalBytes bounds all payloads together. Default 128 MiB. The manifests
	// that carry them have 128 MiB of their own.
	MaxTotalBytes int64
	// Concurrency is how many reads are under way at once. Default 32.
	Concurrency int
}

// WithDefaults returns the limits that hold: each that is zero by its default.
func (l Limits) WithDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.MaxItems, 1000)
	set(&l.MaxReferrers, 10_000)
	set(&l.Concurrency, 32)
	if l.MaxPayloadBytes <= 0 {
		l.MaxPayloadBytes = 32 << 20
	}
	if l.MaxTotalBytes <= 0 {
		l.MaxTotalBytes = 128 << 20
	}
	return l
}

// Unreadable reports whether an error of Evidence (or of any Store) says that
// something could not be read, so that asking again may give another answer.
// Where it is false, the store has answered: there is no such thing, or it is
// not what it must be. An HTTP status other than 404, redirects without end and a
// web page in place of content are no such answer, whatever the error's kind.
func Unreadable(err error) bool {
	if errors.Is(err, errNoAnswer) {
		return true
	}
	for _, definite := range []Kind{
		ErrNotFound, ErrMalformed, ErrDigestMismatch, ErrTooLarge, ErrTooMany, ErrUnsupported, ErrReference,
	} {
		if errors.Is(err, definite) {
			return false
		}
	}
	return err != nil
}

// Evidence gathers what is attached to subject in the places given (those of others
// are found otherwise: IndexEvidence); none: the .sig tag, the .att tag, and the
// referrers, bundles and others. The places are probed
// at the same time and what they list is fetched in parallel, so that the round
// trips in sequence are those of one item; items come in the order of the places
// and of their lists, whatever arrives first. The tags come first: what they hold
// can be there one round trip earlier.
//
// An error beside an Item says that this place (Format is then empty) or this
// one piece could not be read or is malformed; the sequence goes on. Use
// Unreadable to tell the two apart. What is absent is not reported. An error
// that is ErrTooMany or ErrTooLarge by a limit, or ends with the context, is
// the last of the sequence. Breaking off the iteration cancels what is under way.
//
// Verified: payloads against the digest in their manifest, manifests against
// the digest in the list, and their subject against subject. Not verified: any
// signature, and that the lists are complete.
func Evidence(ctx context.Context, r Reader, subject name.Digest, limits Limits, places ...Place) iter.Seq2[Item, error] {
	return gather(ctx, r, subject, limits, func(ctx context.Context, g *gatherer) []listing {
		if len(places) == 0 {
			places = []Place{PlaceSignatureTag, PlaceAttestationTag, PlaceReferrers}
		}
		all := make([]listing, 0, len(places))
		for _, place := range places {
			all = append(all, g.place(ctx, place))
		}
		return all
	})
}

// gather yields what the places hold; search starts to look at them.
func gather(ctx context.Context, r Reader, subject name.Digest, limits Limits, search func(context.Context, *gatherer) []listing) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		digest, err := HashOf(subject)
		if err != nil {
			yield(Item{}, err)
			return
		}
		reading, cancel := context.WithCancel(ctx)
		ctx, leave := context.WithCancel(ctx)
		g := &gatherer{
			r: r, subject: subject, digest: digest, limits: limits.WithDefaults(), reading: reading,
		}
		g.slots = make(chan struct{}, g.limits.Concurrency)
		g.parsing = make(chan struct{}, min(parallelParsing, g.limits.Concurrency))
		defer func() {
			leave()
			g.end(cancel)
		}()
		g.deliver(ctx, search(ctx, g), yield)
	}
}

// Manifests are bounded in all, and few are parsed at the same time.
const (
	maxManifestsBytes = 128 << 20
	parallelParsing   = 2
)

// grace is how long what is under way may take to end by itself once nobody wants
// it any more: a request that is cancelled costs its connection. Requests that
// were sent side by side are answered at about the same time.
const grace = 5 * time.Millisecond

// end waits for what is under way.
func (g *gatherer) end(cancel func()) {
	timer := time.AfterFunc(grace, cancel)
	g.wg.Wait()
	timer.Stop()
	cancel()
}

// found is one element of the sequence; a future of it lets fetches overlap
// while their order stays.
type (
	found struct {
		item Item
		err  error
		last bool // nothing may follow: a limit was reached
		// unread: the payload was not fetched ahead, since what was fetched is
		// all that may be held.
		unread bool
		// manifest, where it is not zero, tells only how large the manifest is
		// that was fetched.
		manifest int64
	}
	future  chan found    // one manifest's items, closed after the last
	listing chan (future) // one place's manifests, closed after the last
)

type gatherer struct {
	r       Reader
	subject name.Digest
	digest  v1.Hash
	limits  Limits
	// reading is the context of requests. It ends a little later than that of
	// the rest, which ends when nobody reads on.
	reading context.Context
	slots   chan struct{}
	ahead   atomic.Int64 // bytes of payloads that are fetched before their turn
	// parsing is taken while a manifest is parsed, which takes many times its
	// size in memory.
	parsing chan struct{}
	wg      sync.WaitGroup
}

func (g *gatherer) spawn(f func()) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		f()
	}()
}

// slot waits for one of the concurrent reads to be free.
func (g *gatherer) slot(ctx context.Context) (release func(), err error) {
	select {
	case g.slots <- struct{}{}:
		if ctx.Err() != nil {
			<-g.slots
			return nil, ctx.Err()
		}
		return func() { <-g.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *gatherer) deliver(ctx context.Context, places []listing, yield func(Item, error) bool) {
	items, size, manifests := 0, int64(0), int64(0)
	for _, place := range places {
		for manifest := range place {
			for f := range manifest {
				if manifests += f.manifest; manifests > maxManifestsBytes {
					yield(Item{}, g.tooMany(fmt.Sprintf("manifests of more than %d bytes", maxManifestsBytes)))
					return
				}
				if f.manifest > 0 {
					continue
				}
				if f.item.Format != "" && f.item.Format != FormatOther {
					items++
				}
				if items > g.limits.MaxItems {
					yield(Item{Place: f.item.Place}, g.tooMany(fmt.Sprintf("more than %d pieces of evidence", g.limits.MaxItems)))
					return
				}
				if ctx.Err() != nil {
					yield(Item{Place: f.item.Place}, ctx.Err())
					return
				}
				if f.unread || f.item.Payload != nil {
					size += f.item.Layer.Size
				}
				if size > g.limits.MaxTotalBytes {
					yield(f.item, g.tooMany(fmt.Sprintf("more than %d bytes of evidence", g.limits.MaxTotalBytes)))
					return
				}
				if f.unread {
					f.item.Payload, f.err = g.readPayload(ctx, f.item)
				}
				if !yield(f.item, f.err) || f.last {
					return
				}
			}
		}
	} // What was under way gives up in silence when the context ends: a sequence
	// that was cut short must not look complete.
	if err := ctx.Err(); err != nil {
		yield(Item{}, err)
	}
}

func (g *gatherer) tooMany(detail string) error {
	return &Error{Op: "read evidence of", Ref: SafeText(g.subject.String(), maxErrorText), Kind: ErrTooMany, Detail: detail}
}

// single is a future that holds one element.
func single(f found) future {
	c := make(future, 1)
	c <- f
	close(c)
	return c
}

// send gives up where the consumer has gone.
func send[T any](ctx context.Context, to chan T, v T) bool {
	select {
	case to <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

func (g *gatherer) referrers(ctx context.Context) listing {
	out := make(listing, g.limits.Concurrency)
	g.spawn(func() {
		defer close(out)
		_, err := caught("list referrers of", text(g.subject), func() (struct{}, error) { return struct{}{}, g.listReferrers(ctx, out) })
		if err != nil {
			send(ctx, out, single(found{item: Item{Place: PlaceReferrers}, err: err, last: errors.Is(err, ErrTooMany)}))
		}
	})
	return out
}

// listReferrers sends what is listed, until there is an error or nobody wants more.
func (g *gatherer) listReferrers(ctx context.Context, out listing) error {
	seen := make(map[v1.Hash]bool)
	n := 0
	for desc, err := range g.r.Referrers(g.reading, g.subject) {
		if err != nil {
			return err
		}
		if n++; n > g.limits.MaxReferrers {
			return g.tooMany(fmt.Sprintf("more than %d referrers", g.limits.MaxReferrers))
		}
		if seen[desc.Digest] {
			continue
		}
		seen[desc.Digest] = true
		if !send(ctx, out, g.referrer(ctx, desc)) {
			return nil
		}
	}
	return nil
}

// mayBeEvidence decides by the artifactType of a referrers list whether a
// manifest is worth fetching. Some registries report config.mediaType instead,
// so that the types which evidence manifests give their config count too.
func mayBeEvidence(artifactType string) bool {
	switch artifactType {
	case "", oci.MediaTypeEmpty, oci.MediaTypeConfig, evidence.EnvelopeMediaType, "application/vnd.in-toto+json":
		return true
	}
	return strings.HasPrefix(artifactType, "application/vnd.dev.sigstore.bundle") ||
		strings.HasPrefix(artifactType, "application/vnd.dev.cosign.")
}

func (g *gatherer) referrer(ctx context.Context, desc v1.Descriptor) future {
	item := Item{Place: PlaceReferrers, Manifest: desc, ManifestAnnotations: desc.Annotations}
	if !mayBeEvidence(desc.ArtifactType) {
		item.Format = FormatOther
		return single(found{item: item})
	}
	return g.manifest(ctx, item, g.subject.Context().Digest(desc.Digest.String()))
}

func (g *gatherer) place(ctx context.Context, place Place) listing {
	switch place {
	case PlaceSignatureTag:
		return g.tag(ctx, place, ".sig")
	case PlaceAttestationTag:
		return g.tag(ctx, place, ".att")
	case PlaceReferrers:
		return g.referrers(ctx)
	}
	none := make(listing)
	close(none)
	return none
}

func (g *gatherer) tag(ctx context.Context, place Place, suffix string) listing {
	out := make(listing, 1)
	ref := g.subject.Context().Tag(digestTag(g.digest) + suffix)
	out <- g.manifest(ctx, Item{Place: place}, ref)
	close(out)
	return out
}

// digestTag is the digest in the form of a tag: that of the fallback tag, and with
// a suffix that of cosign's tags.
func digestTag(h v1.Hash) string { return h.Algorithm + "-" + h.Hex }

// manifest fetches one manifest and what it carries. in says where it was
// found.
func (g *gatherer) manifest(ctx context.Context, in Item, ref name.Reference) future {
	out := make(future, 1)
	g.spawn(func() {
		defer close(out)
		m, doc, err := g.readManifest(ctx, ref, in.Manifest)
		if errors.Is(err, ErrNotFound) && in.Place != PlaceReferrers {
			return // no such tag: nothing is attached this way
		}
		if n := int64(len(m.Bytes)); n > 0 && !send(ctx, out, found{manifest: n}) {
			return
		}
		if err != nil {
			send(ctx, out, found{item: in, err: err})
			return
		}
		g.layers(ctx, out, in.carriedBy(m, doc), doc)
	})
	return out
}

// carriedBy says of an item which manifest carries it.
func (i Item) carriedBy(m Manifest, doc *oci.Document) Item {
	listedAs := i.Manifest.ArtifactType
	i.Manifest = m.Descriptor
	i.Manifest.ArtifactType = cmp.Or(doc.ArtifactType, listedAs)
	i.ManifestAnnotations = doc.Annotations
	return i
}

// readManifest reads a manifest of evidence; entry is how a list describes it, if
// one does.
func (g *gatherer) readManifest(ctx context.Context, ref name.Reference, entry v1.Descriptor) (Manifest, *oci.Document, error) {
	m, doc, err := g.parseManifest(ctx, ref, entry)
	if err != nil {
		return m, nil, err
	}
	if !isAbout(doc, g.digest, ref) {
		return m, nil, g.malformed(ref, "its subject is another manifest")
	}
	return m, doc, nil
}

// isAbout reports whether the manifest that ref names is read as evidence about a
// digest: its subject says so, or, where it has none, the tag that it has.
func isAbout(doc *oci.Document, digest v1.Hash, ref name.Reference) bool {
	if doc.Subject == nil {
		_, byTag := ref.(name.Tag)
		return byTag
	}
	return doc.Subject.Digest == digest
}

func (g *gatherer) fetchManifest(ctx context.Context, ref name.Reference) (Manifest, error) {
	release, err := g.slot(ctx)
	if err != nil {
		return Manifest{}, err
	}
	defer release()
	return caught("read manifest", text(ref), func() (Manifest, error) { return ReadManifest(g.reading, g.r, ref) })
}

// parseManifest parses what the list repeats of a manifest, or else fetches it.
func (g *gatherer) parseManifest(ctx context.Context, ref name.Reference, entry v1.Descriptor) (Manifest, *oci.Document, error) {
	m, whole := fromEntry(g.digest, entry)
	if !whole {
		var err error
		if m, err = g.fetchManifest(ctx, ref); err != nil {
			return m, nil, err
		}
	}
	g.parsing <- struct{}{}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	<-g.parsing
	if err != nil {
		return m, nil, g.malformed(ref, err.Error())
	}
	return m, doc, nil
}

func (g *gatherer) malformed(ref name.Reference, detail string) error {
	return &Error{Op: "read evidence", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrMalformed, Detail: SafeText(detail, maxErrorText)}
}

// layers sends each layer's evidence in order, fetching them side by side.
func (g *gatherer) layers(ctx context.Context, out future, in Item, doc *oci.Document) {
	pending := make([]future, 0, min(len(doc.Layers), g.limits.MaxItems+1))
	others := false
	for i, layer := range doc.Layers {
		if i > g.limits.MaxItems {
			err := g.tooMany(fmt.Sprintf("a manifest of %d layers", len(doc.Layers)))
			pending = append(pending, single(found{item: in, err: err, last: true}))
			break
		}
		item := in
		item.Layer = layer
		item.Format = formatOf(in.Place, string(layer.MediaType))
		if item.Format == FormatOther {
			if !others {
				pending = append(pending, single(found{item: item}))
			}
			others = true
			continue
		}
		pending = append(pending, g.payload(ctx, item))
	}
	if len(doc.Layers) == 0 {
		in.Format = FormatOther
		pending = append(pending, single(found{item: in}))
	}
	for _, p := range pending {
		for f := range p {
			if !send(ctx, out, f) {
				return
			}
		}
	}
}

func formatOf(place Place, layerMediaType string) Format {
	switch {
	case place == PlaceIndex && layerMediaType == statementMediaType:
		return FormatStatement
	case place == PlaceIndex: // what is signed refers to what it is about
		return FormatOther
	case bundle.IsMediaType(layerMediaType):
		return FormatBundle
	case layerMediaType == simplesigning.LayerMediaType:
		return FormatSimpleSigning
	case layerMediaType == evidence.EnvelopeMediaType:
		return FormatEnvelope
	}
	return FormatOther
}

// payload fetches a layer. What is larger than one may be is left out of the
// count: otherwise a single descriptor could crowd out all that is good.
func (g *gatherer) payload(ctx context.Context, item Item) future {
	if item.Layer.Size <= g.limits.MaxPayloadBytes && g.ahead.Add(item.Layer.Size) > g.limits.MaxTotalBytes {
		return single(found{item: item, unread: true})
	}
	out := make(future, 1)
	g.spawn(func() {
		defer close(out)
		f := found{item: item}
		f.item.Payload, f.err = g.readPayload(ctx, item)
		out <- f
	})
	return out
}

func (g *gatherer) readPayload(ctx context.Context, item Item) ([]byte, error) {
	data, err := g.readLayer(ctx, item.Layer)
	if err == nil && item.Format == FormatStatement {
		err = g.checkStatement(item, data)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (g *gatherer) readLayer(ctx context.Context, layer v1.Descriptor) ([]byte, error) {
	ref := g.subject.Context().Digest(layer.Digest.String())
	if layer.Size > g.limits.MaxPayloadBytes {
		return nil, &Error{Op: "read evidence", Ref: ref.String(), Kind: ErrTooLarge,
			Detail: fmt.Sprintf("%d bytes, the limit is %d", layer.Size, g.limits.MaxPayloadBytes)}
	}
	if inline(layer) {
		return layer.Data, nil
	}
	release, err := g.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return caught("read blob", text(ref), func() ([]byte, error) { return ReadBlob(g.reading, g.r, ref, layer.Size) })
}

// inline reports whether the descriptor carries its own content; content that
// is not what the descriptor says is not used.
func inline(d v1.Descriptor) bool {
	if len(d.Data) == 0 || int64(len(d.Data)) != d.Size {
		return false
	}
	return hashOf(d.Data) == d.Digest
}

// ReadBlob reads a whole blob of a known size, and checks it against its
// digest, whatever the Reader did. A blob of another size is ErrTooLarge or
// ErrDigestMismatch.
func ReadBlob(ctx context.Context, r Reader, ref name.Digest, size int64) ([]byte, error) {
	want, err := HashOf(ref)
	if err != nil {
		return nil, err
	}
	fail := func(kind Kind, err error) error {
		return &Error{Op: "read blob", Ref: SafeText(ref.String(), maxErrorText), Kind: kind, Err: err}
	}
	body, err := r.Blob(ctx, ref, size)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end, or failed already
	data, err := limit.ReadAll(body, size)
	switch {
	case errors.Is(err, limit.ErrExceeded):
		return nil, fail(ErrTooLarge, err)
	case err != nil:
		return nil, err
	}
	if hashOf(data) != want {
		return nil, fail(ErrDigestMismatch, nil)
	}
	return data, nil
}

// ReadManifest reads a manifest and computes its digest and size from its bytes,
// whatever the Reader did; where ref is a digest, other bytes are
// ErrDigestMismatch.
func ReadManifest(ctx context.Context, r Reader, ref name.Reference) (Manifest, error) {
	m, err := r.Manifest(ctx, ref)
	if err != nil {
		return Manifest{}, err
	}
	return describeChecked(m, ref)
}

// describeChecked recomputes a manifest's digest and size from its bytes, and
// compares them with what was asked for.
func describeChecked(m Manifest, ref name.Reference) (Manifest, error) {
	checked := describe(string(m.Descriptor.MediaType), m.Bytes)
	checked.ETag = m.ETag
	if d, ok := ref.(name.Digest); ok {
		want, err := HashOf(d)
		if err != nil {
			return Manifest{}, err
		}
		if checked.Descriptor.Digest != want {
			return Manifest{}, &Error{Op: "read manifest", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrDigestMismatch}
		}
	}
	return checked, nil
}
