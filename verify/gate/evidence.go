package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// evidenceRules define what passes without being judged, by what it is. Every path uses
// them: manifests by tag and by digest, lists of referrers, blobs.
type evidenceRules struct {
	// more are further media types of layers, of JSON objects and of text.
	more []string
	// maxBytes bounds each blob.
	maxBytes int64
}

// maxEvidenceLayers bounds the layers of one manifest of evidence, which are all
// remembered. cosign keeps all signatures of an image in one manifest.
const maxEvidenceLayers = 1000

// name identifies rules among those of other gates, and of other versions of this one.
func (e evidenceRules) name() string {
	sum := sha256.New()
	for _, known := range slices.Sorted(slices.Values(e.more)) {
		_, _ = fmt.Fprintf(sum, "%q\n", known) // a hash does not fail
	}
	_, _ = fmt.Fprintf(sum, "kinds 2 %d %d", e.maxBytes, maxEvidenceLayers)
	return hexOf(sum.Sum(nil))
}

// ofLayer says which kinds a layer of a media type may have; 0: evidence has no such
// layers.
func (e evidenceRules) ofLayer(mediaType string) kinds.Set {
	known := evidence.KindsOfLayer(mediaType)
	if evidence.IsImageType(mediaType) || !slices.ContainsFunc(e.more, func(more string) bool {
		prefix, open := strings.CutSuffix(more, "*")
		return mediaType == more || open && known == 0 && strings.HasPrefix(mediaType, prefix)
	}) {
		return known
	}
	return known | kinds.JSON | kinds.Text
}

// admit reports whether a manifest can only be evidence:
//   - its members are those that the OCI specification names for a manifest, and its
//     artifact type is not that of an image;
//   - it has a layer, and its config and layers have media types of evidence;
//   - each is small enough, for no platform and at no other address;
//   - content in the manifest itself is of the kind of its media type.
func (e evidenceRules) admit(m *manifest) bool {
	d := m.doc
	if evidence.IsImageConfig(d.ArtifactType) || len(d.ArtifactType) > maxMediaType {
		return false
	}
	if d.IsIndex || len(d.Layers) == 0 || len(d.Layers) > maxEvidenceLayers || !e.admitsPart(*d.Config, evidence.KindsOfConfig(string(d.Config.MediaType))) {
		return false
	}
	for _, l := range d.Layers {
		if !e.admitsPart(l, e.ofLayer(string(l.MediaType))) {
			return false
		}
	}
	if s := d.Subject; s != nil && (len(s.Data) > 0 || len(s.URLs) > 0) {
		return false
	}
	return len(e.annotations(d.Annotations)) == len(d.Annotations) && oci.Plain(m.bytes)
}

// admitsPart reports whether a config or layer may be part of evidence.
func (e evidenceRules) admitsPart(d v1.Descriptor, may kinds.Set) bool {
	switch {
	case may == 0, d.Size > e.maxBytes, d.Platform != nil, len(d.URLs) > 0, len(e.annotations(d.Annotations)) < len(d.Annotations):
		return false
	case len(d.Data) == 0:
		return true
	}
	return isItself(d) && is(d.Data, may)
}

// isItself reports whether the content in a descriptor is what the descriptor describes.
func isItself(d v1.Descriptor) bool {
	if len(d.Data) == 0 {
		return true
	}
	return int64(len(d.Data)) == d.Size && oci.Holds(d.Digest, d.Data)
}

func is(content []byte, may kinds.Set) bool {
	what, err := kinds.Of(bytes.NewReader(content))
	return err == nil && what&may != 0
}

// annotations are those of evidence that may pass. Clients act on some: containerd on where
// to find and how to mount content, and readers of Hallmark on the content itself, which
// must be evidence as any other.
func (e evidenceRules) annotations(all map[string]string) map[string]string {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(name, value string) bool {
		return strings.HasPrefix(name, "containerd.io/") || strings.HasPrefix(name, "io.containerd.") ||
			name == registry.AnnotationContent && !e.admitsContent(value)
	})
	return kept
}

// admitsContent judges the content that registry.AnnotationContent repeats.
func (e evidenceRules) admitsContent(text string) bool {
	words := strings.Split(text, " ")
	if len(words) != 4 {
		return false
	}
	content, err := base64.StdEncoding.Strict().DecodeString(words[3])
	return err == nil && is(content, e.ofLayer(words[2]))
}

// refers reports whether a manifest passes for its subject: it can only be evidence, and
// its config is not an image's.
func (e evidenceRules) refers(m *manifest) bool {
	if m.doc.Subject == nil || m.doc.Config == nil || evidence.IsImageConfig(string(m.doc.Config.MediaType)) {
		return false
	}
	subject := m.doc.Subject.Digest.String()
	return subject != m.digest && checkDigest(subject) == nil && e.admit(m)
}

// entryOf is the entry of a manifest in a list of referrers.
// Source: OCI Distribution Specification v1.1, "Listing Referrers".
func (e evidenceRules) entryOf(m *manifest) v1.Descriptor {
	entry := m.descriptor()
	entry.ArtifactType, entry.Annotations = m.doc.ArtifactType, e.annotations(m.doc.Annotations)
	if entry.ArtifactType == "" && m.doc.Config != nil {
		entry.ArtifactType = string(m.doc.Config.MediaType)
	}
	if len(entry.ArtifactType) > maxMediaType {
		entry.ArtifactType = ""
	}
	if lengthOf(entry) > maxEntry {
		entry.Annotations = nil
	}
	return entry
}

// Bounds of an entry in the gate's list. Beyond maxEntry it has no annotations. A longer
// media type is not one (RFC 6838, section 4.2).
const (
	maxEntry     = 8 << 10
	maxMediaType = 255
)

// kindsOf says which kinds each blob of a manifest of evidence may have.
func (e evidenceRules) kindsOf(d *oci.Document) map[v1.Hash]kinds.Set {
	may := map[v1.Hash]kinds.Set{d.Config.Digest: evidence.KindsOfConfig(string(d.Config.MediaType))}
	for _, l := range d.Layers {
		may[l.Digest] |= e.ofLayer(string(l.MediaType))
	}
	return may
}

// evidenceTag reads cosign's tags and the fallback tag of the referrers API, and returns
// the digest that they are about.
// Source: OCI Distribution Specification v1.1, "Referrers Tag Schema".
func evidenceTag(tag string) (subject, suffix string, ok bool) {
	rest, ok := strings.CutPrefix(tag, "sha256-")
	if !ok || len(rest) < 64 || !isHex(rest[:64]) {
		return "", "", false
	}
	switch suffix = rest[64:]; suffix {
	case "", ".sig", ".att", ".sbom":
		return "sha256:" + rest[:64], suffix, true
	}
	return "", "", false
}
