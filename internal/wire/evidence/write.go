package evidence

import (
	"io"
	"maps"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/b64"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// MaxInlineBytes is up to what size, in all, payloads are repeated inside the manifest
// that carries them (the descriptor's "data", OCI descriptor.md). That saves a verifier
// a round trip.
const MaxInlineBytes = 16 << 10

// Written is a piece of evidence that is to be attached.
type Written struct {
	// Layer has the media type and the annotations and, of what Open gives, the digest
	// and the size.
	Layer               v1.Descriptor
	ManifestAnnotations map[string]string
	// Payload is the content. Nil: it is large, and Open gives it, encoded as it is read.
	Payload []byte
	Open    func() (io.ReadCloser, error)
}

// WriteBundle writes a bundle of an envelope with one signature and its material, as
// cosign v3 attaches it.
func WriteBundle(m bundle.Material, e *dsse.Envelope, predicateType string, created time.Time) (Written, error) {
	text, err := bundle.NewEnvelope(m, e)
	if err != nil {
		return Written{}, err
	}
	return Written{
		Layer: v1.Descriptor{MediaType: types.MediaType(bundle.MediaTypeV03)},
		ManifestAnnotations: map[string]string{
			"dev.sigstore.bundle.content":       "dsse-envelope",
			"dev.sigstore.bundle.predicateType": predicateType,
			"org.opencontainers.image.created":  created.UTC().Format(time.RFC3339),
		},
	}.filled(text)
}

// WriteEnvelope writes an envelope as cosign v2 puts it under the .att tag, with the
// annotations of its signature's material.
func WriteEnvelope(e *dsse.Envelope, predicateType string, material map[string]string) (Written, error) {
	text, err := e.TextWithKeyID()
	if err != nil {
		return Written{}, err
	}
	annotations := map[string]string{"predicateType": predicateType, simplesigning.AnnotationSignature: ""}
	maps.Copy(annotations, material)
	return Written{Layer: v1.Descriptor{MediaType: dsse.EnvelopeMediaType, Annotations: annotations}}.filled(text)
}

// WriteSimple writes a simple signing payload and its signature as cosign v2 puts them
// under the .sig tag, with the annotations of its material.
func WriteSimple(payload, signature []byte, material map[string]string) Written {
	annotations := map[string]string{simplesigning.AnnotationSignature: b64.Encode(signature)}
	maps.Copy(annotations, material)
	return Written{Payload: payload, Layer: v1.Descriptor{MediaType: simplesigning.LayerMediaType, Annotations: annotations}}
}

// filled gives a piece its content: held where it may stand inside the manifest, and
// else encoded as it is sent.
func (w Written) filled(text *dsse.Text) (Written, error) {
	if text.Size() <= MaxInlineBytes {
		w.Payload = text.Bytes()
	}
	w.Open = func() (io.ReadCloser, error) { return io.NopCloser(text.Open()), nil }
	var err error
	w.Layer.Digest, w.Layer.Size, err = v1.SHA256(text.Open())
	return w, err
}
