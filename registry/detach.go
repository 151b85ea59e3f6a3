package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/oci"
)

// Remover is a Store that can remove manifests. Many registries allow nobody to
// do so, or only some users.
type Remover interface {
	// RemoveManifest makes the manifest no longer be listed or found. Removing
	// what is not there is ErrNotFound.
	RemoveManifest(ctx context.Context, ref name.Digest) error
}

// Detach removes one piece of evidence, as Evidence has found it, from subject.
// What else is attached stays:
//
//   - in PlaceReferrers, its entry in the fallback tag, where there is one, and
//     then its manifest;
//   - in PlaceSignatureTag and PlaceAttestationTag, its layer in the tag's
//     manifest. The blob is left to the store's garbage collection.
//
// It looks again before it says that it is done. Where the store still lists the
// evidence, because it cannot or may not remove manifests, the error tells why
// (ErrUnsupported, ErrDenied and others); nothing is lost then.
func Detach(ctx context.Context, s Store, subject name.Digest, item Item) error {
	if _, err := HashOf(subject); err != nil {
		return err
	}
	switch item.Place {
	case PlaceReferrers:
		return detachReferrer(ctx, s, subject, item.Manifest.Digest)
	case PlaceSignatureTag:
		return removeLayer(ctx, s, subject, FormatSimpleSigning, item.Layer)
	case PlaceAttestationTag:
		return removeLayer(ctx, s, subject, FormatEnvelope, item.Layer)
	}
	return detachError(subject, ErrUnsupported, fmt.Sprintf("evidence in place %.40q cannot be removed", item.Place))
}

func detachError(subject name.Digest, kind Kind, detail string) error {
	return &Error{Op: "detach from", Ref: SafeText(subject.String(), maxErrorText), Kind: kind, Detail: detail}
}

func detachReferrer(ctx context.Context, s Store, subject name.Digest, referrer v1.Hash) error {
	if err := removeFromFallback(ctx, s, subject, referrer); err != nil {
		return err
	}
	refused := detachError(subject, ErrUnsupported, "the store cannot remove manifests")
	if r, ok := s.(Remover); ok {
		refused = r.RemoveManifest(ctx, subject.Context().Digest(referrer.String()))
	}
	for d, err := range s.Referrers(ctx, subject) {
		switch {
		case err != nil:
			return err
		case d.Digest != referrer:
		case refused != nil:
			return refused
		default:
			return detachError(subject, ErrUnconfirmed, "the store says that "+referrer.String()+" is removed, and lists it")
		}
	}
	return nil
}

func removeFromFallback(ctx context.Context, s Store, subject name.Digest, referrer v1.Hash) error {
	digest, err := HashOf(subject)
	if err != nil {
		return err
	}
	_, err = changeTag(ctx, s, subject.Context().Tag(digestTag(digest)), func(doc *oci.Document) (*Manifest, error) {
		if doc == nil || !doc.IsIndex {
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
	})
	return err
}

// removeLayer removes a layer from the tag of a format.
func removeLayer(ctx context.Context, s Store, subject name.Digest, f Format, layer v1.Descriptor) error {
	tag, err := tagOfFormat(subject, f)
	if err != nil {
		return err
	}
	_, err = changeTag(ctx, s, tag, func(doc *oci.Document) (*Manifest, error) {
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
	})
	return err
}
