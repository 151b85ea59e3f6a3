package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// Format is the wire format of one piece of evidence.
type Format string

// The formats, with the tools that write them.
const (
	// FormatBundle is a Sigstore bundle (cosign v3; sigstore bundle v0.1 to v0.3).
	FormatBundle Format = "bundle"
	// FormatSimpleSigning is a payload with its signature in an annotation
	// (cosign v1 and v2, podman, skopeo).
	FormatSimpleSigning Format = "simple-signing"
	// FormatEnvelope is a bare DSSE envelope (cosign attest, v1 and v2).
	FormatEnvelope Format = "dsse-envelope"
	// FormatStatement is an unsigned in-toto statement (BuildKit). Only
	// IndexEvidence yields it.
	FormatStatement Format = "statement"
	// FormatOther is a referrer that this package does not read, or the first
	// such layer of a manifest. It is not fetched.
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
	// PlaceSBOMTag is the tag sha256-<hex>.sbom of "cosign attach sbom". Evidence looks
	// there only where it is asked to: what the tag holds is not signed, and counts
	// nowhere. Its items are FormatOther, one for each manifest.
	PlaceSBOMTag Place = "sbom tag"
	// PlaceIndex is an entry of an index; see IndexEvidence.
	PlaceIndex Place = "index entry"
)

// Item is one piece of evidence, as found. Its bytes hash to their digests, and its
// manifest names the subject. Nothing else about it is verified.
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
	// Open opens the content of a payload that is nil; each call reads it from its start.
	// Attach calls it once per attempt. Evidence sets it for payloads above
	// Limits.OpenAbove. What that yields has been verified once it has ended in io.EOF.
	Open func() (io.ReadCloser, error)
	// Repository is where Attach writes it, if evidence is kept apart from images; see
	// EvidenceIn. Zero: the subject's repository. Evidence leaves it zero.
	Repository name.Repository
}

