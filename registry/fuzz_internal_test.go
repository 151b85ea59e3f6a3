package registry

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/token",service="s",scope="repository:x:pull"`)
	f.Add(`Basic realm="a, \"b\"", Bearer realm=x , Negotiate`)
	f.Fuzz(func(t *testing.T, header string) {
		all := parseChallenges(header)
		for _, ch := range all {
			if ch.scheme == "" || ch.scheme != strings.ToLower(ch.scheme) {
				t.Fatalf("%q: scheme %q", header, ch.scheme)
			}
		}
		if len(all) > len(header) {
			t.Fatalf("%q: %d challenges", header, len(all))
		}
		chosen := chooseChallenge([]string{header})
		if chosen != nil && chosen.scheme != "basic" && (chosen.scheme != "bearer" || chosen.realm == "") {
			t.Fatalf("%q: chose %+v", header, chosen)
		}
	})
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</v2/a?n=1>; rel="next"`)
	f.Add(`<a>; rel="first"; title="x, y", <b>; rel=next`)
	f.Fuzz(func(t *testing.T, header string) {
		if target := nextLink([]string{header}); !strings.Contains(header, "<"+target+">") && target != "" {
			t.Fatalf("%q: %q is no target in it", header, target)
		}
	})
}

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

func FuzzErrorTextsAreFitToBePrinted(f *testing.F) {
	f.Add([]byte(`{"errors":[{"code":"DENIED","message":"see https://u:p@host/x?sig=1"}]}`), "120")
	f.Fuzz(func(t *testing.T, body []byte, after string) {
		text := explanation(body)
		if !utf8.ValidString(text) || len(text) > 2*maxErrorText || strings.ContainsAny(text, "\x1b\n\r\u202e") {
			t.Fatalf("%q", text)
		}
		if retryAfter(after, time.Unix(0, 0)) < 0 {
			t.Fatalf("Retry-After %q is a negative wait", after)
		}
	})
}
