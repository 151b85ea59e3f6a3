package registry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// An attacker must not keep good evidence from being read, so each manifest of a list
// has a share of its own.
const (
	// smallBytes is up to what size a manifest or a payload is looked at in its
	// turn, whatever else there is.
	smallBytes = 64 << 10
	// sharePieces is how many pieces of one manifest are.
	sharePieces = 4
	// windowBytes is how much of a place may be fetched before its turn, beside
	// one payload of any size.
	windowBytes = 4 << 20
	// maxPutOff bounds the memory of what is put off to the end of a place.
	maxPutOff = 8 << 20
)

// gathering is one place while it is read. Its limits are its own.
type gathering struct {
	g      *gatherer
	name   Place
	ctx    context.Context
	cancel context.CancelFunc
	out    chan *found

	// ahead are the bytes that are fetched before their turn, and freed says that
	// they have become fewer.
	ahead atomic.Int64
	freed chan struct{}

	// last is what was fetched last: equal payloads lie side by side.
	last *fetch
	// large are the manifests that are put off, putOff the pieces, of a weight in
	// bytes of memory; cut: there were more than may be.
	large  []v1.Descriptor
	putOff []Item
	weight int
	cut    bool

	// items and bytes are what was delivered.
	items int
	bytes int64
}

// found is one element of the sequence.
type found struct {
	item Item
	err  error
	load *fetch // nil: there is no payload
	// share: the piece is within the share of its manifest.
	share bool
}

// fetch is a payload that is being read, and the bytes that it holds of the window.
type fetch struct {
	layer v1.Descriptor
	held  int64
	done  chan struct{}
	data  []byte
	err   error
	// charged: it was counted.
	charged bool
	// inTurn: it is read when its turn comes, and again for each piece that shares it.
	// leave gives back what it took of a budget; nil: nothing.
	inTurn bool
	leave  func()
}

