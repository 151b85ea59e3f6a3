package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// plant writes one of cosign's tags of the image.
func (h *hosted) plant(t testing.TB, suffix string, layers ...v1.Descriptor) {
	t.Helper()
	h.Put("team/app", "sha256-"+imageHash(h).Hex+suffix, manifestType, []byte(fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":%s}`,
		manifestType, h.PutBlob("team/app", []byte("{}")), jsonOf(t, layers))))
}

func (h *hosted) planted(mediaType, content string) v1.Descriptor {
	h.PutBlob("team/app", []byte(content))
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Size: int64(len(content)), Digest: hashOf(content)}
}

// blobsRead counts the requests for a blob.
func (h *hosted) blobsRead(content string) (n int) {
	for _, r := range h.Requests() {
		if r.Kind == registrytest.KindBlob && strings.Contains(r.Ref, hashOf(content).Hex) {
			n++
		}
	}
	return n
}

func TestAttack_E21_EqualLayersOfAManifestAreOnePiece(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("good"))
	garbage := h.planted(simpleType, "{}")
	var signed []v1.Descriptor
	for i := range 3 {
		d := garbage
		d.Annotations = map[string]string{"dev.cosignproject.cosign/signature": fmt.Sprint(i)}
		signed = append(signed, d)
	}
	h.plant(t, ".sig", append(slices.Repeat([]v1.Descriptor{garbage}, 1001), signed...)...)
	h.ResetRequests()
	words, errs := gather(t.Context(), h.client, h.image, registry.Limits{})
	if want := append(slices.Repeat([]string{"signature tag/simple-signing/{}"}, 4), "referrers/bundle/good"); !slices.Equal(words, want) || len(errs) > 0 {
		t.Errorf("%q, %v", words, errs)
	}
	if n := h.blobsRead("{}"); n != 1 {
		t.Errorf("the payload was fetched %d times", n)
	}
}

func TestAttack_E21_ALimitEndsItsPlaceAlone(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("good"), envelopeItem("a1"))
	var many []v1.Descriptor
	for i := range 30 {
		many = append(many, h.planted(simpleType, strings.Repeat("x", i+1)))
	}
	h.plant(t, ".sig", many...)
	for _, l := range []registry.Limits{{MaxItems: 5}, {MaxTotalBytes: 15}} {
		var tooMany, places []registry.Place
		for item, err := range registry.Evidence(t.Context(), h.client, h.image, l) {
			if errors.Is(err, registry.ErrTooMany) && item.Format == "" {
				tooMany = append(tooMany, item.Place)
			} else if err != nil {
				t.Error(err)
			}
			if !slices.Contains(places, item.Place) {
				places = append(places, item.Place)
			}
		}
		if fmt.Sprint(tooMany, places) != "[signature tag] [signature tag attestation tag referrers]" {
			t.Errorf("%+v: %v in %v", l, tooMany, places)
		}
	}
}

// Of a tag the smallest comes first, and of referrers what is small before what is large.
func TestAttack_E21_WhatIsLargeComesLast(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	large := strings.Repeat("l", 64<<10+1)
	h.plant(t, ".sig", h.planted(simpleType, large), h.planted(simpleType, "small"), h.planted(simpleType, "s"))
	list := []v1.Descriptor{
		h.manifestWith(t, imageHash(h), h.planted(bundleType, large+"x")),
		h.manifestWith(t, imageHash(h), h.planted(bundleType, large)),
		h.manifestWith(t, imageHash(h), h.planted(bundleType, "1"), h.planted(bundleType, "22"), h.planted(bundleType, "333"), h.planted(bundleType, "4444"), h.planted(bundleType, "55555")),
		h.manifestWith(t, imageHash(h), h.planted(bundleType, "last")),
	}
	list[3].Size = 1 << 40 // its entry lies, so it is the first to be suspected
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(list...)})
	words, errs := gather(t.Context(), h.client, h.image, registry.Limits{})
	for i, w := range words {
		w = strings.ReplaceAll(w, large, "LARGE")
		words[i] = w[strings.LastIndex(w, "/")+1:]
	}
	if got := strings.Join(words, " "); got != "s small LARGE 1 22 333 4444 last 55555 LARGE LARGEx" || len(errs) > 0 {
		t.Errorf("%s, %v", got, errs)
	}
}

