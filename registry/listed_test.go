package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// fetched are the manifests and blobs that were asked for by digest.
func (h *hosted) fetched() (all []string) {
	for _, r := range h.Requests() {
		if r.Kind != registrytest.KindReferrers && strings.HasPrefix(r.Ref, "sha256:") {
			all = append(all, r.Method+" "+r.Ref)
		}
	}
	return all
}

func listOf(t testing.TB, h *hosted) (all []v1.Descriptor) {
	t.Helper()
	for d, err := range h.client.Referrers(context.Background(), h.image) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func TestSmallEvidenceIsReadFromTheListAlone(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{"referrers API": {}, "fallback tag": {NoReferrers: true}} {
		h := host(t, ro, remote.Options{})
		attach(t, h.client, h.image, bundleItem("small"))
		h.ResetRequests()
		var got []registry.Item
		for item, err := range registry.Evidence(context.Background(), h.client, h.image, registry.Limits{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, item)
		}
		if len(got) != 1 || string(got[0].Payload) != "small" {
			t.Fatalf("%s: %+v", name, got)
		}
		if fetched := h.fetched(); len(fetched) > 0 {
			t.Errorf("%s: fetched %q, want the list to be enough", name, fetched)
		}
		at := got[0].Manifest
		mediaType, data, there := h.Manifest("team/app", at.Digest.String())
		if !there || int64(len(data)) != at.Size || mediaType != string(at.MediaType) {
			t.Errorf("%s: the item is of %+v, which is there: %t, %s, %d bytes", name, at, there, mediaType, len(data))
		}
	}
}

func TestWhatIsNotSmallIsFetched(t *testing.T) {
	annotated := bundleItem("payload")
	annotated.Layer.Annotations = map[string]string{"a": "b"}
	for name, item := range map[string]registry.Item{
		"large": bundleItem(strings.Repeat("x", registry.MaxListedBytes+1)), "annotated": annotated,
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		attach(t, h.client, h.image, item)
		if text, there := listOf(t, h)[0].Annotations[registry.AnnotationContent]; there {
			t.Errorf("%s: the list repeats it: %.80s", name, text)
		}
		h.ResetRequests()
		words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
		if want := "referrers/bundle/" + string(item.Payload); len(words) != 1 || words[0] != want || len(errs) > 0 {
			t.Errorf("%s: %q %v", name, words, errs)
		}
		if len(h.fetched()) == 0 {
			t.Errorf("%s: nothing was fetched", name)
		}
	}
}

// Whatever an entry claims, an item is what its manifest says: content that does
// not hash to the entry's digest is not used, and the manifest is fetched.
func TestAttack_E18_AnEntryThatRepeatsOtherContentIsNotBelieved(t *testing.T) {
	change := func(word int, to string) func(map[string]string) {
		return func(a map[string]string) {
			words := strings.Split(a[registry.AnnotationContent], " ")
			words[word] = to
			a[registry.AnnotationContent] = strings.Join(words, " ")
		}
	}
	set := func(text string) func(map[string]string) {
		return func(a map[string]string) { a[registry.AnnotationContent] = text }
	}
	for name, lie := range map[string]func(map[string]string){
		"another payload":               change(3, "ZXZpbA=="),
		"another media type of it":      change(2, envelopeType),
		"another size of the subject":   change(1, "1"),
		"another type of the subject":   change(0, indexType),
		"a size that is no number":      change(1, "many"),
		"a payload that is no base64":   change(3, "*"),
		"a payload in another base64":   change(3, "Z29vZA"),
		"a payload that is too large":   change(3, strings.Repeat("QUFB", registry.MaxListedBytes)),
		"nothing":                       set(""),
		"too few words":                 set("a 1 b"),
		"too many words":                set("a 1 b c d"),
		"another annotation besides":    func(a map[string]string) { a["x"] = "y" },
		"another annotation is missing": func(a map[string]string) { delete(a, "dev.sigstore.bundle.content") },
	} {
		h := host(t, registrytest.Options{}, remote.Options{})
		attach(t, h.client, h.image, bundleItem("good"))
		entry := listOf(t, h)[0]
		entry.Annotations = maps.Clone(entry.Annotations)
		lie(entry.Annotations)
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(entry)})
		h.ResetRequests()
		words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
		if fmt.Sprint(words) != "[referrers/bundle/good]" || len(errs) > 0 {
			t.Errorf("%s: %q, %v", name, words, errs)
		}
		if want := "GET " + entry.Digest.String(); len(h.fetched()) != 1 || h.fetched()[0] != want {
			t.Errorf("%s: fetched %q, want %q", name, h.fetched(), want)
		}
	}
}