// start reads a place in the background, by read.
func (g *gatherer) start(ctx context.Context, place Place, read func(p *gathering) error) *gathering {
	p := &gathering{g: g, name: place, out: make(chan *found, g.limits.Concurrency), freed: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(ctx)
	g.spawn(func() {
		defer close(p.out)
		if err := read(p); err != nil {
			p.send(&found{item: Item{Place: place}, err: err})
		}
	})
	return p
}

func (p *gathering) send(f *found) bool { return send(p.ctx, p.out, f) }

// deliver yields what the place holds, and reports whether to go on with the next.
func (p *gathering) deliver(ctx context.Context, yield func(Item, error) bool) bool {
	defer p.cancel()
	// Also where the context ends or yield panics: what it took of a budget is others' too.
	var held *fetch
	defer func() { p.release(held) }()
	for f := range p.out {
		held = f.load
		if !p.wait(ctx, f) {
			yield(Item{Place: f.item.Place}, ctx.Err())
			return false
		}
		if err := p.charge(f); err != nil {
			p.release(held)
			return yield(Item{Place: p.name}, err)
		}
		item := f.item
		f.item.Payload = nil // what has looked at it may forget it
		goOn := yield(item, f.err)
		if p.release(held); !goOn {
			return false
		}
	}
	return true
}

// wait waits for the payload, or reads it, and reports whether the context goes on.
func (p *gathering) wait(ctx context.Context, f *found) bool {
	switch {
	case f.load == nil:
	case f.load.inTurn:
		f.item.Payload, f.load.leave, f.err = p.g.readInTurn(ctx, f.item)
		f.load.charged = false
	default:
		select {
		case <-f.load.done:
		case <-ctx.Done():
			return false
		}
		f.item.Payload, f.err = f.load.data, f.load.err
	}
	return ctx.Err() == nil
}

// charge counts an element, and returns an error where it is one too many. Where a
// limit is its default, the shares do not count.
func (p *gathering) charge(f *found) error {
	limits, asked := p.g.limits, p.g.asked
	evidence := f.item.Format != "" && f.item.Format != FormatOther
	if evidence && !(f.share && asked.MaxItems <= 0) {
		if p.items++; p.items > limits.MaxItems {
			return reached(p.g, "MaxItems", int64(limits.MaxItems), 0, string(p.name)+": more pieces of evidence")
		}
	}
	if n := f.bytes(); n > smallBytes || asked.MaxTotalBytes > 0 {
		if p.bytes += n; p.bytes > limits.MaxTotalBytes {
			return reached(p.g, "MaxTotalBytes", limits.MaxTotalBytes, p.bytes, string(p.name)+": more bytes of evidence")
		}
	}
	return nil
}

// bytes is how much was read for an element. What is large counts once, whatever the
// number of pieces that share it.
func (f *found) bytes() int64 {
	n := int64(len(f.item.Payload))
	if f.load == nil {
		return n
	}
	if n > smallBytes && f.load.charged {
		return 0
	}
	f.load.charged = true
	return n
}

// place begins to read one of the places that Evidence knows.
func (g *gatherer) place(ctx context.Context, place Place) *gathering {
	return g.start(ctx, place, func(p *gathering) error {
		switch place {
		case PlaceSignatureTag:
			return p.tag(".sig")
		case PlaceAttestationTag:
			return p.tag(".att")
		case PlaceSBOMTag:
			return p.tag(".sbom")
		case PlaceReferrers:
			return p.referrers()
		}
		return nil
	})
}

// tag reads the manifest under a tag of cosign's, and what it carries.
func (p *gathering) tag(suffix string) error {
	ref := p.g.subject.Context().Tag(oci.DigestTag(p.g.digest) + suffix)
	m, err := p.g.fetchManifestWith(p.ctx, budget.Small(p.g.reading), ref)
	if errors.Is(err, budget.ErrLater) {
		m, err = p.g.fetchLarge(p.ctx, ref)
	}
	if errors.Is(err, ErrNotFound) {
		return nil // nothing is attached this way
	}
	if err != nil {
		return err
	}
	c := p.g.open(carrier{in: Item{Place: p.name}, ref: ref, m: m})
	if c.err != nil {
		return c.err
	}
	pieces, other := piecesOf(c.in, c.doc)
	for i, item := range pieces {
		if i > p.g.limits.MaxItems || !p.piece(item, false) {
			return nil // one is enough to say that there are too many
		}
	}
	if other != nil {
		p.send(&found{item: *other})
	}
	return nil
}

// carrier is a manifest of evidence.
type carrier struct {
	in  Item
	ref name.Reference
	m   Manifest
	doc *oci.Document
	err error
	// size, where it is not zero, is that of a manifest that is put off.
	size int64
}

// open parses a manifest that was read, and checks that it is about the subject.
func (g *gatherer) open(c carrier) carrier {
	if c.doc, c.err = g.parse(c.ref, c.m); c.err != nil {
		return c
	}
	if !isAbout(c.doc, g.digest, c.ref) {
		c.err = g.malformed(c.ref, "its subject is another manifest")
		return c
	}
	c.in = c.in.carriedBy(c.m, c.doc)
	c.m.Bytes = nil
	return c
}

// piecesOf lists the evidence that a manifest carries, each piece once, the
// smallest first and those of one payload side by side. other stands for all that
// is not read; nil: there is none.
func piecesOf(in Item, doc *oci.Document) (pieces []Item, other *Item) {
	known, order := make(map[layerID]bool), make(map[v1.Hash]int)
	for _, layer := range doc.Layers {
		item := in
		item.Layer, item.Format = layer, formatOf(in.Place, string(layer.MediaType))
		if item.Format == FormatOther {
			if other == nil {
				other = &item
			}
			continue
		}
		if len(doc.Layers) > 1 {
			id := idOf(layer)
			if known[id] {
				continue
			}
			known[id] = true
			if _, met := order[layer.Digest]; !met {
				order[layer.Digest] = len(order)
			}
		}
		pieces = append(pieces, item)
	}
	if len(doc.Layers) == 0 {
		in.Format = FormatOther
		other = &in
	}
	slices.SortStableFunc(pieces, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Layer.Size, b.Layer.Size), cmp.Compare(order[a.Layer.Digest], order[b.Layer.Digest]))
	})
	return pieces, other
}

