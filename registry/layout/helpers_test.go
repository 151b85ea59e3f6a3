package layout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

func wantError(t testing.TB, what string, err error, want registry.Kind) *registry.Error {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) || e.Kind != want {
		t.Errorf("%s: %v, want %q", what, err, want)
		return &registry.Error{}
	}
	return e
}

func evidenceTag(subject registry.Manifest, suffix string) string {
	return "sha256-" + subject.Descriptor.Digest.Hex + suffix
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

func mustRepo(s string) name.Repository {
	r, err := name.NewRepository(s)
	if err != nil {
		panic(err)
	}
	return r
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

// repoOf returns a repository that a store serves.
func repoOf(s any) name.Repository {
	switch s := s.(type) {
	case *layout.Layout:
		return s.Repository()
	}
	return testRepo
}

func testIndex(t testing.TB, entries ...v1.Descriptor) registry.Manifest {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: ociIndex, Manifests: entries})
	must(t, err)
	return mustManifest(t, ociIndex, data)
}

var testRepo = mustRepo("registry.example/team/app")

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

func wantManifest(t testing.TB, dst registry.Reader, m registry.Manifest) {
	t.Helper()
	got, err := dst.Manifest(t.Context(), repoOf(dst).Digest(m.Descriptor.Digest.String()))
	if err != nil || !bytes.Equal(got.Bytes, m.Bytes) || got.Descriptor.MediaType != m.Descriptor.MediaType {
		t.Errorf("%s: %v, %v", m.Descriptor.Digest, got.Descriptor, err)
		return
	}
	wantBlobs(t, dst, got)
}

func hashOf(text string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(text))
	return h
}