// ID identifies the item among the evidence of one image. Only equal items of one place and
// manifest share an ID. It is not a digest of the content: Layer names that.
func (i Item) ID() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q", i.Place, i.Manifest.Digest, i.Layer.MediaType, i.Layer.Digest)
	for _, k := range slices.Sorted(maps.Keys(i.Layer.Annotations)) {
		fmt.Fprintf(h, " %q %q", k, i.Layer.Annotations[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Limits bound what Evidence and IndexEvidence read. For each field, zero means the
// default. Each place has its own limits: garbage in one place takes nothing from the
// others.
type Limits struct {
	// MaxItems is how many pieces of evidence of one place are read, including
	// those that cannot be read. Default 10,000. By default, four pieces of each
	// referrer, of 64 KiB in all, do not count: one referrer hides no other.
	MaxItems int
	// MaxReferrers is how many entries of the referrers list, or of the index,
	// are looked at, evidence or not. Default 10,000.
	MaxReferrers int
	// MaxPayloadBytes bounds one payload. Default 32 MiB.
	MaxPayloadBytes int64
	// MaxTotalBytes bounds all payloads of one place together. Default 128 MiB, or
	// four times MaxPayloadBytes if that is more. By default payloads of up to 64 KiB
	// do not count. The manifests that carry payloads have 128 MiB of their own, in
	// which those of up to 64 KiB do not count.
	MaxTotalBytes int64
	// OpenAbove is from what size, in bytes, payloads are not read: Item.Payload is nil,
	// and Item.Open opens the content. Such payloads do not count for MaxTotalBytes. A
	// larger one than MaxPayloadBytes is still an error. Zero: all are read.
	OpenAbove int64
	// Concurrency is how many reads are under way at once. Default 32.
	Concurrency int
}

// WithDefaults returns the limits with the default in place of each zero.
func (l Limits) WithDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.MaxItems, 10_000)
	set(&l.MaxReferrers, 10_000)
	set(&l.Concurrency, 32)
	if l.MaxPayloadBytes <= 0 {
		l.MaxPayloadBytes = 32 << 20
	}
	if l.MaxTotalBytes <= 0 {
		l.MaxTotalBytes = max(128<<20, 4*min(l.MaxPayloadBytes, math.MaxInt64/4))
	}
	return l
}

// Unreadable reports whether an error of Evidence, or of any Store, says that content
// could not be read: asking again may give another answer. It is false for nil, and
// where the store has answered that the content does not exist or is not what it must
// be. An HTTP status other than 404, a redirect loop and a web page in place of content
// are not answers, whatever the error's kind.
func Unreadable(err error) bool {
	if errors.Is(err, errUnanswered) {
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

// Evidence gathers what is attached to subject. Without places it looks at
// PlaceSignatureTag, PlaceAttestationTag and PlaceReferrers, at the same time, and
// fetches what they list in parallel. IndexEvidence reads PlaceIndex.
//
// Verified: payloads against the digest in their manifest, manifests against the
// digest in the list, and their subject against subject. Not verified: any signature,
// and that the lists are complete.
//
// # Order
//
// Items come place by place, in the order of places; the tags come first by default.
// Within a place, the order keeps an attacker from hiding good evidence:
//
//   - In a manifest, the smallest piece comes first. Pieces that are equal in digest,
//     size, media type and annotations count once. Each digest is fetched once.
//   - Referrers come in the order of their list, with up to four pieces and 64 KiB of
//     each.
//   - The rest of each referrer comes last, and so do manifests and payloads of more
//     than 64 KiB. The smallest of them come first.
//
// # Errors
//
// An error beside an Item is about that piece, or about the whole place if Format is
// empty. Use [Unreadable] to tell "could not be read" from "malformed". The sequence
// goes on. Absent tags and empty lists are not reported.
//
// ErrTooMany with an empty Format says that a limit was reached. It is the last element
// of its place, and the other places go on. If the context ends, its error is the last
// element. Breaking off the iteration cancels open requests.
func Evidence(ctx context.Context, r Reader, subject name.Digest, limits Limits, places ...Place) iter.Seq2[Item, error] {
	return gather(ctx, r, subject, limits, func(ctx context.Context, g *gatherer) []*gathering {
		if len(places) == 0 {
			places = []Place{PlaceSignatureTag, PlaceAttestationTag, PlaceReferrers}
		}
		all := make([]*gathering, 0, len(places))
		for _, place := range places {
			all = append(all, g.place(ctx, place))
		}
		return all
	})
}

// gather yields what the places hold; search starts to look at them.
func gather(ctx context.Context, r Reader, subject name.Digest, limits Limits, search func(context.Context, *gatherer) []*gathering) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		digest, err := HashOf(subject)
		if err != nil {
			yield(Item{}, err)
			return
		}
		reading, cancel := context.WithCancel(ctx)
		caller := ctx
		ctx, leave := context.WithCancel(ctx)
		g := &gatherer{
			r: r, caller: caller, subject: subject, digest: digest, limits: limits.WithDefaults(), asked: limits, reading: reading,
		}
		if budget.In(ctx) {
			g.limits.Concurrency = min(g.limits.Concurrency, maxReadsInBudget)
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

// grace is how long open requests may take to end by themselves after the caller has
// stopped reading. A cancelled request costs its connection, and requests that were
// sent together are answered at about the same time.
const grace = 5 * time.Millisecond

// end waits for what is under way.
func (g *gatherer) end(cancel func()) {
	timer := time.AfterFunc(grace, cancel)
	g.wg.Wait()
	timer.Stop()
	cancel()
	g.giveBack()
}

type gatherer struct {
	r       Reader
	subject name.Digest
	digest  v1.Hash
	// limits are those that hold, and asked those that were given: zero is the
	// default.
	limits, asked Limits
	// caller is the context that was given.
	caller context.Context
	// reading is the context of requests. It ends by grace later than the context of
	// the iteration.
	reading context.Context
	slots   chan struct{}
	holds   holds // what payloads have of a budget before their turn
	// parsing is taken while a manifest is parsed, which takes many times its
	// size in memory.
	parsing chan struct{}
	// wary: a list has said of a large manifest that it is small.
	wary atomic.Bool
	wg   sync.WaitGroup
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

func (g *gatherer) deliver(ctx context.Context, places []*gathering, yield func(Item, error) bool) {
	for _, p := range places {
		if !p.deliver(ctx, yield) {
			return
		}
	}
	// What was under way gives up in silence when the context ends: a sequence
	// that was cut short must not look complete.
	if err := ctx.Err(); err != nil {
		yield(Item{}, err)
	}
}

func (g *gatherer) tooMany(detail string) *Error {
	return &Error{Op: "read evidence of", Ref: SafeText(g.subject.String(), maxErrorText), Kind: ErrTooMany, Detail: detail}
}

// reached is tooMany for a field of Limits that holds a value.
func reached(g *gatherer, field string, value, needed int64, detail string) error {
	e := g.tooMany(fmt.Sprintf("%s; Limits.%s is %d", detail, field, value))
	e.Limit = &ReachedLimit{Name: field, Value: value, Needed: needed}
	return e
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

// carriedBy says of an item which manifest carries it.
func (i Item) carriedBy(m Manifest, doc *oci.Document) Item {
	listedAs := i.Manifest.ArtifactType
	i.Manifest = m.Descriptor
	i.Manifest.ArtifactType = cmp.Or(doc.ArtifactType, listedAs)
	i.ManifestAnnotations = doc.Annotations
	return i
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
	return g.fetchManifestWith(ctx, g.reading, ref)
}

// fetchManifestWith reads a manifest with a context of requests.
func (g *gatherer) fetchManifestWith(ctx, reading context.Context, ref name.Reference) (Manifest, error) {
	release, err := g.slot(ctx)
	if err != nil {
		return Manifest{}, err
	}
	defer release()
	return caught("read manifest", text(ref), func() (Manifest, error) { return ReadManifest(reading, g.r, ref) })
}

func (g *gatherer) parse(ref name.Reference, m Manifest) (*oci.Document, error) {
	g.parsing <- struct{}{}
	defer func() { <-g.parsing }()
	doc, err := oci.ParseInBudget(g.reading, string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		if g.reading.Err() != nil {
			return nil, g.reading.Err()
		}
		return nil, g.malformed(ref, err.Error())
	}
	return doc, nil
}

func (g *gatherer) malformed(ref name.Reference, detail string) error {
	return &Error{Op: "read evidence", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrMalformed, Detail: SafeText(detail, maxErrorText)}
}

// formatOf returns how a layer found in a place is read. Unsigned statements are read
// only from an index, which vouches for them, and signed evidence only elsewhere.
func formatOf(place Place, layerMediaType string) Format {
	f := Format(evidence.FormatOf(layerMediaType))
	if f == "" || place == PlaceSBOMTag || (f == FormatStatement) != (place == PlaceIndex) {
		return FormatOther
	}
	return f
}

// readPayload reads a payload with a context of requests.
func (g *gatherer) readPayload(ctx, reading context.Context, item Item) ([]byte, error) {
	data, err := g.readLayer(ctx, reading, item.Layer)
	if err == nil && item.Format == FormatStatement {
		err = g.checkStatement(item, data)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

func (g *gatherer) readLayer(ctx, reading context.Context, layer v1.Descriptor) ([]byte, error) {
	ref := g.subject.Context().Digest(layer.Digest.String())
	if layer.Size > g.limits.MaxPayloadBytes {
		return nil, &Error{Op: "read evidence", Ref: ref.String(), Kind: ErrTooLarge,
			Detail: fmt.Sprintf("%d bytes; Limits.MaxPayloadBytes is %d", layer.Size, g.limits.MaxPayloadBytes),
			Limit:  &ReachedLimit{Name: "MaxPayloadBytes", Value: g.limits.MaxPayloadBytes, Needed: layer.Size}}
	}
	if inline(layer) {
		return layer.Data, nil
	}
	release, err := g.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return caught("read blob", text(ref), func() ([]byte, error) { return ReadBlob(reading, g.r, ref, layer.Size) })
}

// opening returns what opens a layer, with the context that Evidence was given.
func opening(g *gatherer, layer v1.Descriptor) func() (io.ReadCloser, error) {
	ctx := g.caller
	ref := g.subject.Context().Digest(layer.Digest.String())
	return func() (io.ReadCloser, error) {
		body, err := caught("read blob", text(ref), func() (io.ReadCloser, error) { return g.r.Blob(ctx, ref, layer.Size) })
		if err != nil {
			return nil, err
		}
		return &verifiedReader{ReadCloser: body, ref: ref, want: layer, sum: oci.Hasher(layer.Digest)}, nil
	}
}

// verifiedReader fails in place of io.EOF where the content is not what its descriptor
// says, whatever the Reader did.
type verifiedReader struct {
	io.ReadCloser
	ref  name.Digest
	want v1.Descriptor
	sum  hash.Hash
	read int64
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.read += int64(n)
	_, _ = v.sum.Write(p[:n]) // a hash does not fail
	switch {
	case v.read > v.want.Size:
		return n, &Error{Op: "read blob", Ref: text(v.ref), Kind: ErrTooLarge}
	case err == io.EOF && hex.EncodeToString(v.sum.Sum(nil)) != v.want.Digest.Hex:
		return n, &Error{Op: "read blob", Ref: text(v.ref), Kind: ErrDigestMismatch}
	}
	return n, err
}

// inline reports whether the descriptor carries its own content; content that
// is not what the descriptor says is not used.
func inline(d v1.Descriptor) bool {
	if len(d.Data) == 0 || int64(len(d.Data)) != d.Size {
		return false
	}
	return oci.Holds(d.Digest, d.Data)
}

// ReadBlob reads a whole blob of a known size and checks it against its digest, also
// if the Reader does not. A blob of another size is ErrTooLarge or ErrDigestMismatch.
func ReadBlob(ctx context.Context, r Reader, ref name.Digest, size int64) ([]byte, error) {
	want, err := BlobHashOf(ref)
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
	data, err := limit.ReadSized(body, size)
	switch {
	case errors.Is(err, limit.ErrExceeded):
		return nil, fail(ErrTooLarge, err)
	case err != nil:
		return nil, err
	}
	if !oci.Holds(want, data) {
		return nil, fail(ErrDigestMismatch, nil)
	}
	return data, nil
}

// ReadManifest reads a manifest and computes its digest and size from its bytes, also
// if the Reader does not. If ref is a digest, other bytes are ErrDigestMismatch.
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
