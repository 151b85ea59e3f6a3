package layout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	ggcrlayout "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	emptyJSON   = "application/vnd.oci.empty.v1+json"
)

// newLayout makes an empty layout.
func newLayout(t testing.TB) (*layout.Layout, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	return openLayout(t, dir, layout.Options{Create: true}), dir
}

func openLayout(t testing.TB, dir string, o layout.Options) *layout.Layout {
	t.Helper()
	l, err := layout.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// blobDescriptor describes bytes.
func blobDescriptor(mediaType string, data []byte) v1.Descriptor {
	h, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		panic(err) // a reader of memory does not fail
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: h, Size: size}
}

// testManifest makes a manifest of one layer; subject may be nil.
func testManifest(t testing.TB, layer string, subject *v1.Descriptor) registry.Manifest {
	t.Helper()
	data, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: ociManifest,
		Config:      blobDescriptor(emptyJSON, []byte("{}")),
		Layers:      []v1.Descriptor{blobDescriptor("text/plain", []byte(layer))},
		Subject:     subject,
		Annotations: map[string]string{"test.layer": layer[:min(len(layer), 40)]},
	})
	if err != nil {
		t.Fatal(err)
	}
	return mustManifest(t, ociManifest, data)
}

func mustManifest(t testing.TB, mediaType string, data []byte) registry.Manifest {
	t.Helper()
	m, err := registry.NewManifest(mediaType, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pushImage pushes a manifest of testManifest with its blobs.
func pushImage(t testing.TB, s registry.Store, ref name.Reference, layer string, subject *v1.Descriptor) registry.Manifest {
	t.Helper()
	m := testManifest(t, layer, subject)
	if ref == nil {
		ref = digestIn(s, m.Descriptor.Digest)
	}
	for _, data := range []string{"{}", layer} {
		pushBlob(t, s, ref.Context(), []byte(data))
	}
	push(t, s, ref, m)
	return m
}

// digestIn refers to a digest of the layout.
func digestIn(s registry.Store, h v1.Hash) name.Digest { return s.(*layout.Layout).Digest(h) }

func pushBlob(t testing.TB, w registry.Writer, repo name.Repository, data []byte) name.Digest {
	t.Helper()
	ref := repo.Digest(blobDescriptor("", data).Digest.String())
	if err := w.PushBlob(t.Context(), ref, int64(len(data)), opener(data)); err != nil {
		t.Fatal(err)
	}
	return ref
}

func opener(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func push(t testing.TB, w registry.Writer, ref name.Reference, m registry.Manifest) {
	t.Helper()
	if _, err := w.PushManifest(t.Context(), ref, m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
}

func listReferrers(t testing.TB, r registry.Reader, subject name.Digest) []v1.Descriptor {
	t.Helper()
	var all []v1.Descriptor
	for d, err := range r.Referrers(t.Context(), subject) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func readBlob(r registry.Reader, ref name.Digest, size int64) ([]byte, error) {
	body, err := r.Blob(context.Background(), ref, size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func blobFile(dir string, h v1.Hash) string { return filepath.Join(dir, "blobs", "sha256", h.Hex) }

func wantKind(t testing.TB, err error, kind registry.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error is %v, want %q", err, kind)
	}
	var typed *registry.Error
	if err != nil && !errors.As(err, &typed) {
		t.Errorf("error %v is not a *registry.Error", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLayoutKeepsTheContractOfStores(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		l, _ := newLayout(t)
		return l, l.Repository()
	})
}

func TestLayoutThatIsMissingIsNotFound(t *testing.T) {
	for name, dir := range map[string]string{"no directory": filepath.Join(t.TempDir(), "none"), "empty directory": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			_, err := layout.Open(dir, layout.Options{})
			wantKind(t, err, registry.ErrNotFound)
		})
	}
}

func TestLayoutOfUnknownShapeIsRefused(t *testing.T) {
	const goodIndex = `{"schemaVersion":2,"manifests":[]}`
	const goodLayout = `{"imageLayoutVersion":"1.0.0"}`
	for name, c := range map[string]struct {
		layout, index string
		want          registry.Kind
	}{
		"later version":     {`{"imageLayoutVersion":"2.0.0"}`, goodIndex, registry.ErrUnsupported},
		"no version":        {`{}`, goodIndex, registry.ErrMalformed},
		"version number":    {`{"imageLayoutVersion":1}`, goodIndex, registry.ErrMalformed},
		"duplicate version": {`{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}`, goodIndex, registry.ErrMalformed},
		"index is manifest": {goodLayout, `{"schemaVersion":2,"config":{},"layers":[]}`, registry.ErrMalformed},
		"index is not JSON": {goodLayout, `{"schemaVersion":2,"manifests":[`, registry.ErrMalformed},
		"sha512 entry": {goodLayout, `{"schemaVersion":2,"manifests":[{"mediaType":"` + ociManifest +
			`","size":1,"digest":"sha512:` + strings.Repeat("0", 128) + `"}]}`, registry.ErrMalformed},
		"path for a digest": {goodLayout, `{"schemaVersion":2,"manifests":[{"mediaType":"` + ociManifest +
			`","size":1,"digest":"sha256:../../../../../../../../etc/passwd"}]}`, registry.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(c.layout), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(c.index), 0o600))
			_, err := layout.Open(dir, layout.Options{})
			wantKind(t, err, c.want)
		})
	}
}

func TestLayoutKeepsWhatIsPushed(t *testing.T) {
	l, dir := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "layer", nil)
	l = openLayout(t, dir, layout.Options{})

	for _, ref := range []name.Reference{l.Tag("v1"), l.Digest(m.Descriptor.Digest)} {
		got, err := l.Manifest(t.Context(), ref)
		must(t, err)
		if !bytes.Equal(got.Bytes, m.Bytes) || got.Descriptor.Digest != m.Descriptor.Digest || got.Descriptor.MediaType != ociManifest {
			t.Errorf("%s: got %v, want %v", ref, got.Descriptor, m.Descriptor)
		}
		d, err := l.Resolve(t.Context(), ref)
		must(t, err)
		if d.Digest != m.Descriptor.Digest || d.Size != m.Descriptor.Size {
			t.Errorf("%s resolves to %v", ref, d)
		}
	}
	data, err := readBlob(l, l.Digest(blobDescriptor("", []byte("layer")).Digest), 5)
	if err != nil || string(data) != "layer" {
		t.Errorf("blob is %q, %v", data, err)
	}
	tags, err := l.Tags(t.Context())
	if err != nil || !slices.Equal(tags, []string{"v1"}) {
		t.Errorf("tags are %v, %v", tags, err)
	}
	_, err = l.Resolve(t.Context(), l.Tag("v2"))
	wantKind(t, err, registry.ErrNotFound)
	_, err = l.Resolve(t.Context(), l.Digest(blobDescriptor("", []byte("other")).Digest))
	wantKind(t, err, registry.ErrNotFound)
}

func TestLayoutIgnoresRegistryAndRepository(t *testing.T) {
	l, _ := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "layer", nil)
	d, err := l.Resolve(t.Context(), name.MustParseReference("registry.example/team/app:v1"))
	if err != nil || d.Digest != m.Descriptor.Digest {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestLayoutFindsTagsOfOtherTools(t *testing.T) {
	for name, c := range map[string]struct {
		annotations []map[string]string
		want        int // index of the manifest that v1 names, or -1
		kind        registry.Kind
	}{
		"exact name":              {[]map[string]string{{"org.opencontainers.image.ref.name": "v1"}}, 0, ""},
		"exact name before full":  {[]map[string]string{{"org.opencontainers.image.ref.name": "app:v1"}, {"org.opencontainers.image.ref.name": "v1"}}, 1, ""},
		"full name":               {[]map[string]string{{"org.opencontainers.image.ref.name": "docker.io/library/app:v1"}}, 0, ""},
		"containerd's name":       {[]map[string]string{{"io.containerd.image.name": "docker.io/library/app:v1"}}, 0, ""},
		"two full names":          {[]map[string]string{{"io.containerd.image.name": "a:v1"}, {"io.containerd.image.name": "b:v1"}}, -1, registry.ErrReference},
		"one name, two manifests": {[]map[string]string{{"org.opencontainers.image.ref.name": "v1"}, {"org.opencontainers.image.ref.name": "v1"}}, -1, registry.ErrReference},
		"part of a name":          {[]map[string]string{{"org.opencontainers.image.ref.name": "dev1"}, {"org.opencontainers.image.ref.name": "repo/v1"}}, -1, registry.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			l, dir := newLayout(t)
			var all []v1.Descriptor
			for i, annotations := range c.annotations {
				d := pushImage(t, l, nil, fmt.Sprint("layer", i), nil).Descriptor
				d.Annotations = annotations
				all = append(all, d)
			}
			writeIndex(t, dir, all...)
			got, err := l.Resolve(t.Context(), l.Tag("v1"))
			if c.want < 0 {
				wantKind(t, err, c.kind)
			} else if err != nil || got.Digest != all[c.want].Digest {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestLayoutOfCosignSaveHasItsEvidence(t *testing.T) {
	l, dir := newLayout(t)
	kind := func(kind string, m registry.Manifest) v1.Descriptor {
		d := m.Descriptor
		d.Annotations = map[string]string{"kind": "dev.cosignproject.cosign/" + kind}
		return d
	}
	image := pushImage(t, l, nil, "image", nil)
	sigs, atts := pushImage(t, l, nil, "signatures", nil), pushImage(t, l, nil, "attestations", nil)
	writeIndex(t, dir, kind("image", image), kind("sigs", sigs), kind("atts", atts))
	for suffix, want := range map[string]registry.Manifest{".sig": sigs, ".att": atts} {
		tag := "sha256-" + image.Descriptor.Digest.Hex + suffix
		got, err := l.Resolve(t.Context(), l.Tag(tag))
		if err != nil || got.Digest != want.Descriptor.Digest {
			t.Errorf("%s is %v, %v", tag, got.Digest, err)
		}
		if tags, err := l.Tags(t.Context()); err != nil || !slices.Contains(tags, tag) {
			t.Errorf("tags are %v, %v", tags, err)
		}
	}
	writeIndex(t, dir, kind("image", image), kind("imageIndex", sigs), kind("sigs", sigs)) // of which one?
	if tags, err := l.Tags(t.Context()); err != nil || len(tags) > 0 {
		t.Errorf("tags are %v, %v", tags, err)
	}
}

func writeIndex(t testing.TB, dir string, all ...v1.Descriptor) {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: all})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), data, 0o600))
}

func readIndex(t testing.TB, dir string) []v1.Descriptor {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(t, err)
	var index v1.IndexManifest
	must(t, json.Unmarshal(data, &index))
	return index.Manifests
}

func TestLayoutTellsManifestsWithoutMediaType(t *testing.T) {
	l, _ := newLayout(t)
	config := `{"mediaType":"` + emptyJSON + `","size":2,"digest":"` + blobDescriptor("", []byte("{}")).Digest.String() + `"}`
	for data, want := range map[string]string{
		`{"schemaVersion":2,"config":` + config + `,"layers":[]}`: ociManifest,
		`{"schemaVersion":2,"manifests":[]}`:                      ociIndex,
	} {
		m := mustManifest(t, want, []byte(data))
		push(t, l, l.Digest(m.Descriptor.Digest), m)
		got, err := l.Resolve(t.Context(), l.Digest(m.Descriptor.Digest))
		if err != nil || string(got.MediaType) != want {
			t.Errorf("%s is %v, %v", data, got.MediaType, err)
		}
	}
}

func TestLayoutMovesTags(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	referrer := pushImage(t, l, l.Tag("v2"), "referrer", &image.Descriptor)
	second := pushImage(t, l, l.Tag("v1"), "second", nil)
	pushImage(t, l, l.Tag("v2"), "second", nil)

	got, err := l.Resolve(t.Context(), l.Tag("v1"))
	if err != nil || got.Digest != second.Descriptor.Digest {
		t.Errorf("v1 is %v, %v", got.Digest, err)
	}
	var listed []string
	for _, d := range readIndex(t, dir) {
		if tag := d.Annotations["org.opencontainers.image.ref.name"]; tag != fallbackTag(image.Descriptor.Digest) {
			listed = append(listed, d.Digest.String()+" "+tag)
		}
	}
	want := []string{
		second.Descriptor.Digest.String() + " v1",
		referrer.Descriptor.Digest.String() + " ",
		second.Descriptor.Digest.String() + " v2",
	}
	if !slices.Equal(listed, want) {
		t.Errorf("index.json lists %q, want %q", listed, want)
	}
	if _, err := l.Resolve(t.Context(), l.Digest(image.Descriptor.Digest)); err != nil {
		t.Errorf("the digest that the tag left: %v", err)
	}
}

func TestLayoutKeepsWhatItDoesNotKnowInIndex(t *testing.T) {
	l, dir := newLayout(t)
	m := pushImage(t, l, nil, "image", nil)
	text := fmt.Sprintf(`{"x-first":{"a":[1,2]},"schemaVersion":2,"manifests":[{"mediaType":%q,"size":%d,"digest":%q,`+
		`"x-field":1.50,"annotations":{"org.opencontainers.image.ref.name":"old","x-other":"é"}}],"annotations":{"k":"v"},"x-last":null}`,
		ociManifest, m.Descriptor.Size, m.Descriptor.Digest)
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o600))
	pushImage(t, l, l.Tag("new"), "another", nil)
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	must(t, err)
	for _, part := range []string{`{"x-first":{"a":[1,2]},"schemaVersion":2,`, `"x-field":1.50`, `"x-other":"é"`, `"annotations":{"k":"v"},"x-last":null}`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("index.json lost %s: %s", part, data)
		}
	}
}