// piece sends a piece of evidence, and begins to fetch its payload.
func (p *gathering) piece(item Item, share bool) bool {
	if item.Format != FormatStatement && item.Layer.Size <= p.g.limits.MaxPayloadBytes && inline(item.Layer) {
		item.Payload = item.Layer.Data
		return p.send(&found{item: item, share: share})
	}
	if open := p.g.limits.OpenAbove; open > 0 && item.Layer.Size > open && item.Layer.Size <= p.g.limits.MaxPayloadBytes && item.Format != FormatStatement {
		item.Open = opening(p.g, item.Layer)
		return p.send(&found{item: item, share: share})
	}
	if p.last == nil || !oci.SameContent(p.last.layer, item.Layer) || item.Format == FormatStatement {
		if p.last = p.fetch(item); p.last == nil {
			return false
		}
	}
	return p.send(&found{item: item, load: p.last, share: share})
}

// fetch begins to fetch a payload, unless it has to wait for its turn; nil: the place is
// not wanted any more.
func (p *gathering) fetch(item Item) *fetch {
	f := &fetch{layer: item.Layer, done: make(chan struct{})}
	var ahead bool
	if f.leave, ahead = p.g.holds.ahead(p.ctx, item.Layer); !ahead {
		f.inTurn = true
		return f
	}
	if item.Layer.Size <= p.g.limits.MaxPayloadBytes {
		f.held = item.Layer.Size
	}
	if !p.reserve(f.held) {
		return nil
	}
	p.g.spawn(func() {
		defer close(f.done)
		f.data, f.err = p.g.readPayload(p.ctx, p.g.reading, item)
	})
	return f
}

// reserve waits until so many bytes may be fetched ahead. Only the goroutine that
// reads the place calls it, in the order of delivery.
func (p *gathering) reserve(n int64) bool {
	for {
		if held := p.ahead.Load(); held == 0 || held+n <= windowBytes {
			p.ahead.Add(n)
			return true
		}
		select {
		case <-p.freed:
		case <-p.ctx.Done():
			return false
		}
	}
}

// release gives back what a payload holds of the window, once, and of a budget.
func (p *gathering) release(f *fetch) {
	if f != nil && f.leave != nil {
		f.leave()
		f.leave = nil
	}
	if f == nil || f.held == 0 {
		return
	}
	p.ahead.Add(-f.held)
	f.held = 0
	select {
	case p.freed <- struct{}{}:
	default:
	}
}

// take sends the share of a manifest, and defers the rest of it.
func (p *gathering) take(c carrier) bool {
	pieces, other := piecesOf(c.in, c.doc)
	left := int64(smallBytes)
	for i, item := range pieces {
		left = max(left-item.Layer.Size, -1)
		unread := item.Layer.Size > p.g.limits.MaxPayloadBytes
		if i >= sharePieces || left < 0 && !unread {
			p.later(item)
		} else if !p.piece(item, true) {
			return false
		}
	}
	return other == nil || p.send(&found{item: *other})
}

// later puts a piece off. Of more than may be held, the smallest stay: what is
// dropped is told of at the end of the place.
func (p *gathering) later(item Item) {
	p.putOff = append(p.putOff, item)
	if p.weight += weightOf(item); p.weight > maxAheadFree && budget.Large(p.ctx) != nil {
		return // the context has ended
	}
	if p.weight <= maxPutOff {
		return
	}
	p.cut = true
	bySize(p.putOff)
	for p.weight > maxPutOff/2 {
		last := len(p.putOff) - 1
		p.weight -= weightOf(p.putOff[last])
		p.putOff[last] = Item{}
		p.putOff = p.putOff[:last]
	}
}

// bySize sorts by payload and annotations together, so what is heavy in either way
// goes last.
func bySize(items []Item) {
	bulk := func(i Item) int64 { return min(i.Layer.Size, 1<<40) + int64(weightOf(i)) }
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(bulk(a), bulk(b)), cmp.Compare(a.Layer.Digest.Hex, b.Layer.Digest.Hex))
	})
}

// weightOf is about what an item takes in memory.
func weightOf(item Item) int {
	n := 1024 + len(item.Layer.Data)
	for _, annotations := range []map[string]string{item.ManifestAnnotations, item.Layer.Annotations} {
		for k, v := range maps.All(annotations) {
			n += len(k) + len(v) + 64
		}
	}
	return n
}

// sendPutOff sends what was put off, the smallest first.
func (p *gathering) sendPutOff() error {
	bySize(p.putOff)
	for i, item := range p.putOff {
		p.putOff[i] = Item{}
		if !p.piece(item, false) {
			return nil
		}
	}
	if p.cut {
		return p.g.tooMany(string(p.name) + ": more pieces in large manifests than are held")
	}
	return nil
}
