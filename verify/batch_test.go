package verify_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestImagesGivesEveryReferenceItsOutcome(t *testing.T) {
	w := newWorld(t)
	want := make(map[string]bool)
	var refs []name.Reference
	for i := range 40 {
		d := w.push()
		if i%2 == 0 {
			w.sign(d, sign.ImageOptions{}, w.trusted)
		}
		want[d.String()] = i%2 == 0
		refs = append(refs, d)
	}
	for ref, out := range w.verifier(verify.Signatures{}).Images(context.Background(), w.store, slices.Values(refs), verify.BatchOptions{Concurrency: 7}) {
		verified, there := want[ref.String()]
		if !there {
			t.Fatalf("%s has two outcomes", ref)
		}
		delete(want, ref.String())
		if (out.Result != nil) != verified || (out.Err == nil) != verified {
			t.Errorf("%s: %+v, want verified %v", ref, out, verified)
		}
	}
	if len(want) != 0 {
		t.Errorf("no outcome for %v", want)
	}
}

func TestImagesStopsWhenTheCallerDoes(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	endless := func(yield func(name.Reference) bool) {
		for yield(w.image) {
		}
	}
	n := 0
	for _, out := range w.verifier(verify.Signatures{}).Images(context.Background(), w.store, endless, verify.BatchOptions{}) {
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		if n++; n == 20 {
			break
		}
	}
}

func TestImagesGivesTheContextsErrorToTheRest(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	refs := slices.Repeat([]name.Reference{w.image}, 50)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n, canceled := 0, 0
	for _, out := range w.verifier(verify.Signatures{}).Images(ctx, w.store, slices.Values(refs), verify.BatchOptions{Concurrency: 2}) {
		cancel()
		n++
		if errors.Is(out.Err, context.Canceled) {
			canceled++
		}
	}
	if n != len(refs) || canceled == 0 {
		t.Errorf("%d outcomes, %d of them cancelled; want %d", n, canceled, len(refs))
	}
}

// An iteration that is broken off ends, also where the references come from
// something that waits.
func TestImagesReturnsWhenItIsBrokenOffWhileReferencesAreWaitedFor(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	defer close(release)
	refs := func(yield func(name.Reference) bool) {
		if yield(w.image) {
			<-release
		}
	}
	for range w.verifier(verify.Signatures{}).Images(context.Background(), w.store, refs, verify.BatchOptions{}) {
		break
	}
}