// A list may say of large manifests that they are small: then they are
// still put off, and the store is asked about the size of the others.
func TestAttack_E21_LargeManifestsThatClaimToBeSmallComeLast(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	h := host(t, registrytest.Options{}, remote.Options{})
	var list []v1.Descriptor
	for i := range 60 {
		padded := h.planted(bundleType, fmt.Sprint(i))
		padded.Annotations = map[string]string{"pad": strings.Repeat("p", 1<<20)}
		d := h.manifestWith(t, imageHash(h), padded)
		d.Size = 1
		list = append(list, d)
	}
	list = append(list, h.manifestWith(t, imageHash(h), h.planted(bundleType, "good")))
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(list...)})
	words, errs := gather(t.Context(), h.client, h.image, registry.Limits{Concurrency: 2})
	if len(words) == 0 || words[0] != "referrers/bundle/good" {
		t.Errorf("%d items, the first is not the good one: %v", len(words), errs)
	}
	if len(errs) != 1 || !errors.Is(errs[0], registry.ErrTooMany) { // more than is held of them
		t.Errorf("%v", errs)
	}
}

// As many referrers as the list may have, each with as many layers as it can name,
// hide none.
func TestAttack_E21_ManifestsOfManyLayersHideNoReferrer(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	var list []v1.Descriptor
	for i := range 60 {
		var layers []v1.Descriptor
		for n := range 300 {
			layers = append(layers, v1.Descriptor{MediaType: bundleType, Size: int64(n), Digest: hashOf(fmt.Sprint(i, n))})
		}
		list = append(list, h.manifestWith(t, imageHash(h), layers...))
	}
	list = append(list, h.manifestWith(t, imageHash(h), h.planted(bundleType, "good")))
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(list...)})
	found := false
	h.ResetRequests()
	for item, err := range registry.Evidence(t.Context(), h.client, h.image, registry.Limits{}) {
		if found = err == nil && string(item.Payload) == "good"; found {
			break
		}
	}
	if n := len(h.Requests()); !found || n > 60*6 {
		t.Errorf("found %t after %d requests", found, n)
	}
}

// slowBlobs counts the bytes of blobs that were asked for and not yet consumed.
type slowBlobs struct {
	registry.Reader
	asked atomic.Int64
}

func (s *slowBlobs) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	s.asked.Add(size)
	return s.Reader.Blob(ctx, ref, size)
}

// What is fetched before its turn is bounded, however much there is.
func TestAttack_E9_LittleIsHeldOfWhatWasNotAskedFor(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	for i := range 200 {
		content := append(bytes.Repeat([]byte("x"), 64<<10-8), fmt.Sprintf("%8d", i)...)
		h.manifestWith(t, imageHash(h), h.planted(bundleType, string(content)))
	}
	s := &slowBlobs{Reader: h.Store()}
	consumed, most := int64(0), int64(0)
	for item, err := range registry.Evidence(t.Context(), s, h.image, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, s.asked.Load()-consumed)
		consumed += item.Layer.Size
	}
	if consumed != 200*64<<10 || most > 4<<20+64<<10 {
		t.Errorf("%d bytes, up to %d of them ahead", consumed, most)
	}
}

// A tag that was filled with one layer has room for others again.
func TestAttack_E21_AttachKeepsEqualLayersOnce(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.plant(t, ".sig", append(slices.Repeat([]v1.Descriptor{h.planted(simpleType, "{}")}, 20_000), h.planted(simpleType, "other"))...)
	attach(t, h.client, h.image, simpleItem("s"))
	words, errs := gather(t.Context(), h.client, h.image, registry.Limits{})
	if fmt.Sprint(words) != "[signature tag/simple-signing/s signature tag/simple-signing/{} signature tag/simple-signing/other]" || len(errs) > 0 {
		t.Errorf("%q, %v", words, errs)
	}
	_, text, _ := h.Manifest("team/app", "sha256-"+imageHash(h).Hex+".sig")
	m, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil || len(m.Layers) != 3 {
		t.Errorf("%d layers, %v", len(m.Layers), err)
	}
	at := h.client
	before := len(h.Requests())
	attach(t, at, h.image, simpleItem("s")) // which is there
	for _, r := range h.Requests()[before:] {
		if r.Method == "PUT" && strings.HasSuffix(r.Ref, ".sig") {
			t.Error("the tag was written although nothing was missing")
		}
	}
}
