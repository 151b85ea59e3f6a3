package evidence

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// Format is how a layer of evidence is read; empty: it is not.
type Format string

// The formats, as package registry calls them.
const (
	FormatBundle        Format = "bundle"
	FormatSimpleSigning Format = "simple-signing"
	FormatEnvelope      Format = "dsse-envelope"
	FormatStatement     Format = "statement"
)

// layerType says what layers of a media type may be, and how they are read.
type layerType struct {
	may    kinds.Set
	format Format
}

// layerTypes is the one table of media types of evidence. What is read has a format;
// what has none passes through a gate, for readers other than this library. The media
// types that name the version of a bundle are those of package bundle.
var layerTypes = map[string]layerType{
	dsse.EnvelopeMediaType:       {kinds.Envelope, FormatEnvelope},
	simplesigning.LayerMediaType: {kinds.SimpleSigning, FormatSimpleSigning},
	dsse.PayloadTypeInToto:       {kinds.Statement | kinds.Envelope, FormatStatement},

	"application/vnd.dev.sigstore.bundle+json":      {may: kinds.Bundle},
	"application/vnd.dev.sigstore.bundle.v0.1+json": {may: kinds.Bundle},
	"application/vnd.dev.sigstore.bundle.v0.2+json": {may: kinds.Bundle},
	"application/vnd.in-toto.bundle+json":           {may: kinds.Bundle | kinds.Envelope},
	"application/spdx+json":                         {may: kinds.JSON},
	"text/spdx+json":                                {may: kinds.JSON},
	"spdx+json":                                     {may: kinds.JSON},
	"application/vnd.syft":                          {may: kinds.JSON},
	"text/spdx":                                     {may: kinds.SPDXText | kinds.JSON}, // the default of "cosign attach sbom", whatever the document
	"application/vnd.cyclonedx":                     {may: kinds.JSON},
	"application/vnd.cyclonedx+json":                {may: kinds.JSON},
	"application/vnd.syft+json":                     {may: kinds.JSON},
	"application/sarif+json":                        {may: kinds.JSON},
	"application/vnd.openvex":                       {may: kinds.JSON},
	"application/vnd.openvex+json":                  {may: kinds.JSON},
	"application/openvex+json":                      {may: kinds.JSON},
	"application/jose+json":                         {may: kinds.JOSE},
	"application/cose":                              {may: kinds.COSE},
	"application/json":                              {may: kinds.JSON},
	oci.MediaTypeEmpty:                              {may: kinds.Empty},
}

// FormatOf says how a layer of a media type is read.
func FormatOf(mediaType string) Format {
	if bundle.IsMediaType(mediaType) {
		return FormatBundle
	}
	return layerTypes[mediaType].format
}

// MayCarry reports whether a manifest of an artifact type may carry what is read. Some
// registries report the media type of the config instead, so the types that evidence
// gives its config count too.
func MayCarry(artifactType string) bool {
	switch artifactType {
	case "", oci.MediaTypeEmpty, oci.MediaTypeConfig:
		return true
	}
	return FormatOf(artifactType) != "" || strings.HasPrefix(artifactType, "application/vnd.dev.sigstore.bundle") ||
		strings.HasPrefix(artifactType, "application/vnd.dev.cosign.")
}

// KindsOfLayer says what a layer of a media type may be; 0: evidence has no such layers.
func KindsOfLayer(mediaType string) kinds.Set {
	base, _, _ := strings.Cut(mediaType, ";")
	base = strings.TrimSpace(base)
	if bundle.IsMediaType(base) {
		return kinds.Bundle
	}
	if known, ok := layerTypes[base]; ok {
		return known.may
	}
	if rest, ok := strings.CutPrefix(base, "application/vnd.in-toto."); ok {
		switch { // one media type for each predicate (in-toto attestation, spec/v1/envelope.md)
		case strings.HasSuffix(rest, "+dsse"):
			return kinds.Envelope
		case strings.HasSuffix(rest, "+json"):
			return kinds.Statement
		}
	}
	return 0
}

// IsImageConfig reports whether a media type is that of an image's config.
func IsImageConfig(mediaType string) bool {
	return mediaType == string(types.OCIConfigJSON) || mediaType == string(types.DockerConfigJSON)
}

// IsImageType reports whether a media type is that of a part of images: clients may
// unpack what bears it.
func IsImageType(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.") || strings.HasPrefix(mediaType, "application/vnd.docker.")
}

// KindsOfConfig says what the config of evidence with a media type may be; 0: evidence
// has no such config. Older clients give the config the media type that is now the
// artifact's. A config of an unknown media type must be empty.
func KindsOfConfig(mediaType string) kinds.Set {
	switch {
	case IsImageConfig(mediaType):
		return kinds.Inert | kinds.Empty
	case mediaType == oci.MediaTypeEmpty:
		return kinds.Empty
	case strings.HasPrefix(mediaType, "application/vnd.dev.cosign.artifact."), KindsOfLayer(mediaType) != 0:
		return kinds.Inert | kinds.Empty
	case IsImageType(mediaType):
		return 0
	}
	return kinds.Empty
}
