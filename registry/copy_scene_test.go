package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// scene is a signed index at a source, and what of it must arrive.
type scene struct {
	src      *layout.Layout
	dir      string
	root     registry.Manifest
	children []registry.Manifest
	// tags maps evidence tags to the digests of their manifests.
	tags map[string]v1.Hash
	// referrers maps subjects to their referrers.
	referrers map[v1.Hash][]v1.Hash
}

// newScene makes an index of two images under the tag v1, each with a config and
// a layer; a referrer of the index and one of the first image, a referrer of the
// former; and the tags .sig, .att and .sbom.
func newScene(t testing.TB) *scene {
	t.Helper()
	l, dir := newLayout(t)
	s := &scene{src: l, dir: dir, tags: make(map[string]v1.Hash), referrers: make(map[v1.Hash][]v1.Hash)}
	var entries []v1.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		m := pushImage(t, l, nil, "layer for "+arch, nil)
		s.children = append(s.children, m)
		d := m.Descriptor
		d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		entries = append(entries, d)
	}
	s.root = testIndex(t, entries...)
	push(t, l, l.Tag("v1"), s.root)
	about := s.refer(t, s.root, "about the index")
	s.refer(t, s.children[0], "about an image")
	s.refer(t, about, "about evidence")
	s.tag(t, s.root, ".sig", "signature 1", "signature 2")
	s.tag(t, s.root, ".att", "attestation")
	s.tag(t, s.root, ".sbom", "components")
	s.tag(t, s.children[1], ".sig", "signature of an image")
	return s
}

func testIndex(t testing.TB, entries ...v1.Descriptor) registry.Manifest {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: ociIndex, Manifests: entries})
	must(t, err)
	return mustManifest(t, ociIndex, data)
}

func (s *scene) refer(t testing.TB, subject registry.Manifest, content string) registry.Manifest {
	t.Helper()
	m := pushImage(t, s.src, nil, content, &subject.Descriptor)
	h := subject.Descriptor.Digest
	s.referrers[h] = append(s.referrers[h], m.Descriptor.Digest)
	return m
}

func (s *scene) tag(t testing.TB, subject registry.Manifest, suffix string, contents ...string) {
	t.Helper()
	tag := evidenceTag(subject, suffix)
	s.tags[tag] = pushLayers(t, s.src, tag, contents...).Descriptor.Digest
}

func evidenceTag(subject registry.Manifest, suffix string) string {
	return "sha256-" + subject.Descriptor.Digest.Hex + suffix
}

// pushLayers pushes a manifest as cosign's tags hold it, each layer with an
// annotation of its own.
func pushLayers(t testing.TB, s registry.Store, tag string, contents ...string) registry.Manifest {
	t.Helper()
	m := layersManifest(t, contents...)
	repo := repoOf(s)
	for _, content := range append(contents, "{}") {
		pushBlob(t, s, repo, []byte(content))
	}
	push(t, s, repo.Tag(tag), m)
	return m
}

func layersManifest(t testing.TB, contents ...string) registry.Manifest {
	t.Helper()
	doc := v1.Manifest{SchemaVersion: 2, MediaType: ociManifest, Config: blobDescriptor(emptyJSON, []byte("{}")), Layers: []v1.Descriptor{}}
	for _, content := range contents {
		d := blobDescriptor("application/vnd.dev.cosign.simplesigning.v1+json", []byte(content))
		d.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "of " + content}
		doc.Layers = append(doc.Layers, d)
	}
	data, err := json.Marshal(doc)
	must(t, err)
	return mustManifest(t, ociManifest, data)
}

var testRepo = mustRepo("registry.example/team/app")

func mustRepo(s string) name.Repository {
	r, err := name.NewRepository(s)
	if err != nil {
		panic(err)
	}
	return r
}

// repoOf returns a repository that a store serves.
func repoOf(s any) name.Repository {
	switch s := s.(type) {
	case *layout.Layout:
		return s.Repository()
	case *located:
		return s.repo
	}
	return testRepo
}

// located is one repository of a store.
type located struct {
	*remote.Client
	repo name.Repository
}

// copyTo copies the scene's index to the tag v1.
func (s *scene) copyTo(t testing.TB, dst registry.Store, o registry.CopyOptions) error {
	t.Helper()
	at, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, repoOf(dst).Tag("v1"), o)
	if err == nil && at.DigestStr() != s.root.Descriptor.Digest.String() {
		t.Errorf("the copy is %s, the image %s", at, s.root.Descriptor.Digest)
	}
	return err
}

// wantImage fails unless dst holds the whole image, byte for byte.
func (s *scene) wantImage(t testing.TB, dst registry.Reader) {
	t.Helper()
	for _, m := range append(s.children, s.root) {
		wantManifest(t, dst, m)
	}
}

