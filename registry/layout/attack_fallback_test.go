package layout_test

import (
	"encoding/json"
	"os"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// pushIndex stores an index of images under a tag.
func pushIndexOf(t *testing.T, push func(registry.Manifest), children ...v1.Descriptor) registry.Manifest {
	t.Helper()
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": children})
	must(t, err)
	m, err := registry.NewManifest("application/vnd.oci.image.index.v1+json", text)
	must(t, err)
	push(m)
	return m
}

// A layout that was filled from a registry which answers the fallback tag with the image:
// attaching evidence must not remove the image.
func TestAttack_E19_AttachingInALayoutRemovesNoImage(t *testing.T) {
	for name, platform := range map[string]*v1.Platform{"of a platform": {OS: "linux", Architecture: "amd64"}, "without platform": nil} {
		t.Run(name, func(t *testing.T) {
			l, dir := newLayout(t)
			child := pushImage(t, l, nil, "child", nil).Descriptor
			child.Platform = platform
			image := pushIndexOf(t, func(m registry.Manifest) {
				subject := m.Descriptor.Digest
				_, err := l.PushManifest(t.Context(), l.Tag(fallbackTag(subject)), m, registry.PushOptions{})
				must(t, err)
			}, child)
			first := pushImage(t, l, nil, "first", &image.Descriptor)
			if _, err := os.Stat(blobFile(dir, image.Descriptor.Digest)); err != nil {
				t.Fatalf("the image is gone: %v", err)
			}
			if m, err := l.Manifest(t.Context(), l.Tag(fallbackTag(image.Descriptor.Digest))); err != nil || m.Descriptor.Digest != image.Descriptor.Digest {
				t.Errorf("the tag holds %v, %v", m.Descriptor, err)
			}
			if got := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(got) != 1 || got[0].Digest != first.Descriptor.Digest {
				t.Errorf("the referrers are %v", got)
			}
			must(t, l.RemoveManifest(t.Context(), l.Digest(first.Descriptor.Digest)))
			if _, err := l.Manifest(t.Context(), l.Digest(image.Descriptor.Digest)); err != nil {
				t.Errorf("the image is gone: %v", err)
			}
		})
	}
}
