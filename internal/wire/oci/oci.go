// Package oci parses manifests and indexes strictly.
//
// Source: OCI Image Format Specification v1.1, manifest.md, image-index.md and
// descriptor.md; Docker Image Manifest Version 2, Schema 2.
package oci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Media types of manifests and of what evidence manifests hold.
const (
	MediaTypeManifest       = string(types.OCIManifestSchema1)
	MediaTypeIndex          = string(types.OCIImageIndex)
	MediaTypeDockerManifest = string(types.DockerManifestSchema2)
	MediaTypeDockerIndex    = string(types.DockerManifestList)
	MediaTypeConfig         = string(types.OCIConfigJSON)
	MediaTypeEmpty          = "application/vnd.oci.empty.v1+json"
)

// EmptyConfig is the content of MediaTypeEmpty.
const EmptyConfig = "{}"

// ErrMalformed is wrapped by every error of Parse but ErrUnsupported.
var ErrMalformed = errors.New("malformed manifest")

// ErrUnsupported says that the media type is not that of an OCI or Docker schema 2
// manifest or index, such as Docker's schema 1, or that a manifest is named by another
// digest than sha256.
var ErrUnsupported = errors.New("unsupported manifest")

// Document is a manifest (Config, Layers) or an index (Manifests).
type Document struct {
	MediaType    string
	IsIndex      bool
	ArtifactType string
	Config       *v1.Descriptor // nil in an index
	Layers       []v1.Descriptor
	Manifests    []v1.Descriptor
	Subject      *v1.Descriptor
	Annotations  map[string]string
}

// IsManifestType reports whether Parse knows the media type.
func IsManifestType(mediaType string) bool {
	switch mediaType {
	case MediaTypeManifest, MediaTypeIndex, MediaTypeDockerManifest, MediaTypeDockerIndex:
		return true
	}
	return false
}

// maxValues is how many values and names a manifest may hold: more than the shortest
// descriptors of 4 MiB have. What is made of each in memory is many times as large as the
// shortest text of one.
const maxValues = 1 << 19

// Parse parses a manifest or index. contentType is the media type it was served
// or described with; where it is empty, the document's own mediaType or, without
// one, its shape decides. A document is refused where the two media types
// differ, or where it could be read as manifest and index alike.
func Parse(contentType string, data []byte) (*Document, error) {
	root, err := strictjson.ParseWithin(data, maxValues)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if root.Kind() != strictjson.Object {
		return nil, fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	if err := exactNames(root, rootNames); err != nil {
		return nil, err
	}
	d := &Document{}
	if d.MediaType, err = mediaType(contentType, root); err != nil {
		return nil, err
	}
	d.IsIndex = d.MediaType == MediaTypeIndex || d.MediaType == MediaTypeDockerIndex
	if v, ok := root.Get("schemaVersion").Int(); !ok || v != 2 {
		return nil, fmt.Errorf("%w: schemaVersion is not 2", ErrMalformed)
	}
	return d, d.fill(root)
}

func mediaType(contentType string, root strictjson.Value) (string, error) {
	own, hasOwn := root.Get("mediaType").Str()
	if !hasOwn && root.Get("mediaType").Exists() {
		return "", fmt.Errorf("%w: mediaType is no string", ErrMalformed)
	}
	if contentType == "" {
		contentType = own
	}
	if contentType == "" {
		contentType = MediaTypeManifest
		if root.Get("manifests").Exists() {
			contentType = MediaTypeIndex
		}
	}
	if hasOwn && own != contentType {
		return "", fmt.Errorf("%w: mediaType is %.80q but it was served as %.80q", ErrMalformed, own, contentType)
	}
	if !IsManifestType(contentType) {
		return "", fmt.Errorf("%w: %.80q", ErrUnsupported, contentType)
	}
	return contentType, nil
}

func (d *Document) fill(root strictjson.Value) (err error) {
	for _, foreign := range d.foreignFields() {
		if root.Get(foreign).Exists() {
			return fmt.Errorf("%w: field %q does not belong in %s", ErrMalformed, foreign, d.MediaType)
		}
	}
	if d.ArtifactType, err = optionalString(root, "artifactType"); err != nil {
		return err
	}
	var ok bool
	if d.Annotations, ok = root.Get("annotations").StrMap(); !ok {
		return fmt.Errorf("%w: annotations are not a map of strings", ErrMalformed)
	}
	if d.Subject, err = optionalDescriptor(root, "subject"); err != nil {
		return err
	}
	if d.IsIndex {
		d.Manifests, err = descriptors(root, "manifests")
		return err
	}
	if d.Config, err = optionalDescriptor(root, "config"); err != nil {
		return err
	}
	if d.Config == nil {
		return fmt.Errorf("%w: no config", ErrMalformed)
	}
	d.Layers, err = descriptors(root, "layers")
	return err
}

// ParseFallback reads what a fallback tag holds: the entries of an index, as
// ParseReferrers does, or none where it is something else.
func ParseFallback(contentType string, data []byte) ([]v1.Descriptor, error) {
	root, err := strictjson.ParseShallow(data, 1) // the entries are parsed one by one
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	t, err := mediaType(contentType, root)
	if err != nil || t != MediaTypeIndex && t != MediaTypeDockerIndex {
		return nil, err
	}
	return ParseReferrers(data)
}

// ParseReferrers reads a referrers list, which is an index. Any client that pushes causes
// an entry, so a malformed entry is left out and hides no other.
func ParseReferrers(data []byte) ([]v1.Descriptor, error) {
	var list struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	all := make([]v1.Descriptor, 0, len(list.Manifests))
	for _, text := range list.Manifests {
		v, err := strictjson.Parse(text)
		if err != nil {
			continue
		}
		if d, err := descriptor(v); err == nil {
			all = append(all, d)
		}
	}
	return all, nil
}

// foreignFields are the fields whose presence would let the document pass for
// another kind: the index's list in a manifest and the reverse, and the fields
// of Docker's schema 1.
func (d *Document) foreignFields() []string {
	if d.IsIndex {
		return []string{"config", "layers", "fsLayers", "history"}
	}
	return []string{"manifests", "fsLayers", "history"}
}

func optionalString(v strictjson.Value, key string) (string, error) {
	member := v.Get(key)
	s, ok := member.Str()
	if !ok && member.Exists() {
		return "", fmt.Errorf("%w: %s is no string", ErrMalformed, key)
	}
	return s, nil
}

func optionalDescriptor(v strictjson.Value, key string) (*v1.Descriptor, error) {
	member := v.Get(key)
	switch member.Kind() {
	case strictjson.Missing, strictjson.Null:
		return nil, nil
	}
	d, err := descriptor(member)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &d, nil
}

func descriptors(v strictjson.Value, key string) ([]v1.Descriptor, error) {
	list := v.Get(key)
	switch list.Kind() {
	case strictjson.Array:
	case strictjson.Null:
		return nil, nil // written by encoders of other languages for "none"
	default:
		return nil, fmt.Errorf("%w: %s is not a list", ErrMalformed, key)
	}
	all := make([]v1.Descriptor, 0, list.Len())
	for e := range list.Elems() {
		d, err := descriptor(e)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", key, len(all), err)
		}
		all = append(all, d)
	}
	return all, nil
}

