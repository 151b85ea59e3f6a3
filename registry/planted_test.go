package registry_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// aboutAnother is a manifest without layers that says it is about another image.
func aboutAnother(config, other string) []byte {
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":[],"subject":{"mediaType":%q,"size":1,"digest":%q}}`,
		manifestType, config, manifestType, other))
}

func TestAttack_E4_EvidenceIsHiddenInNoManifestAboutAnotherImage(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.Put("team/app", "sha256-"+imageHash(h).Hex+".sig", manifestType, aboutAnother(h.PutBlob("team/app", []byte("{}")), hashOf("another").String()))
	item := simpleItem("s")
	attach(t, h.client, h.image, item)
	if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != 1 || len(errs) != 0 {
		t.Errorf("it is said to be there: %v, %v", words, errs)
	}
}

func TestAttack_E4_ACopyMergesIntoNoManifestAboutAnotherImage(t *testing.T) {
	s := newScene(t)
	r, dst := registryFor(t, false)
	must(t, s.copyTo(t, dst, registry.CopyOptions{NoEvidence: true}))
	r.Put("team/app", evidenceTag(s.root, ".sig"), manifestType, aboutAnother(r.PutBlob("team/app", []byte("{}")), s.children[0].Descriptor.Digest.String()))
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	words, errs := gather(t.Context(), dst, dst.repo.Digest(s.root.Descriptor.Digest.String()), registry.Limits{})
	if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "signature 1") }) {
		t.Errorf("the copy has succeeded, and the signatures cannot be read: %v, %v", words, errs)
	}
}

// The payload of all signers is the same; the signature is in the annotation.
func TestAttack_S2_ConfirmIsNotFooledByWhatIsAlmostTheSame(t *testing.T) {
	for label, change := range map[string]func(*registry.Item){
		"another's signature": func(i *registry.Item) {
			i.Layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "AQM="}
		},
		"no annotations": func(i *registry.Item) { i.Layer.Annotations = nil },
		"media type":     func(i *registry.Item) { i.Layer.MediaType = "application/octet-stream" },
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{}, remote.Options{})
			mine, others := simpleItem("payload"), simpleItem("payload")
			change(&others)
			at, err := registry.Attach(context.Background(), h.client, h.image, others)
			must(t, err)
			wantKind(t, registry.Confirm(context.Background(), h.client, h.image, mine, at), registry.ErrNotConfirmed)
			attach(t, h.client, h.image, mine)
		})
	}
}

func TestAttack_S2_ConfirmDoesNotTakeWhatIsAboutAnotherImage(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	item := simpleItem("payload")
	at, err := registry.Attach(context.Background(), h.client, h.image, item)
	must(t, err)
	tag := "sha256-" + imageHash(h).Hex + ".sig"
	_, data, _ := h.Manifest("team/app", tag)
	h.Put("team/app", tag, manifestType, []byte(strings.TrimSuffix(string(data), "}")+`,"subject":{"mediaType":"`+manifestType+`","size":1,"digest":"`+hashOf("another").String()+`"}}`))
	wantKind(t, registry.Confirm(context.Background(), h.client, h.image, item, at), registry.ErrNotConfirmed)
}

