package verify_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
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
	for ref, out := range w.verifier(policy.Signatures{}).Images(context.Background(), w.store, slices.Values(refs), verify.BatchOptions{Concurrency: 7}) {
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
	for _, out := range w.verifier(policy.Signatures{}).Images(context.Background(), w.store, endless, verify.BatchOptions{}) {
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
	for _, out := range w.verifier(policy.Signatures{}).Images(ctx, w.store, slices.Values(refs), verify.BatchOptions{Concurrency: 2}) {
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
func TestImagesReturnsWhenStoppedWhileWaitingForReferences(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	defer close(release)
	refs := func(yield func(name.Reference) bool) {
		if yield(w.image) {
			<-release
		}
	}
	for range w.verifier(policy.Signatures{}).Images(context.Background(), w.store, refs, verify.BatchOptions{}) {
		break
	}
}

// panicking is a store in whose code something is wrong.
type panicking struct{ registry.Store }

func (panicking) Resolve(context.Context, name.Reference) (v1.Descriptor, error) { panic("a bug") }

func TestAPanicOfAReaderIsTheOutcomeOfItsReferenceAlone(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	refs := slices.Values([]name.Reference{w.repo.Tag("x"), w.image, w.repo.Tag("y")})
	allowed, panicked := 0, 0
	for _, out := range w.verifier(policy.Signatures{}).Images(t.Context(), panicking{w.store}, refs, verify.BatchOptions{Concurrency: 1}) {
		var p *panics.Error
		switch {
		case errors.As(out.Err, &p) && p.Cause == "a bug" && out.Result == nil:
			panicked++
		case out.Err == nil && out.Result.Digest == w.image:
			allowed++
		}
	}
	if allowed != 1 || panicked != 2 {
		t.Errorf("%d allowed, %d panicked; want 1 and 2", allowed, panicked)
	}
}

// A panic in the caller's own code is one that the caller can recover, once all that
// was asked before has its outcome.
func TestAPanicOfTheReferencesIsTheCallers(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	refs := func(yield func(name.Reference) bool) {
		yield(w.image)
		panic("a bug")
	}
	n := 0
	defer func() {
		if p, ok := recover().(*panics.Error); !ok || p.Cause != "a bug" || n != 1 {
			t.Errorf("recovered %v after %d outcomes", p, n)
		}
	}()
	for range w.verifier(policy.Signatures{}).Images(t.Context(), w.store, refs, verify.BatchOptions{}) {
		n++
	}
}