func TestLayoutHonoursConditions(t *testing.T) {
	l, _ := newLayout(t)
	a, b := testManifest(t, "a", nil), testManifest(t, "b", nil)
	pushIf := func(m registry.Manifest, o registry.PushOptions) error {
		report, err := l.PushManifest(t.Context(), l.Tag("v1"), m, o)
		if err == nil && !report.Atomic {
			t.Error("the report does not say that the condition was honoured")
		}
		return err
	}
	wantKind(t, pushIf(a, registry.PushOptions{IfMatch: a.Descriptor.Digest.String()}), registry.ErrConflict)
	must(t, pushIf(a, registry.PushOptions{IfAbsent: true}))
	wantKind(t, pushIf(b, registry.PushOptions{IfAbsent: true}), registry.ErrConflict)
	current, err := l.Manifest(t.Context(), l.Tag("v1"))
	must(t, err)
	wantKind(t, pushIf(b, registry.PushOptions{IfMatch: b.Descriptor.Digest.String()}), registry.ErrConflict)
	must(t, pushIf(b, registry.PushOptions{IfMatch: current.ETag}))
}

func TestLayoutFindsReferrers(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	other := pushImage(t, l, l.Tag("v2"), "other", nil)
	first := pushImage(t, l, nil, "first", &image.Descriptor)
	pushImage(t, l, nil, "of the other", &other.Descriptor)
	viaTag := testManifest(t, "of another tool", &image.Descriptor)

	list, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: ociIndex,
		Manifests: []v1.Descriptor{first.Descriptor, viaTag.Descriptor, viaTag.Descriptor}})
	must(t, err)
	push(t, l, l.Tag("sha256-"+image.Descriptor.Digest.Hex), mustManifest(t, ociIndex, list))

	got := listReferrers(t, openLayout(t, dir, layout.Options{}), l.Digest(image.Descriptor.Digest))
	if len(got) != 2 || got[0].Digest != first.Descriptor.Digest || got[1].Digest != viaTag.Descriptor.Digest {
		t.Fatalf("got %v", got)
	}
	if got[0].ArtifactType != emptyJSON || got[0].Annotations["test.layer"] != "first" {
		t.Errorf("the first is described as %+v", got[0])
	}
}

