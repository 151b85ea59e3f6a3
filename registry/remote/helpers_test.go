package remote_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
)

func testIndex(t testing.TB, entries ...v1.Descriptor) registry.Manifest {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: ociIndex, Manifests: entries})
	must(t, err)
	return mustManifest(t, ociIndex, data)
}

func hashOf(text string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(text))
	return h
}

// blobDescriptor describes bytes.
func blobDescriptor(mediaType string, data []byte) v1.Descriptor {
	h, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		panic(err) // a reader of memory does not fail
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: h, Size: size}
}

const (
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	emptyJSON   = "application/vnd.oci.empty.v1+json"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustManifest(t testing.TB, mediaType string, data []byte) registry.Manifest {
	t.Helper()
	m, err := registry.NewManifest(mediaType, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
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

func readBlob(r registry.Reader, ref name.Digest, size int64) ([]byte, error) {
	body, err := r.Blob(context.Background(), ref, size)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
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
