package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/registry"
)

// gathering yields the evidence of one decision in the order in which it is judged, and
// holds the budget of each place.
type gathering struct {
	ctx    context.Context
	r      registry.Reader
	image  name.Digest // in the repository that holds the evidence
	limits registry.Limits
	places []registry.Place
	log    *ledger

	looked map[pieceID]records // of referrers
	work   []*workload         // of each place
	first  workload            // saves most decisions an allocation
}

// attached yields each piece that is attached to the image, in the order of
// registry.Evidence, and then the pieces that were put off. A limit or an error in one
// place ends no other place.
func (g *gathering) attached(yield func(*piece) bool) {
	for item, err := range registry.Evidence(g.ctx, g.r, g.image, g.limits, g.places...) {
		if err != nil {
			g.log.missItem(item, err)
		} else if !g.once(item, yield) {
			return
		}
	}
	for _, w := range g.work {
		w.sort()
		for i := range w.waiting {
			if g.ctx.Err() != nil || !yield(&w.waiting[i]) {
				return
			}
			w.waiting[i] = piece{}
		}
	}
}

// once yields a piece, unless an equal one in another referrer was yielded before. Then the
// ledger repeats the record of that one.
func (g *gathering) once(item registry.Item, yield func(*piece) bool) (more bool) {
	p := &piece{item: item, from: g.log.originOf(item), work: g.workloadOf(item.Place)}
	if item.Place != registry.PlaceReferrers || item.Format == registry.FormatOther {
		return yield(p)
	}
	id := idOf(item)
	if before, again := g.looked[id]; again {
		g.log.repeat(before, p.from)
		return true
	}
	from := len(g.log.records)
	more = yield(p)
	if g.looked == nil {
		g.looked = make(map[pieceID]records)
	}
	g.looked[id] = records{from, len(g.log.records)}
	return more
}

// given yields bundles that the caller holds, as attached yields attached ones. After a
// limit is reached, no more are yielded.
func (g *gathering) given(bundles [][]byte) func(yield func(*piece) bool) {
	item := registry.Item{
		Place: PlaceGiven, Format: registry.FormatBundle,
		Layer: v1.Descriptor{MediaType: types.MediaType(bundle.MediaTypeV03)},
	}
	limits := g.limits.WithDefaults()
	return func(yield func(*piece) bool) {
		for i, text := range bundles {
			item.Payload = text
			switch {
			case g.ctx.Err() != nil:
				return
			case i >= limits.MaxItems:
				g.log.miss(origin{place: PlaceGiven}, givenBeyond(registry.ErrTooMany, "MaxItems", int64(limits.MaxItems), int64(len(bundles))))
				return
			case int64(len(text)) > limits.MaxPayloadBytes:
				g.log.missItem(item, givenBeyond(registry.ErrTooLarge, "MaxPayloadBytes", limits.MaxPayloadBytes, int64(len(text))))
			case !yield(&piece{item: item, from: g.log.originOf(item), work: g.workloadOf(PlaceGiven)}) || g.log.overflow != nil:
				return
			}
		}
	}
}

// givenBeyond says that what the caller holds is more than a field of Limits allows.
func givenBeyond(kind registry.Kind, field string, value, needed int64) error {
	return &registry.Error{
		Op: "read bundles", Kind: kind, Detail: fmt.Sprintf("%d; Limits.%s is %d", needed, field, value),
		Limit: &registry.ReachedLimit{Name: field, Value: value, Needed: needed},
	}
}

// workloadOf is the workload of a place.
func (g *gathering) workloadOf(place registry.Place) *workload {
	for _, w := range g.work {
		if w.place == place {
			return w
		}
	}
	w := &g.first
	if len(g.work) > 0 {
		w = new(workload)
	}
	*w = newWorkload(place, g.limits.WithDefaults().MaxReferrers)
	g.work = append(g.work, w)
	return w
}

// pieceID identifies a piece of evidence within its place.
type pieceID struct {
	mediaType   types.MediaType
	digest      v1.Hash
	annotations [sha256.Size]byte
}

func idOf(item registry.Item) pieceID {
	id := pieceID{mediaType: item.Layer.MediaType, digest: item.Layer.Digest}
	if len(item.Layer.Annotations) > 0 {
		h := sha256.New()
		for _, k := range slices.Sorted(maps.Keys(item.Layer.Annotations)) {
			fmt.Fprintf(h, "%q %q ", k, item.Layer.Annotations[k])
		}
		h.Sum(id.annotations[:0])
	}
	return id
}