func TestLayoutWithoutSomeListedContentStillListsReferrers(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	referrer := pushImage(t, l, nil, "referrer", &image.Descriptor)
	pushBlob(t, l, l.Repository(), []byte(`{"no":"manifest"}`))
	writeIndex(t, dir,
		blobDescriptor(ociManifest, []byte("not here")),
		blobDescriptor(ociManifest, []byte(`{"no":"manifest"}`)),
		referrer.Descriptor)
	if got := listReferrers(t, l, l.Digest(image.Descriptor.Digest)); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestLayoutSaysThatReferrersMayBeMissing(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	damaged := pushImage(t, l, nil, "damaged", &image.Descriptor)
	whole := pushImage(t, l, nil, "whole", &image.Descriptor)
	must(t, os.WriteFile(blobFile(dir, damaged.Descriptor.Digest), []byte("rubbish"), 0o600))

	l = openLayout(t, dir, layout.Options{})
	var got []v1.Hash
	var last error
	for d, err := range l.Referrers(t.Context(), l.Digest(image.Descriptor.Digest)) {
		if last = err; err == nil {
			got = append(got, d.Digest)
		}
	}
	if !slices.Equal(got, []v1.Hash{whole.Descriptor.Digest}) {
		t.Errorf("got %v", got)
	}
	wantKind(t, last, registry.ErrDigestMismatch)
}

func TestAttack_E19_FallbackTagOfALayoutThatIsNoIndexIsIgnored(t *testing.T) {
	l, _ := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	referrer := pushImage(t, l, nil, "referrer", &image.Descriptor)
	pushImage(t, l, l.Tag("sha256-"+image.Descriptor.Digest.Hex), "an image", nil)
	got := listReferrers(t, l, l.Digest(image.Descriptor.Digest))
	if len(got) != 1 || got[0].Digest != referrer.Descriptor.Digest {
		t.Errorf("got %v", got)
	}
}

func TestLayoutRefusesOtherContentThanAnnounced(t *testing.T) {
	l, dir := newLayout(t)
	data := []byte("content")
	ref := l.Digest(blobDescriptor("", data).Digest)
	wantKind(t, l.PushBlob(t.Context(), ref, 7, opener([]byte("another"))), registry.ErrDigestMismatch)
	wantKind(t, l.PushBlob(t.Context(), ref, 6, opener(data)), registry.ErrDigestMismatch)
	wantKind(t, l.PushBlob(t.Context(), ref, 8, opener(data)), registry.ErrDigestMismatch)
	if _, err := os.Stat(blobFile(dir, blobDescriptor("", data).Digest)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was stored: %v", err)
	}
	wantEmptyPrivate(t, dir)

	m := testManifest(t, "layer", nil)
	_, err := l.PushManifest(t.Context(), ref, m, registry.PushOptions{})
	wantKind(t, err, registry.ErrDigestMismatch)
	_, err = l.PushManifest(t.Context(), l.Tag("no tag!"), m, registry.PushOptions{})
	wantKind(t, err, registry.ErrReference)
	_, err = l.PushManifest(t.Context(), l.Tag("v1"), mustManifest(t, ociIndex, m.Bytes), registry.PushOptions{})
	wantKind(t, err, registry.ErrMalformed)
}

// wantEmptyPrivate fails where temporary files are left.
func wantEmptyPrivate(t testing.TB, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".hallmark", "tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLayoutBlobIsReadOnlyIfItIsTheOneAskedFor(t *testing.T) {
	l, dir := newLayout(t)
	data := []byte("content")
	ref := pushBlob(t, l, l.Repository(), data)
	for size, want := range map[int64]registry.Kind{-1: "", 7: "", 6: registry.ErrTooLarge, 8: registry.ErrDigestMismatch} {
		got, err := readBlob(l, ref, size)
		if want != "" {
			wantKind(t, err, want)
		} else if err != nil || !bytes.Equal(got, data) {
			t.Errorf("size %d: %q, %v", size, got, err)
		}
		if size >= 0 && int64(len(got)) > size {
			t.Errorf("size %d: read %d bytes", size, len(got))
		}
	}
	small := openLayout(t, dir, layout.Options{MaxBlobSize: 3})
	_, err := readBlob(small, ref, -1)
	wantKind(t, err, registry.ErrTooLarge)
}

func TestLayoutReadersHonourContext(t *testing.T) {
	l, _ := newLayout(t)
	m := pushImage(t, l, l.Tag("v1"), "image", nil)
	ctx, cancel := context.WithCancel(t.Context())
	blob, err := l.Blob(ctx, l.Digest(m.Descriptor.Digest), m.Descriptor.Size)
	must(t, err)
	defer blob.Close()
	cancel()
	_, err = io.ReadAll(blob)
	wantCanceled(t, err)
	_, err = l.Resolve(ctx, l.Tag("v1"))
	wantCanceled(t, err)
	_, err = l.PushManifest(ctx, l.Tag("v2"), m, registry.PushOptions{})
	wantCanceled(t, err)
	for _, err := range l.Referrers(ctx, l.Digest(m.Descriptor.Digest)) {
		wantCanceled(t, err)
	}
	data := []byte("more")
	wantCanceled(t, l.PushBlob(ctx, l.Digest(blobDescriptor("", data).Digest), 4, opener(data)))
}

func wantCanceled(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

func TestLayoutOfGoContainerregistryOpensHere(t *testing.T) {
	dir := t.TempDir()
	path, err := ggcrlayout.Write(dir, empty.Index)
	must(t, err)
	image, err := random.Image(1024, 2)
	must(t, err)
	must(t, path.AppendImage(image, ggcrlayout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v1"})))
	index, err := random.Index(512, 1, 3)
	must(t, err)
	must(t, path.AppendIndex(index, ggcrlayout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "registry.example/app:multi"})))
	subject, err := image.Digest()
	must(t, err)
	size, err := image.Size()
	must(t, err)
	referrer, ok := mutate.Subject(empty.Image, v1.Descriptor{MediaType: types.DockerManifestSchema2, Digest: subject, Size: size}).(v1.Image)
	if !ok {
		t.Fatal("a mutated image is none")
	}
	must(t, path.AppendImage(referrer))

	l := openLayout(t, dir, layout.Options{})
	got, err := l.Resolve(t.Context(), l.Tag("v1"))
	if err != nil || got.Digest != subject {
		t.Errorf("v1 is %v, %v", got, err)
	}
	m, err := l.Manifest(t.Context(), l.Tag("multi"))
	must(t, err)
	var doc v1.IndexManifest
	must(t, json.Unmarshal(m.Bytes, &doc))
	for _, child := range doc.Manifests {
		d, err := l.Resolve(t.Context(), l.Digest(child.Digest))
		if err != nil || d.MediaType != child.MediaType || d.Size != child.Size {
			t.Errorf("child %v is %v, %v", child, d, err)
		}
	}
	if all := listReferrers(t, l, l.Digest(subject)); len(all) != 1 {
		t.Errorf("referrers: %v", all)
	}
}

func TestLayoutOpensInGoContainerregistry(t *testing.T) {
	l, dir := newLayout(t)
	image := pushImage(t, l, l.Tag("v1"), "image", nil)
	pushImage(t, l, nil, "referrer", &image.Descriptor)
	index, err := ggcrlayout.ImageIndexFromPath(dir)
	must(t, err)
	manifest, err := index.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 3 {
		t.Fatalf("it lists %v", manifest.Manifests)
	}
	for _, d := range manifest.Manifests {
		if d.MediaType.IsIndex() { // the fallback tag
			continue
		}
		got, err := index.Image(d.Digest)
		must(t, err)
		layers, err := got.Layers()
		must(t, err)
		rc, err := layers[0].Compressed()
		must(t, err)
		if data, err := io.ReadAll(rc); err != nil || len(data) == 0 {
			t.Errorf("layer is %q, %v", data, err)
		}
		must(t, rc.Close())
	}
}