// The entry of one image's evidence, offered for another: its manifest names a
// subject, and the one asked for is put in its place.
func TestAttack_E4_AnEntryOfAnotherSubjectIsNotBelieved(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	other, err := registrytest.PushImage(context.Background(), h.Store(), h.repo.Tag("v2"), registrytest.ImageOptions{Seed: "other"})
	if err != nil {
		t.Fatal(err)
	}
	attach(t, h.client, h.image, bundleItem("good"))
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(listOf(t, h)...)})
	words, errs := gather(context.Background(), h.client, other, registry.Limits{})
	if len(words) != 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), "its subject is another manifest") {
		t.Errorf("%q, %v; want it to be refused", words, errs)
	}
}

func TestAnItemThatIsAttachedElsewhereIsListedAsWhatItIsThere(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("good"))
	other, err := registrytest.PushImage(context.Background(), h.Store(), h.repo.Tag("v2"), registrytest.ImageOptions{Seed: "other"})
	if err != nil {
		t.Fatal(err)
	}
	for item, err := range registry.Evidence(context.Background(), h.client, h.image, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		item.Payload = []byte("changed")
		attach(t, h.client, other, item)
	}
	h.ResetRequests()
	words, errs := gather(context.Background(), h.client, other, registry.Limits{})
	if fmt.Sprint(words) != "[referrers/bundle/changed]" || len(errs) > 0 || len(h.fetched()) > 0 {
		t.Errorf("%q, %v, fetched %q", words, errs, h.fetched())
	}
}

// The index under the fallback tag is one manifest, which registries bound.
func TestTheFallbackTagRepeatsOnlySoMuch(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	payload := strings.Repeat("x", registry.MaxListedBytes-4)
	const pieces = 120
	for i := range pieces {
		attach(t, h.Store(), h.image, bundleItem(fmt.Sprintf("%04d%s", i, payload)))
	}
	_, data, _ := h.Manifest("team/app", "sha256-"+imageHash(h).Hex)
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	repeated := 0
	for _, e := range index.Manifests {
		repeated += len(e.Annotations[registry.AnnotationContent])
		if e.Annotations["dev.sigstore.bundle.content"] == "" {
			t.Errorf("%s: what else its manifest says is missing: %v", e.Digest, e.Annotations)
		}
	}
	if repeated == 0 || repeated > 256<<10 || len(index.Manifests) != pieces {
		t.Errorf("%d entries repeat %d bytes", len(index.Manifests), repeated)
	}
	if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != pieces || len(errs) > 0 {
		t.Errorf("%d pieces, %v", len(words), errs)
	}
}

func TestWhatCannotBeRepeatedInWordsIsNotRepeated(t *testing.T) {
	spaced := bundleItem("payload")
	spaced.Layer.MediaType = bundleType + "; a=b"
	for name, item := range map[string]registry.Item{"nothing": bundleItem(""), "a media type of two words": spaced} {
		h := host(t, registrytest.Options{}, remote.Options{})
		attach(t, h.client, h.image, item)
		if text, there := listOf(t, h)[0].Annotations[registry.AnnotationContent]; there {
			t.Errorf("%s: the list repeats %q", name, text)
		}
	}
}
