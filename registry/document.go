package registry

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// Document is the content of a manifest (Config, Layers) or an index (Manifests).
type Document struct {
	MediaType    string
	IsIndex      bool
	ArtifactType string
	// Config is nil in an index.
	Config    *v1.Descriptor
	Layers    []v1.Descriptor
	Manifests []v1.Descriptor
	// Subject is the manifest that this one refers to. Nil: it has none.
	Subject     *v1.Descriptor
	Annotations map[string]string
}

// Parse reads the manifest strictly. A manifest that two readers could understand in
// different ways is ErrMalformed.
func (m Manifest) Parse() (*Document, error) {
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return nil, &Error{Op: "read manifest", Ref: m.Descriptor.Digest.String(), Kind: ErrMalformed, Err: err}
	}
	return (*Document)(doc), nil
}

// ParseDescriptor reads the JSON text of a descriptor as strictly as Manifest.Parse.
func ParseDescriptor(text []byte) (v1.Descriptor, error) {
	d, err := oci.ParseDescriptor(text)
	if err != nil {
		err = &Error{Op: "read descriptor", Kind: ErrMalformed, Err: err}
	}
	return d, err
}