// lying is a list of referrers that calls them something that no program reads.
func lying(digests ...string) []byte {
	var list []string
	for _, d := range digests {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"size":1,"digest":%q,"artifactType":"text/plain"}`, manifestType, d))
	}
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, indexType, strings.Join(list, ",")))
}

func TestAttack_E12_AnEntryThatLiesAboutEvidenceIsReplaced(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	item := bundleItem("b")
	at, err := registry.Attach(context.Background(), h.client, h.image, item)
	must(t, err)
	h.Put("team/app", "sha256-"+imageHash(h).Hex, indexType, lying(at.DigestStr(), hashOf("kept").String(), at.DigestStr()))
	wantKind(t, registry.Confirm(context.Background(), h.client, h.image, item, at), registry.ErrNotConfirmed)
	attach(t, h.client, h.image, item)
	if n, err := lastReferrer(h.client, h); n != 2 || err != nil {
		t.Errorf("%d entries, %v, want the one, once, and the other", n, err)
	}
}

func TestAttack_E12_ACopyReplacesAnEntryThatLiesAboutEvidence(t *testing.T) {
	s := newScene(t)
	r, dst := registryFor(t, true)
	must(t, s.copyTo(t, dst, registry.CopyOptions{NoEvidence: true}))
	at := dst.repo.Digest(s.root.Descriptor.Digest.String())
	good, err := registry.Attach(t.Context(), s.src, s.src.Digest(s.root.Descriptor.Digest), bundleItem("good"))
	must(t, err)
	r.Put("team/app", "sha256-"+s.root.Descriptor.Digest.Hex, indexType, lying(good.DigestStr()))
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	words, _ := gather(t.Context(), dst, at, registry.Limits{})
	if !slices.Contains(words, "referrers/bundle/good") {
		t.Errorf("the copy has succeeded, and what is found is %v", words)
	}
}

func TestEmptyAnnotationsAreNoneWhereLayersAreCompared(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	item := envelopeItem("a")
	item.Layer.Annotations = map[string]string{}
	attach(t, h.client, h.image, item, item)
	if words, _ := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != 1 {
		t.Errorf("%d layers", len(words))
	}
}

// Who may push to the source adds a layer with empty annotations, again and again.
func TestAttack_E8_ALayerWithEmptyAnnotationsIsCopiedOnce(t *testing.T) {
	s := newScene(t)
	_, dst := registryFor(t, false)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	sig := evidenceTag(s.root, ".sig")
	m, err := s.src.Manifest(t.Context(), s.src.Tag(sig))
	must(t, err)
	d := blobDescriptor(simpleType, []byte("rubbish"))
	pushBlob(t, s.src, s.src.Repository(), []byte("rubbish"))
	layer := fmt.Sprintf(`"layers":[{"mediaType":%q,"size":7,"digest":%q,"annotations":{}},`, d.MediaType, d.Digest)
	push(t, s.src, s.src.Tag(sig), mustManifest(t, ociManifest, []byte(strings.Replace(string(m.Bytes), `"layers":[`, layer, 1))))
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	got, err := dst.Manifest(t.Context(), dst.repo.Tag(sig))
	must(t, err)
	if n := strings.Count(string(got.Bytes), d.Digest.String()); n != 1 {
		t.Errorf("the layer is there %d times", n)
	}
}

func TestAttack_E12_OneEntryOfAFallbackTagHidesNoOther(t *testing.T) {
	for label, entry := range map[string]string{
		"sha512":    `{"mediaType":"` + manifestType + `","size":1,"digest":"sha512:` + strings.Repeat("a", 128) + `"}`,
		"malformed": `{"mediaType":"` + manifestType + `","size":-1,"digest":"sha256:0"}`,
		"no object": `7`,
	} {
		h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
		attach(t, h.client, h.image, bundleItem("good"))
		fallback := "sha256-" + imageHash(h).Hex
		_, data, _ := h.Manifest("team/app", fallback)
		h.Put("team/app", fallback, indexType, []byte(strings.Replace(string(data), `"manifests":[`, `"manifests":[`+entry+`,`, 1)))
		if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); fmt.Sprint(words) != "[referrers/bundle/good]" || len(errs) != 0 {
			t.Errorf("%s: %v, %v", label, words, errs)
		}
		dst, _ := newLayout(t)
		_, err := registry.Copy(t.Context(), h.client, h.tag, dst, dst.Tag("v1"), registry.CopyOptions{})
		must(t, err)
		if n := len(listReferrers(t, dst, dst.Digest(imageHash(h)))); n != 1 {
			t.Errorf("%s: %d referrers were copied", label, n)
		}
	}
}

func TestAttack_E12_OneEntryOfALayoutsFallbackTagHidesNoOther(t *testing.T) {
	l, dir := newLayout(t)
	image := pushTagged(t, l, l.Tag("v1").String())
	entry := `{"mediaType":"` + manifestType + `","size":1,"digest":"` + hashOf("listed").String() + `"}`
	bad := strings.Replace(entry, `:1,`, `:-1,`, 1)
	data := []byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[` + bad + `,` + entry + `]}`)
	// The layout itself takes no such index.
	d := blobDescriptor(indexType, data)
	d.Annotations = map[string]string{"org.opencontainers.image.ref.name": strings.Replace(image.DigestStr(), ":", "-", 1)}
	must(t, os.WriteFile(blobFile(dir, d.Digest), data, 0o644))
	writeIndex(t, dir, append(readIndex(t, dir), d)...)
	if n := len(listReferrers(t, l, image)); n != 1 {
		t.Errorf("%d referrers, want 1", n)
	}
}

func TestAttack_E9_AttachMakesNoTagThatCannotBeReadAgain(t *testing.T) {
	h := host(t, registrytest.Options{MaxManifest: 64 << 20}, remote.Options{})
	tag := "sha256-" + imageHash(h).Hex + ".sig"
	attach(t, h.client, h.image, simpleItem("good"))
	_, data, _ := h.Manifest("team/app", tag)
	pad := strings.Repeat("x", 4<<20-len(data)-200)
	h.Put("team/app", tag, manifestType, []byte(strings.Replace(string(data), `"layers":`, `"annotations":{"p":"`+pad+`"},"layers":`, 1)))
	_, err := registry.Attach(context.Background(), h.client, h.image, simpleItem("another"))
	wantError(t, "beyond 4 MiB", err, registry.ErrTooLarge)
	if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != 1 || len(errs) != 0 {
		t.Errorf("what was there: %v, %v", words, errs)
	}
}

func TestAttack_S1_EvidenceIsAttachedToNoOtherImage(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	other := hashOf("another image")
	s := registrytest.Faulty(h.client, registrytest.Hooks{Resolve: func(context.Context, name.Reference) (v1.Descriptor, error) {
		return v1.Descriptor{MediaType: manifestType, Size: 1, Digest: other}, nil
	}})
	_, err := registry.Attach(context.Background(), s, h.image, bundleItem("b"))
	wantError(t, "the store says that it is another", err, registry.ErrDigestMismatch)
}
