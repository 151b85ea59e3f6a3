package layout

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Other tools find the referrers of an image by the fallback tag sha256-<hex>, also in a
// layout. It is kept in step with what index.json lists.
//
// Source: OCI Distribution Specification v1.1, "Referrers Tag Schema".

// maxFallbackBytes is how large such a list may grow; a longer one is not written.
const maxFallbackBytes = 4 << 20

// withFallback returns entries in which the fallback tag of a subject lists a manifest, or,
// once it is gone, lists it no longer. old is the list that is replaced.
func (b *blobs) withFallback(ctx context.Context, op string, entries []entry, c change) (_ []entry, old v1.Hash, err error) {
	subject, gone := c.subject, c.gone
	tag := oci.DigestTag(subject)
	at := slices.IndexFunc(entries, func(e entry) bool { return e.desc.Annotations[refNameAnnotation] == tag })
	var list []v1.Descriptor
	if at < 0 && gone {
		return entries, old, nil
	}
	if at >= 0 {
		data, err := b.read(op, entries[at].desc.Digest)
		if err != nil && registry.Unreadable(err) {
			return nil, old, err
		}
		if err == nil {
			list, err = oci.ParseFallback(string(entries[at].desc.MediaType), data)
		}
		if err != nil || !entries[at].desc.MediaType.IsIndex() || !holdsReferrers(entries[at].desc, list, subject) {
			return entries, old, nil // the tag holds something else
		}
		old = entries[at].desc.Digest
	} else if list, err = b.referrersIn(entries, subject); err != nil {
		return nil, old, err
	}
	if list, err = b.changed(list, c.manifest, gone); err != nil {
		return nil, old, err
	}
	m, err := fallbackList(list)
	if err != nil || m.Descriptor.Digest == old || m.Descriptor.Size > maxFallbackBytes {
		return entries, v1.Hash{}, err
	}
	kept := slices.Clone(entries)
	if at >= 0 {
		kept = slices.Delete(kept, at, at+1)
	}
	if len(list) == 0 {
		return kept, old, nil
	}
	if err := b.put(ctx, op, m.Descriptor.Digest, m.Descriptor.Size, bytes.NewReader(m.Bytes)); err != nil {
		return nil, old, err
	}
	added, err := newEntry(m.Descriptor, tag)
	return append(kept, added), old, err
}

// holdsReferrers reports whether what a fallback tag names is a list of referrers. Some
// registries answer the tag with the subject itself, and a layout may have it from there.
func holdsReferrers(named v1.Descriptor, list []v1.Descriptor, subject v1.Hash) bool {
	return named.Digest != subject && (len(list) == 0 || slices.ContainsFunc(list, func(d v1.Descriptor) bool { return oci.MayRefer(d, subject) }))
}

// changed is a list of referrers with a manifest, or without it.
func (b *blobs) changed(list []v1.Descriptor, manifest v1.Hash, gone bool) ([]v1.Descriptor, error) {
	same := func(d v1.Descriptor) bool { return d.Digest == manifest }
	list = slices.Clone(list)
	if gone {
		return slices.DeleteFunc(list, same), nil
	}
	d, err := b.referrer(manifest)
	if at := slices.IndexFunc(list, same); at >= 0 {
		list[at] = plainEntry(d)
		return list, err
	}
	// The same referrers give the same list, in whichever order they came.
	next, _ := slices.BinarySearchFunc(list, d, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.Hex, b.Digest.Hex) })
	return slices.Insert(list, next, plainEntry(d)), err
}

// referrersIn are the entries that refer to subject.
func (b *blobs) referrersIn(entries []entry, subject v1.Hash) (list []v1.Descriptor, err error) {
	seen := make(map[v1.Hash]bool)
	for _, e := range entries {
		if of, err := b.subjectOf(e.desc.Digest); err != nil || of != subject || seen[e.desc.Digest] {
			continue
		}
		seen[e.desc.Digest] = true
		d, err := b.referrer(e.desc.Digest)
		if err != nil {
			return nil, err
		}
		list = append(list, plainEntry(d))
	}
	return list, nil
}

// plainEntry is an entry without the content that registries' lists repeat: in a layout
// reading the manifest costs no round trip.
func plainEntry(d v1.Descriptor) v1.Descriptor {
	if _, there := d.Annotations[registry.AnnotationContent]; there {
		d.Annotations = maps.Clone(d.Annotations)
		delete(d.Annotations, registry.AnnotationContent)
	}
	return d
}

func fallbackList(list []v1.Descriptor) (registry.Manifest, error) {
	text, err := json.Marshal(struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     []v1.Descriptor `json:"manifests"`
	}{2, oci.MediaTypeIndex, list})
	if err != nil {
		return registry.Manifest{}, err
	}
	return registry.NewManifest(oci.MediaTypeIndex, text)
}

// forCosign marks the entries that "cosign load" looks for: the first image, and its
// signatures and attestations.
func forCosign(entries []entry) ([]entry, error) {
	first := slices.IndexFunc(entries, entry.isNamedImage)
	if first < 0 || slices.ContainsFunc(entries, entry.isSavedImage) {
		return entries, nil
	}
	kinds := map[string]string{
		oci.DigestTag(entries[first].desc.Digest) + ".sig": cosignSigs,
		oci.DigestTag(entries[first].desc.Digest) + ".att": cosignAtts,
	}
	marked := slices.Clone(entries)
	for i, e := range marked {
		kind := kinds[e.desc.Annotations[refNameAnnotation]]
		switch {
		case i == first && e.desc.MediaType.IsIndex():
			kind = cosignIndex
		case i == first:
			kind = cosignImage
		}
		switch have := e.desc.Annotations[cosignKind]; {
		case have == kind, kind == "" && !slices.Contains(cosignKinds, have):
			continue
		}
		var err error
		if marked[i], err = e.ofKind(kind); err != nil {
			return nil, err
		}
	}
	return marked, nil
}

// isNamedImage reports whether an entry has a name that is not one of evidence.
func (e entry) isNamedImage() bool {
	tag := e.desc.Annotations[refNameAnnotation]
	return tag != "" && !isEvidenceTag(tag) && (e.desc.MediaType.IsImage() || e.desc.MediaType.IsIndex())
}

// ofKind returns the entry with another annotation of its kind, or none.
func (e entry) ofKind(kind string) (entry, error) {
	annotations := maps.Clone(e.desc.Annotations)
	delete(annotations, cosignKind)
	if kind != "" {
		if annotations == nil {
			annotations = make(map[string]string, 1)
		}
		annotations[cosignKind] = kind
	}
	return e.annotated(annotations)
}
