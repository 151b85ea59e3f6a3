package registry

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// How BuildKit attaches statements to the images of an index (BuildKit
// documentation, attestations/attestation-storage.md).
const (
	referenceType           = "vnd.docker.reference.type" // of an entry
	referenceDigest         = "vnd.docker.reference.digest"
	referenceIsAttestation  = "attestation-manifest"
	platformOfNothing       = "unknown"                   // both os and architecture
	predicateTypeAnnotation = "in-toto.io/predicate-type" // of a layer
)

// IndexEvidence gathers the statements that BuildKit lists in an index beside the
// images: SBOMs and provenance, in attestation manifests. It yields one Item of
// PlaceIndex and FormatStatement for each in-toto layer:
//
//   - Describes is the manifest of the image that the statement is about.
//   - Payload is the statement.
//   - The annotation in-toto.io/predicate-type of Layer is the predicate type.
//
// Layers of other media types are FormatOther, and are not fetched. URLs in
// descriptors are never fetched.
//
// # What they are worth
//
// These statements are unsigned. The index holds their digests, so a statement is
// worth as much as the signature of the index, and never more. An image without a
// verified index has no such statements.
//
// Verified:
//
//   - the index, against its digest;
//   - each attestation manifest, against digest, size and media type of its entry;
//   - its subject, if it has one: it is Describes;
//   - each statement, against its digest and size;
//   - its form: an in-toto statement (v1 or v0.1) with a subject whose sha256 is
//     Describes, and with the predicate type of the annotation;
//   - Describes: the index lists it, and not as an attestation.
//
// Not verified: any signature, the predicate, and digests of other algorithms.
//
// # Errors
//
// An error beside an Item says that this entry or statement could not be read, or
// fails a check of the list above (ErrMalformed). The sequence goes on. Describes is
// zero where the entry itself is wrong.
//
// The only element of the sequence is an error if the index cannot be read, is
// malformed, or has more entries than Limits.MaxReferrers. Other limits, and the end
// of the context, are its last element. A manifest that is not an index yields
// nothing. Entries of other reference types are ignored, as BuildKit demands, and
// repeated entries are read once.
func IndexEvidence(ctx context.Context, r Reader, index name.Digest, limits Limits) iter.Seq2[Item, error] {
	return gather(ctx, r, index, limits, func(ctx context.Context, g *gatherer) []*gathering {
		return []*gathering{g.start(ctx, PlaceIndex, (*gathering).index)}
	})
}

// index reads the attestations that an index lists.
func (p *gathering) index() error {
	m, err := p.g.fetchManifest(p.ctx, p.g.subject)
	if err != nil {
		return err
	}
	doc, err := p.g.parse(p.g.subject, m)
	if err != nil {
		return err
	}
	if len(doc.Manifests) > p.g.limits.MaxReferrers {
		return reached(p.g, "MaxReferrers", int64(p.g.limits.MaxReferrers), int64(len(doc.Manifests)), "an index of more entries")
	}
	entries := make(chan chan carrier, p.g.limits.Concurrency)
	p.g.spawn(func() {
		defer close(entries)
		p.listAttestations(doc, entries)
	})
	size := int64(0)
	for entry := range entries {
		c := <-entry
		if size += c.size; size > maxManifestsBytes {
			return p.g.tooMany(fmt.Sprintf("manifests of more than %d bytes", maxManifestsBytes))
		}
		if !p.attested(c) {
			return nil
		}
	}
	return nil
}

// listAttestations begins to read the attestations of an index, each once.
func (p *gathering) listAttestations(doc *oci.Document, entries chan<- chan carrier) {
	images := imagesOf(doc)
	seen := make(map[[2]v1.Hash]bool)
	for _, entry := range doc.Manifests {
		if !isAttestation(entry) {
			continue
		}
		about, wrong := p.g.describedBy(entry, images)
		id := [2]v1.Hash{entry.Digest, about}
		if seen[id] {
			continue
		}
		seen[id] = true
		c := carrier{in: Item{Place: PlaceIndex, Manifest: entry, Describes: about}, err: wrong}
		read := make(chan carrier, 1)
		if wrong != nil {
			read <- c
		} else {
			p.g.spawn(func() { read <- p.g.attestation(p.ctx, c) })
		}
		select {
		case entries <- read:
		case <-p.ctx.Done():
			return
		}
	}
}

