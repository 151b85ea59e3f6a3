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
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// evidenceRules are the positive definition of what passes without being judged. Every
// path asks them: manifests by tag and by digest, lists of referrers, blobs.
type evidenceRules struct {
	// more are further media types of layers: of JSON objects.
	more []string
	// maxBytes bounds each blob.
	maxBytes int64
}

// maxEvidenceLayers bounds what one manifest of evidence lists. All of it is remembered.
// cosign keeps all signatures of an image in one manifest.
const maxEvidenceLayers = 1000

// name tells rules apart from those of other gates, and of other versions of this one.
func (e evidenceRules) name() string {
	sum := sha256.New()
	for _, known := range slices.Sorted(slices.Values(e.more)) {
		_, _ = fmt.Fprintf(sum, "%q\n", known) // a hash does not fail
	}
	_, _ = fmt.Fprintf(sum, "kinds 1 %d %d", e.maxBytes, maxEvidenceLayers)
	return hexOf(sum.Sum(nil))
}

// ofLayer says what a layer of a media type may be; 0: evidence has no such layers.
func (e evidenceRules) ofLayer(mediaType string) kinds.Set {
	if known := evidence.KindsOfLayer(mediaType); known != 0 {
		return known
	}
	if !evidence.IsImageType(mediaType) && slices.ContainsFunc(e.more, func(more string) bool {
		prefix, open := strings.CutSuffix(more, "*")
		return mediaType == more || open && strings.HasPrefix(mediaType, prefix)
	}) {
		return kinds.JSON
	}
	return 0
}

// admit reports whether a manifest can be nothing but evidence:
//   - its members are those that the OCI specification names for a manifest;
//   - it has at least one layer, and its config and layers are of kinds that evidence has;
//   - each is small enough, for no platform and at no other address;
//   - what stands in the manifest itself in place of a blob is of the blob's kind.
func (e evidenceRules) admit(m *manifest) bool {
	d := m.doc
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

// isItself reports whether the content that stands in a descriptor is what it describes.
func isItself(d v1.Descriptor) bool {
	if len(d.Data) == 0 {
		return true
	}
	sum := sha256.Sum256(d.Data)
	return int64(len(d.Data)) == d.Size && hexOf(sum[:]) == d.Digest.Hex
}

func is(content []byte, may kinds.Set) bool {
	what, err := kinds.Of(bytes.NewReader(content))
	return err == nil && what&may != 0
}

// annotations are those of evidence that may pass. Clients take what some say for more
// than a remark: containerd where it finds content and how to mount it, and readers of
// ours the content itself, which must be evidence as any other.
func (e evidenceRules) annotations(all map[string]string) map[string]string {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(name, value string) bool {
		return strings.HasPrefix(name, "containerd.io/") || strings.HasPrefix(name, "io.containerd.") ||
			name == registry.AnnotationContent && !e.admitsContent(value)
	})
	return kept
}

// admitsContent looks at the content that registry.AnnotationContent repeats.
func (e evidenceRules) admitsContent(text string) bool {
	words := strings.Split(text, " ")
	if len(words) != 4 {
		return false
	}
	content, err := base64.StdEncoding.Strict().DecodeString(words[3])
	return err == nil && is(content, e.ofLayer(words[2]))
}

// entry is what a list of referrers says here of an entry of the upstream's; false: the
// entry cannot be one of evidence.
func (e evidenceRules) entry(d v1.Descriptor) (v1.Descriptor, bool) {
	if d.MediaType != types.OCIManifestSchema1 && d.MediaType != types.DockerManifestSchema2 || d.Platform != nil || evidence.IsImageConfig(d.ArtifactType) {
		return v1.Descriptor{}, false
	}
	entry := v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest, ArtifactType: d.ArtifactType, Annotations: e.annotations(d.Annotations)}
	if lengthOf(entry) > maxEntry {
		entry.Annotations = nil
	}
	return entry, len(entry.ArtifactType) <= maxMediaType
}

// Bounds of an entry of a list that the gate writes: with more annotations it has none,
// and a longer media type is none (RFC 6838, section 4.2).
const (
	maxEntry     = 8 << 10
	maxMediaType = 255
)

// kindsOf says what each blob may be that a manifest of evidence lists.
func (e evidenceRules) kindsOf(d *oci.Document) map[v1.Hash]kinds.Set {
	may := map[v1.Hash]kinds.Set{d.Config.Digest: evidence.KindsOfConfig(string(d.Config.MediaType))}
	for _, l := range d.Layers {
		may[l.Digest] |= e.ofLayer(string(l.MediaType))
	}
	return may
}

// evidenceTag reads cosign's tags, and the fallback tag of the referrers API, and
// returns the digest that they are about.
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
