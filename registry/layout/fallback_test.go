package layout_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

func fallbackTag(subject v1.Hash) string { return "sha256-" + subject.Hex }

// fallbackOf are the digests that the fallback tag of a subject lists; nil: no such tag.
func fallbackOf(t *testing.T, dir string, subject v1.Hash) []v1.Hash {
	t.Helper()
	var all []v1.Hash
	for _, d := range readIndex(t, dir) {
		if d.Annotations["org.opencontainers.image.ref.name"] != fallbackTag(subject) {
			continue
		}
		if all != nil {
			t.Error("two entries have the fallback tag")
		}
		text, err := os.ReadFile(blobFile(dir, d.Digest))
		must(t, err)
		var list v1.IndexManifest
		must(t, json.Unmarshal(text, &list))
		for _, entry := range list.Manifests {
			all = append(all, entry.Digest)
		}
	}
	return all
}

// sameDigests reports whether two lists hold the same, in any order.
func sameDigests(a, b []v1.Hash) bool {
	byHex := func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), byHex), slices.SortedFunc(slices.Values(b), byHex))
}

func TestFallbackTag_IsKeptInStepWithReferrers(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	subject := image.Descriptor.Digest
	if got := fallbackOf(t, dir, subject); got != nil {
		t.Errorf("before there is a referrer: %v", got)
	}
	first := pushImage(t, l, nil, "first", &image.Descriptor)
	before := len(blobNames(t, dir))
	second := pushImage(t, l, l.Tag("named"), "second", &image.Descriptor)
	pushImage(t, l, nil, "first", &image.Descriptor)
	if got := fallbackOf(t, dir, subject); !sameDigests(got, []v1.Hash{first.Descriptor.Digest, second.Descriptor.Digest}) {
		t.Errorf("it lists %v", got)
	}
	// A config, a layer, a manifest; the list that was replaced is gone.
	if after := len(blobNames(t, dir)); after > before+3 {
		t.Errorf("%d blobs, and %d before", after, before)
	}
	must(t, l.RemoveManifest(t.Context(), l.Digest(first.Descriptor.Digest)))
	if got := fallbackOf(t, dir, subject); !slices.Equal(got, []v1.Hash{second.Descriptor.Digest}) {
		t.Errorf("after a removal it lists %v", got)
	}
	must(t, l.RemoveManifest(t.Context(), l.Digest(second.Descriptor.Digest)))
	if got := fallbackOf(t, dir, subject); got != nil {
		t.Errorf("after the last removal it lists %v", got)
	}
	if n := len(listReferrers(t, l, l.Digest(subject))); n != 0 {
		t.Errorf("%d referrers are left", n)
	}
}

func TestFallbackTag_KeepsWhatOthersListedAndWhatIsNoList(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	subject := image.Descriptor.Digest
	foreign := image.Descriptor
	foreign.Digest.Hex = strings.Repeat("a", 64)
	text, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []v1.Descriptor{foreign}})
	must(t, err)
	m, err := registry.NewManifest("application/vnd.oci.image.index.v1+json", text)
	must(t, err)
	_, err = l.PushManifest(t.Context(), l.Tag(fallbackTag(subject)), m, registry.PushOptions{})
	must(t, err)
	own := pushImage(t, l, nil, "own", &image.Descriptor)
	if got := fallbackOf(t, dir, subject); !sameDigests(got, []v1.Hash{foreign.Digest, own.Descriptor.Digest}) {
		t.Errorf("it lists %v", got)
	}
	planted := pushImage(t, l, l.Tag(fallbackTag(subject)), "planted", nil)
	pushImage(t, l, nil, "another", &image.Descriptor)
	if d, err := l.Resolve(t.Context(), l.Tag(fallbackTag(subject))); err != nil || d.Digest != planted.Descriptor.Digest {
		t.Errorf("a tag that holds an image was changed: %v, %v", d.Digest, err)
	}
	if n := len(listReferrers(t, l, l.Digest(subject))); n != 2 {
		t.Errorf("%d referrers", n)
	}
}