// attested sends what an attestation manifest carries, in the order of its layers.
func (p *gathering) attested(c carrier) bool {
	if c.err != nil {
		return p.send(&found{item: c.in, err: c.err})
	}
	others := len(c.doc.Layers) == 0
	if others {
		c.in.Format = FormatOther
		return p.send(&found{item: c.in})
	}
	for i, layer := range c.doc.Layers {
		item := c.in
		item.Layer, item.Format = layer, formatOf(PlaceIndex, string(layer.MediaType))
		switch {
		case i > p.g.limits.MaxItems:
			return true // one is enough to say that there are too many
		case item.Format == FormatOther && others:
		case item.Format == FormatOther:
			others = true
			if !p.send(&found{item: item}) {
				return false
			}
		case !p.piece(item, false):
			return false
		}
	}
	return true
}

func isAttestation(entry v1.Descriptor) bool {
	return entry.Annotations[referenceType] == referenceIsAttestation
}

// imagesOf returns the manifests that an attestation may be about. A manifest that is
// also listed as an attestation is not one of them: it is ambiguous.
func imagesOf(index *oci.Document) map[v1.Hash]bool {
	images := make(map[v1.Hash]bool)
	for _, entry := range index.Manifests {
		images[entry.Digest] = true
	}
	for _, entry := range index.Manifests {
		if isAttestation(entry) {
			delete(images, entry.Digest)
		}
	}
	return images
}

// describedBy returns the manifest that an attestation says it is about.
func (g *gatherer) describedBy(entry v1.Descriptor, images map[v1.Hash]bool) (v1.Hash, error) {
	ref := g.subject.Context().Digest(entry.Digest.String())
	about, err := v1.NewHash(entry.Annotations[referenceDigest])
	switch mediaType := string(entry.MediaType); {
	case mediaType != oci.MediaTypeManifest && mediaType != oci.MediaTypeDockerManifest:
		return v1.Hash{}, g.malformed(ref, "an attestation of media type "+mediaType)
	case entry.Platform == nil || entry.Platform.OS != platformOfNothing || entry.Platform.Architecture != platformOfNothing:
		return v1.Hash{}, g.malformed(ref, "an attestation that might be run: its platform is not unknown/unknown")
	case err != nil:
		return v1.Hash{}, g.malformed(ref, "an attestation that does not say what it is about")
	case !images[about]:
		return v1.Hash{}, g.malformed(ref, "an attestation about "+about.String()+", which is no image of the index")
	}
	return about, nil
}

// attestation reads an attestation manifest. c says what its entry says.
func (g *gatherer) attestation(ctx context.Context, c carrier) carrier {
	c.ref = g.subject.Context().Digest(c.in.Manifest.Digest.String())
	m, err := g.fetchManifest(ctx, c.ref)
	if err == nil {
		c.size = int64(len(m.Bytes))
		c.doc, err = g.parse(c.ref, m)
	}
	switch {
	case err != nil:
	case !oci.SameContent(m.Descriptor, c.in.Manifest):
		err = g.malformed(c.ref, "it has another size or media type than the index says")
	case c.doc.Subject != nil && c.doc.Subject.Digest != c.in.Describes:
		err = g.malformed(c.ref, "its subject is another manifest than its entry in the index says")
	}
	if err != nil {
		c.err = err
		return c
	}
	c.in = c.in.carriedBy(m, c.doc)
	return c
}

// checkStatement compares what a statement says of itself with where it was found.
func (g *gatherer) checkStatement(item Item, payload []byte) error {
	ref := g.subject.Context().Digest(item.Layer.Digest.String())
	s, err := intoto.Parse(payload)
	if err != nil {
		return g.malformed(ref, err.Error())
	}
	subject, err := s.Match(func(algorithm string) (string, bool, error) {
		return item.Describes.Hex, algorithm == item.Describes.Algorithm, nil
	})
	if err != nil || subject == nil {
		return g.malformed(ref, "a statement that is not about "+item.Describes.String())
	}
	if announced, ok := item.Layer.Annotations[predicateTypeAnnotation]; ok && announced != s.PredicateType {
		return g.malformed(ref, "a statement of another predicate type than its manifest says")
	}
	return nil
}