func wantManifest(t testing.TB, dst registry.Reader, m registry.Manifest) {
	t.Helper()
	got, err := dst.Manifest(t.Context(), repoOf(dst).Digest(m.Descriptor.Digest.String()))
	if err != nil || !bytes.Equal(got.Bytes, m.Bytes) || got.Descriptor.MediaType != m.Descriptor.MediaType {
		t.Errorf("%s: %v, %v", m.Descriptor.Digest, got.Descriptor, err)
		return
	}
	wantBlobs(t, dst, got)
}

// wantBlobs fails unless dst holds the blobs of a manifest.
func wantBlobs(t testing.TB, dst registry.Reader, m registry.Manifest) {
	t.Helper()
	if m.Descriptor.MediaType.IsIndex() {
		return
	}
	var doc v1.Manifest
	must(t, json.Unmarshal(m.Bytes, &doc))
	for _, d := range append(doc.Layers, doc.Config) {
		if _, err := readBlob(dst, repoOf(dst).Digest(d.Digest.String()), d.Size); err != nil {
			t.Errorf("%s of %s: %v", d.Digest, m.Descriptor.Digest, err)
		}
	}
}

// wantAll fails unless dst holds the image and its evidence, and the tag.
func (s *scene) wantAll(t testing.TB, dst registry.Reader) {
	t.Helper()
	s.wantImage(t, dst)
	d, err := dst.Resolve(t.Context(), repoOf(dst).Tag("v1"))
	if err != nil || d.Digest != s.root.Descriptor.Digest {
		t.Errorf("the tag is %v, %v", d, err)
	}
	for tag, want := range s.tags {
		m, err := dst.Manifest(t.Context(), repoOf(dst).Tag(tag))
		if err != nil || m.Descriptor.Digest != want {
			t.Errorf("%s is %v, %v, want %v", tag, m.Descriptor.Digest, err, want)
			continue
		}
		wantBlobs(t, dst, m)
	}
	for subject, want := range s.referrers {
		var got []v1.Hash
		for _, d := range listReferrers(t, dst, repoOf(dst).Digest(subject.String())) {
			got = append(got, d.Digest)
			m, err := dst.Manifest(t.Context(), repoOf(dst).Digest(d.Digest.String()))
			if err != nil {
				t.Errorf("referrer: %v", err)
				continue
			}
			wantBlobs(t, dst, m)
		}
		if !slices.Equal(got, want) {
			t.Errorf("referrers of %v are %v, want %v", subject, got, want)
		}
	}
}

// wrapped is a store whose calls can be counted and made to fail.
type wrapped struct {
	registry.Store
	// before is called with the name of each call; an error is its result.
	before func(call string, ref name.Reference) error
	// plain makes it a store that does not index subjects.
	plain bool
}

func (w *wrapped) check(call string, ref name.Reference) error {
	if w.before == nil {
		return nil
	}
	return w.before(call, ref)
}

func (w *wrapped) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	if err := w.check("resolve", ref); err != nil {
		return v1.Descriptor{}, err
	}
	return w.Store.Resolve(ctx, ref)
}

func (w *wrapped) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if err := w.check("manifest", ref); err != nil {
		return registry.Manifest{}, err
	}
	return w.Store.Manifest(ctx, ref)
}

func (w *wrapped) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	if err := w.check("blob", ref); err != nil {
		return nil, err
	}
	return w.Store.Blob(ctx, ref, size)
}

func (w *wrapped) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		if err := w.check("referrers", subject); err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		if !w.plain {
			w.Store.Referrers(ctx, subject)(yield)
			return
		}
		m, err := w.Store.Manifest(ctx, subject.Context().Tag(strings.Replace(subject.DigestStr(), ":", "-", 1)))
		if errors.Is(err, registry.ErrNotFound) {
			return
		}
		var index v1.IndexManifest
		if err == nil {
			err = json.Unmarshal(m.Bytes, &index)
		}
		if err != nil {
			yield(v1.Descriptor{}, err)
		}
		for _, d := range index.Manifests {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (w *wrapped) HasBlob(ctx context.Context, ref name.Digest) (bool, error) {
	if err := w.check("has blob", ref); err != nil {
		return false, err
	}
	return w.Store.HasBlob(ctx, ref)
}

func (w *wrapped) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	if err := w.check("push blob", ref); err != nil {
		return err
	}
	return w.Store.PushBlob(ctx, ref, size, open)
}

func (w *wrapped) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	if err := w.check("push manifest", ref); err != nil {
		return registry.PushReport{}, err
	}
	report, err := w.Store.PushManifest(ctx, ref, m, o)
	if w.plain {
		report.SubjectIndexed = false
	}
	return report, err
}