// ParseDescriptor reads a descriptor that stands alone.
func ParseDescriptor(text []byte) (v1.Descriptor, error) {
	root, err := strictjson.Parse(text)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return descriptor(root)
}

func descriptor(v strictjson.Value) (d v1.Descriptor, err error) {
	if v.Kind() != strictjson.Object {
		return d, fmt.Errorf("%w: a descriptor is no object", ErrMalformed)
	}
	if err := exactNames(v, descriptorNames); err != nil {
		return d, err
	}
	mt, ok := v.Get("mediaType").Str()
	if !ok {
		return d, fmt.Errorf("%w: a descriptor without mediaType", ErrMalformed)
	}
	d.MediaType = types.MediaType(mt)
	if d.Size, ok = v.Get("size").Int(); !ok || d.Size < 0 {
		return d, fmt.Errorf("%w: a descriptor without a size", ErrMalformed)
	}
	digest, _ := v.Get("digest").Str()
	if d.Digest, err = v1.NewHash(digest); err != nil {
		return d, fmt.Errorf("%w: digest %.200q is neither a sha256 nor a sha512 digest", ErrMalformed, digest)
	}
	if d.Digest.Algorithm != "sha256" && (IsManifestType(mt) || d.Digest.Algorithm != "sha512") {
		return d, fmt.Errorf("%w: digest %.200q of a manifest; blobs alone may have another than sha256", ErrUnsupported, digest)
	}
	if d.ArtifactType, err = optionalString(v, "artifactType"); err != nil {
		return d, err
	}
	if d.Annotations, ok = v.Get("annotations").StrMap(); !ok {
		return d, fmt.Errorf("%w: a descriptor's annotations are not a map of strings", ErrMalformed)
	}
	if err := embedded(v, &d); err != nil {
		return d, err
	}
	d.Platform, err = platform(v.Get("platform"))
	return d, err
}

// embedded reads the descriptor's "data" and "urls".
func embedded(v strictjson.Value, d *v1.Descriptor) error {
	data, err := optionalString(v, "data")
	if err != nil {
		return err
	}
	if data != "" {
		if d.Data, err = base64.StdEncoding.Strict().DecodeString(data); err != nil {
			return fmt.Errorf("%w: a descriptor's data is not base64", ErrMalformed)
		}
	}
	for u := range v.Get("urls").Elems() {
		s, ok := u.Str()
		if !ok {
			return fmt.Errorf("%w: a descriptor's urls are not strings", ErrMalformed)
		}
		d.URLs = append(d.URLs, s)
	}
	return nil
}

func platform(v strictjson.Value) (*v1.Platform, error) {
	if v.Kind() == strictjson.Missing || v.Kind() == strictjson.Null {
		return nil, nil
	}
	if err := exactNames(v, platformNames); err != nil {
		return nil, err
	}
	var p v1.Platform
	for key, field := range map[string]*string{
		"os": &p.OS, "architecture": &p.Architecture, "variant": &p.Variant, "os.version": &p.OSVersion,
	} {
		s, err := optionalString(v, key)
		if err != nil {
			return nil, err
		}
		*field = s
	}
	for _, list := range []struct {
		key string
		to  *[]string
	}{{"os.features", &p.OSFeatures}, {"features", &p.Features}} {
		for e := range v.Get(list.key).Elems() {
			s, ok := e.Str()
			if !ok {
				return nil, fmt.Errorf("%w: a platform's %s are not strings", ErrMalformed, list.key)
			}
			*list.to = append(*list.to, s)
		}
	}
	return &p, nil
}