func TestLayout_MarksTheFirstImageForCosign(t *testing.T) {
	l, dir := newLayout(t)
	first := pushImage(t, l, l.Tag("v1"), "first", nil)
	pushImage(t, l, l.Tag("v2"), "second", nil)
	pushImage(t, l, l.Tag(fallbackTag(first.Descriptor.Digest)+".sig"), "signatures", nil)
	kinds := make(map[string]string)
	for _, d := range readIndex(t, dir) {
		kinds[d.Annotations["org.opencontainers.image.ref.name"]] = d.Annotations["kind"]
	}
	if kinds["v1"] != "dev.cosignproject.cosign/image" || kinds["v2"] != "" || kinds[fallbackTag(first.Descriptor.Digest)+".sig"] != "dev.cosignproject.cosign/sigs" {
		t.Errorf("%v", kinds)
	}
}

func blobNames(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	must(t, err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// savedByCosign makes of a layout what "cosign save" v3 writes: the image has no name, and
// its referrers are listed nowhere.
func savedByCosign(t *testing.T, dir string, image v1.Hash) {
	t.Helper()
	for _, d := range readIndex(t, dir) {
		if d.Digest != image {
			continue
		}
		d.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/image"}
		text, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []v1.Descriptor{d}})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "index.json"), text, 0o600))
		return
	}
	t.Fatal("the image is not listed")
}

func TestReferrers_OfCosignSaveAreFoundInBlobs(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	other := pushImage(t, l, l.Tag("v2"), "other", nil)
	referrer := pushImage(t, l, nil, "referrer", &image.Descriptor)
	foreign := pushImage(t, l, nil, "foreign", &other.Descriptor)
	savedByCosign(t, dir, image.Descriptor.Digest)
	l = openLayout(t, dir, layout.Options{})
	if got := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(got) != 1 || got[0].Digest != referrer.Descriptor.Digest {
		t.Errorf("%v", got)
	}
	if got := listReferrers(t, l, l.Digest(other.Descriptor.Digest)); len(got) != 1 || got[0].Digest != foreign.Descriptor.Digest {
		t.Errorf("of the other: %v", got)
	}
	must(t, l.RemoveManifest(t.Context(), l.Digest(referrer.Descriptor.Digest)))
	if got := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(got) != 0 {
		t.Errorf("after it was removed: %v", got)
	}
}

func TestReferrers_OfOtherLayoutsAreNotLookedForInBlobs(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	referrer := pushImage(t, l, nil, "referrer", &image.Descriptor)
	must(t, l.RemoveManifest(t.Context(), l.Digest(referrer.Descriptor.Digest)))
	l = openLayout(t, dir, layout.Options{})
	if got := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(got) != 0 {
		t.Errorf("what was removed is found again: %v", got)
	}
}

func TestAttack_F1_PlantedBlobsOfASavedLayoutAreIgnored(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	referrer := pushImage(t, l, nil, "referrer", &image.Descriptor)
	savedByCosign(t, dir, image.Descriptor.Digest)
	blob := func(name string) string { return filepath.Join(dir, "blobs", "sha256", name) }
	text, err := os.ReadFile(blobFile(dir, referrer.Descriptor.Digest))
	must(t, err)
	must(t, os.WriteFile(blob(strings.Repeat("b", 64)), text, 0o600)) // under another digest
	must(t, os.WriteFile(blob("notes.txt"), text, 0o600))
	must(t, os.WriteFile(blob(strings.Repeat("C", 64)), text, 0o600))
	must(t, os.Symlink(blobFile(dir, referrer.Descriptor.Digest), blob(strings.Repeat("d", 64))))
	must(t, os.Mkdir(blob(strings.Repeat("e", 64)), 0o755))
	must(t, os.WriteFile(blob(strings.Repeat("f", 64)), []byte("{"+strings.Repeat(`"a":`, 1000)), 0o600))
	l = openLayout(t, dir, layout.Options{})
	if got := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(got) != 1 || got[0].Digest != referrer.Descriptor.Digest {
		t.Errorf("%v", got)
	}
}

func TestAttack_E9_ScansOfASavedLayoutAreBounded(t *testing.T) {
	for name, o := range map[string]layout.Options{"files": {MaxScannedFiles: 3}, "bytes": {MaxScannedBytes: 200}} {
		l, dir := newLayout(t)
		image := pushImage(t, l, l.Tag("v1"), "image", nil)
		pushImage(t, l, nil, "referrer", &image.Descriptor)
		savedByCosign(t, dir, image.Descriptor.Digest)
		l = openLayout(t, dir, o)
		var last error
		for _, err := range l.Referrers(t.Context(), l.Digest(image.Descriptor.Digest)) {
			last = err
		}
		t.Log(name, last)
		wantKind(t, last, registry.ErrTooMany)
	}
}
