package registry_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// manySizes is an image with evidence that is read in each of the ways there are: ahead
// for nothing, ahead within the budget, in its turn, and in manifests that are large.
func manySizes(t *testing.T) *hosted {
	h := host(t, registrytest.Options{}, remote.Options{})
	var signatures, listed []v1.Descriptor
	for i := range 150 { // as many as make the tag's manifest large
		signatures = append(signatures, h.planted(simpleType, fmt.Sprint("signature ", i)))
	}
	for i, size := range []int{1 << 10, 30 << 10, 60 << 10, 100 << 10, 300 << 10} {
		listed = append(listed, h.manifestWith(t, imageHash(h), h.planted(bundleType, strings.Repeat(fmt.Sprint(i), size))))
	}
	long := h.planted(bundleType, "in a long manifest")
	long.Annotations = map[string]string{"long": strings.Repeat("x", 80<<10)}
	lied := h.manifestWith(t, imageHash(h), long)
	lied.Size = 100
	h.plant(t, ".sig", signatures...)
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(append(listed, lied)...)})
	return h
}

// A budget changes when evidence is read, and not which.
func TestEvidenceWithinABudgetIsThatWithoutOne(t *testing.T) {
	h := manySizes(t)
	want, errs := gather(t.Context(), h.client, h.image, registry.Limits{})
	if len(want) != 156 || len(errs) > 0 {
		t.Fatalf("%d pieces, %v", len(want), errs)
	}
	own, end := budget.Session(budget.With(t.Context(), budget.New()))
	defer end()
	got, errs := gather(own, h.client, h.image, registry.Limits{})
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) || len(errs) > 0 {
		t.Errorf("%d pieces, want %d; %v", len(got), len(want), errs)
	}
}

// Who breaks off leaves the budget as it was: what was read ahead is given back.
func TestBreakingOffGivesBackWhatWasReadAhead(t *testing.T) {
	h := manySizes(t)
	b := budget.New()
	for range 3 {
		own, end := budget.Session(budget.With(t.Context(), b))
		for item := range registry.Evidence(own, h.client, h.image, registry.Limits{}) {
			if item.Place == registry.PlaceReferrers {
				break
			}
		}
		end()
	}
	ctx := budget.With(t.Context(), b)
	for range 4 { // all of what there is to read ahead
		leave, ok := budget.Ahead(ctx, 1<<20)
		if !ok {
			t.Fatal("nothing is read any more, and there is no room")
		}
		defer leave()
	}
}

func TestBreakingOffAmidLargeManifestsReadsNoFurther(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	wrong := map[string]string{"long": strings.Repeat("x", 80<<10)}
	for name, subject := range map[string]v1.Hash{"malformed": hashOf("another image"), "of an unknown kind": imageHash(h)} {
		var listed []v1.Descriptor
		for i := range 30 {
			layer := h.planted("text/other", fmt.Sprint(name, i))
			layer.Annotations = wrong
			listed = append(listed, h.manifestWith(t, subject, layer))
		}
		remove := h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(listed...)})
		h.ResetRequests()
		for range registry.Evidence(t.Context(), h.client, h.image, registry.Limits{Concurrency: 1}) {
			break
		}
		remove()
		if n := len(h.Requests()); n > 50 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// What several pieces share is read once, and counts once towards the limit in bytes.
func TestALargePayloadThatPiecesShareCountsOnce(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	shared := h.planted(simpleType, strings.Repeat("x", 100<<10))
	var pieces []v1.Descriptor
	for i := range 5 {
		d := shared
		d.Annotations = map[string]string{"dev.cosignproject.cosign/signature": fmt.Sprint(i)}
		pieces = append(pieces, d)
	}
	h.plant(t, ".sig", pieces...)
	words, errs := gather(t.Context(), h.client, h.image, registry.Limits{MaxTotalBytes: 110 << 10})
	if len(words) != 5 || len(errs) > 0 {
		t.Errorf("%d pieces, %v", len(words), errs)
	}
}

// Within a budget an answer that says it is too long is not waited for.
func TestAnAnswerThatIsTooLongIsRefusedWithinABudgetToo(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxManifestBytes: 100 << 10})
	long := h.planted(bundleType, "x")
	long.Annotations = map[string]string{"long": strings.Repeat("x", 200<<10)}
	at := h.repo.Digest(h.manifestWith(t, imageHash(h), long).Digest.String())
	ctx, cancel := context.WithCancel(budget.With(t.Context(), budget.New()))
	defer cancel()
	_, err := h.client.Manifest(ctx, at)
	wantKind(t, err, registry.ErrTooLarge)
}
