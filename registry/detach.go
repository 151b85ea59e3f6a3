package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// Detach removes one piece of evidence, as Evidence returned it, from subject. Other
// evidence stays. What Detach removes depends on the place:
//
//   - PlaceReferrers: its entry in the fallback tag, and its manifest if that names
//     subject. An attacker may list any manifest, so others are not removed. If the
//     manifest has other layers too, the error is ErrUnsupported.
//   - PlaceSignatureTag, PlaceAttestationTag: its layer in the tag's manifest. The
//     store's garbage collection removes the blob. The manifest that the tag held
//     before is removed if it is listed as a referrer.
//
// Detach reads back. If the store still lists the evidence, because it cannot or may
// not remove manifests, the error says why (ErrUnsupported, ErrDenied and others).
func Detach(ctx context.Context, s Store, subject name.Digest, item Item) error {
	if _, err := HashOf(subject); err != nil {
		return err
	}
	switch item.Place {
	case PlaceReferrers:
		return detachReferrer(ctx, s, subject, item)
	case PlaceSignatureTag:
		return detachLayer(ctx, s, subject, FormatSimpleSigning, item)
	case PlaceAttestationTag:
		return detachLayer(ctx, s, subject, FormatEnvelope, item)
	}
	return detachError(subject, ErrUnsupported, fmt.Sprintf("evidence in place %.40q cannot be removed", item.Place))
}

func detachError(subject name.Digest, kind Kind, detail string) error {
	return &Error{Op: "detach from", Ref: SafeText(subject.String(), maxErrorText), Kind: kind, Detail: detail}
}

func detachReferrer(ctx context.Context, s Store, subject name.Digest, item Item) error {
	referrer := item.Manifest.Digest
	doc, err := readReferrer(ctx, s, subject, referrer)
	if err != nil {
		return err
	}
	if doc != nil && carriesOthers(doc, item) {
		return detachError(subject, ErrUnsupported, referrer.String()+" carries other evidence too, which would be removed with it")
	}
	if err := removeFromFallback(ctx, s, subject, referrer); err != nil {
		return err
	}
	refused := detachError(subject, ErrUnsupported, "the store lists "+referrer.String()+", which is about something else")
	if doc != nil {
		refused = detachError(subject, ErrUnsupported, "the store cannot remove manifests")
		if r, ok := s.(Remover); ok {
			refused = r.RemoveManifest(ctx, subject.Context().Digest(referrer.String()))
		}
	}
	if refused == nil { // a registry may list it for a moment longer
		return readBack(ctx, []check{{about: referrer, what: "the removal of the referrer", look: func(ctx context.Context) error {
			listed, err := lists(ctx, s, subject, referrer)
			if err == nil && listed {
				err = detachError(subject, ErrNotConfirmed, "the store says that "+referrer.String()+" is removed, and lists it")
			}
			return err
		}}}, 1)
	}
	listed, err := lists(ctx, s, subject, referrer)
	if err == nil && listed {
		err = refused
	}
	return err
}

// readReferrer reads a manifest that is listed as a referrer of subject; nil: it is
// none.
func readReferrer(ctx context.Context, s Store, subject name.Digest, referrer v1.Hash) (*oci.Document, error) {
	digest, err := HashOf(subject)
	if err != nil {
		return nil, err
	}
	at := subject.Context().Digest(referrer.String())
	m, err := ReadManifest(ctx, s, at)
	if Unreadable(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil || !isAbout(doc, digest, at) {
		return nil, nil
	}
	return doc, nil
}

// carriesOthers reports whether a manifest has layers that the item does not stand for.
// An item of FormatOther stands for all layers that are not read, and an item without a
// layer for the whole manifest.
func carriesOthers(doc *oci.Document, item Item) bool {
	if item.Layer.Digest == (v1.Hash{}) {
		return false
	}
	return slices.ContainsFunc(doc.Layers, func(l v1.Descriptor) bool {
		unread := formatOf(PlaceReferrers, string(l.MediaType)) == FormatOther
		return !sameLayer(l, item.Layer) && !(unread && item.Format == FormatOther)
	})
}

// lists reports whether a store lists a manifest as a referrer of subject.
func lists(ctx context.Context, s Store, subject name.Digest, referrer v1.Hash) (bool, error) {
	for d, err := range s.Referrers(ctx, subject) {
		if err != nil {
			return false, err
		}
		if d.Digest == referrer {
			return true, nil
		}
	}
	return false, nil
}

func removeFromFallback(ctx context.Context, s Store, subject name.Digest, referrer v1.Hash) error {
	digest, err := HashOf(subject)
	if err != nil {
		return err
	}
	c := &tagChange{s: s, tag: subject.Context().Tag(oci.DigestTag(digest)), merge: func(held heldTag) (*Manifest, error) {
		doc := held.doc
		if doc == nil || !doc.IsIndex || held.Descriptor.Digest == digest {
			return nil, nil
		}
		kept := slices.DeleteFunc(slices.Clone(doc.Manifests), func(d v1.Descriptor) bool { return d.Digest == referrer })
		if len(kept) == len(doc.Manifests) {
			return nil, nil
		}
		m := written(oci.MediaTypeIndex, wireIndex{
			SchemaVersion: 2, MediaType: oci.MediaTypeIndex, Annotations: doc.Annotations,
			Manifests: append([]v1.Descriptor{}, kept...),
		})
		return &m, nil
	}}
	_, err = c.run(ctx)
	return err
}

// detachLayer removes an item's layer from the tag of a format. What the tag held
// before may have a subject, by which its evidence would still be found.
func detachLayer(ctx context.Context, s Store, subject name.Digest, f Format, item Item) error {
	tag, err := tagOfFormat(subject, f)
	if err != nil {
		return err
	}
	held, err := removeLayer(ctx, s, tag, item.Layer)
	old := item.Manifest.Digest
	if err != nil || old == (v1.Hash{}) || held.DigestStr() == old.String() {
		return err
	}
	if listed, err := lists(ctx, s, subject, old); err != nil || !listed {
		return err
	}
	return detachReferrer(ctx, s, subject, Item{Manifest: item.Manifest})
}

// removeLayer removes a layer from a tag, and returns what the tag holds now.
func removeLayer(ctx context.Context, s Store, tag name.Tag, layer v1.Descriptor) (name.Digest, error) {
	c := &tagChange{s: s, tag: tag, merge: func(held heldTag) (*Manifest, error) {
		doc := held.doc
		if doc == nil || doc.IsIndex {
			return nil, nil
		}
		kept := slices.DeleteFunc(slices.Clone(doc.Layers), func(d v1.Descriptor) bool {
			return sameLayer(d, layer)
		})
		if len(kept) == len(doc.Layers) {
			return nil, nil
		}
		return withConfig(ctx, s, tag.Context(), wireManifest{
			Layers: append([]v1.Descriptor{}, kept...), Annotations: doc.Annotations, Subject: doc.Subject, ArtifactType: doc.ArtifactType,
		})
	}}
	return c.run(ctx)
}
