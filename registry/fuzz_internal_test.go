package registry

import (
	"strings"
	"testing"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

func FuzzParseReference(f *testing.F) {
	f.Add("registry.example/team/app:v1")
	f.Add("nginx@sha256:" + strings.Repeat("a", 64))
	f.Add(strings.Repeat("g", 250))
	f.Add(strings.Repeat("h", 900) + ".example/" + strings.Repeat("a/", 55) + "a")
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseReference(s)
		if err != nil {
			if text := err.Error(); !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\n\r") {
				t.Fatalf("%q: the error is not fit to be printed: %q", s, text)
			}
			return
		}
		again, err := ParseReference(ref.Name())
		if err != nil || again.Name() != ref.Name() {
			t.Fatalf("%q is %s, which reads as %v, %v", s, ref.Name(), again, err)
		}
	})
}

// What is put together from an entry of a list is the manifest that the entry
// names, or nothing.
func FuzzFromEntry(f *testing.F) {
	subject := v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 401, Digest: oci.Digest([]byte("the image"))}
	item := Item{Layer: v1.Descriptor{MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json"}, Payload: []byte("{}")}
	annotations := withContent(subject, item)
	good := referrerManifest(subject, layerOf(item), annotations)
	f.Add(annotations[AnnotationContent], "")
	f.Add("a 1 b e30=", "x")
	f.Add("a 1 b", "")
	f.Fuzz(func(t *testing.T, text, other string) {
		entry := v1.Descriptor{Digest: good.Descriptor.Digest, Annotations: map[string]string{AnnotationContent: text}}
		if other != "" {
			entry.Annotations["other"] = other
		}
		m, whole := fromEntry(subject.Digest, entry)
		if whole && string(m.Bytes) != string(good.Bytes) {
			t.Fatalf("%q is taken for %s", text, m.Bytes)
		}
		if same := text == annotations[AnnotationContent] && other == ""; whole != same {
			t.Fatalf("%q, %q: whole %t", text, other, whole)
		}
	})
}
