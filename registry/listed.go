package registry

import (
	"encoding/base64"
	"maps"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// AnnotationContent is an annotation that Attach sets on small evidence. Registries
// repeat the annotations of a manifest in the referrers list (OCI Distribution
// Specification v1.1, "Listing Referrers"). From this one, a reader of the list
// assembles the manifest without fetching it.
//
// The value has four words: the media type and size of the subject, the media type of
// the payload, and the payload in base64. Readers that do not know the annotation
// fetch the payload as always.
const AnnotationContent = "io.github.hallmark-oci.content"

// maxListedBytes is up to what size Attach repeats a payload in the list: a
// signature has less, and a thousand of them fit a page of the list.
const maxListedBytes = 2 << 10

// maxListedInFallback is how many bytes of payloads the index under the fallback
// tag repeats in all: it must stay small enough for registries.
const maxListedInFallback = 256 << 10

// referrerManifest is the manifest of a payload about a subject.
func referrerManifest(subject, layer v1.Descriptor, annotations map[string]string) Manifest {
	return marshalManifest(wireManifest{
		Config: describe(oci.MediaTypeEmpty, []byte(oci.EmptyConfig)).Descriptor, Layers: []v1.Descriptor{layer},
		Annotations:  annotations,
		Subject:      &v1.Descriptor{MediaType: subject.MediaType, Size: subject.Size, Digest: subject.Digest},
		ArtifactType: string(layer.MediaType),
	})
}

// withContent adds to a manifest's annotations what lets readers of the list do
// without the manifest, if it is small enough.
func withContent(subject v1.Descriptor, item Item) map[string]string {
	annotations := maps.Clone(item.ManifestAnnotations)
	delete(annotations, AnnotationContent) // another manifest's, from where the item was read
	if item.Payload == nil || len(item.Payload) > maxListedBytes || len(item.Layer.Annotations) > 0 {
		return annotations
	}
	words := []string{string(subject.MediaType), strconv.FormatInt(subject.Size, 10),
		string(item.Layer.MediaType), base64.StdEncoding.EncodeToString(item.Payload)}
	text := strings.Join(words, " ")
	if len(strings.Fields(text)) != len(words) {
		return annotations // an empty payload, or a media type with spaces
	}
	if annotations == nil {
		annotations = make(map[string]string, 1)
	}
	annotations[AnnotationContent] = text
	return annotations
}

// fromEntry assembles a manifest from its entry in the list. True: it hashes to the
// digest in the entry, and so is the manifest itself. False: it must be fetched.
func fromEntry(subject v1.Hash, entry v1.Descriptor) (Manifest, bool) {
	text, there := entry.Annotations[AnnotationContent]
	if !there {
		return Manifest{}, false
	}
	words := strings.Split(text, " ")
	if len(words) != 4 || len(words[3]) > base64.StdEncoding.EncodedLen(maxListedBytes) {
		return Manifest{}, false
	}
	size, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return Manifest{}, false
	}
	payload, err := base64.StdEncoding.DecodeString(words[3])
	if err != nil {
		return Manifest{}, false
	}
	layer := layerOf(Item{Layer: v1.Descriptor{MediaType: types.MediaType(words[2])}, Payload: payload})
	about := v1.Descriptor{MediaType: types.MediaType(words[0]), Size: size, Digest: subject}
	m := referrerManifest(about, layer, entry.Annotations)
	return m, m.Descriptor.Digest == entry.Digest
}

// listedWithin leaves out of an index's entries what repeats the content of
// manifests, beyond so many bytes in all.
func listedWithin(entries []v1.Descriptor, most int) []v1.Descriptor {
	for i, e := range entries {
		text, there := e.Annotations[AnnotationContent]
		if most -= len(text); !there || most >= 0 {
			continue
		}
		entries[i].Annotations = maps.Clone(e.Annotations)
		delete(entries[i].Annotations, AnnotationContent)
	}
	return entries
}
