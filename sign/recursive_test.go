package sign_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

func indexOf(t testing.TB, s registry.Store, repo name.Repository, entries ...v1.Descriptor) v1.Descriptor {
	t.Helper()
	data, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: entries})
	if err != nil {
		t.Fatal(err)
	}
	m, err := registry.NewManifest(string(types.OCIImageIndex), data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PushManifest(context.Background(), repo.Digest(m.Descriptor.Digest.String()), m, registry.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	return m.Descriptor
}

func describe(t testing.TB, s registry.Store, d name.Digest) v1.Descriptor {
	t.Helper()
	desc, err := s.Resolve(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

// The root lists an image, and an index that lists the same image.
func TestAttack_I2_NoIndexIsSignedBeforeWhatItLists(t *testing.T) {
	store, repo := newStore(t)
	desc := describe(t, store, pushRandom(t, store, repo))
	inner := indexOf(t, store, repo, desc)
	root := indexOf(t, store, repo, desc, inner)
	var mu sync.Mutex
	var order []v1.Hash
	s := registrytest.Faulty(store, registrytest.Hooks{PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
		var doc struct{ Subject v1.Descriptor }
		_ = json.Unmarshal(m.Bytes, &doc)
		mu.Lock()
		order = append(order, doc.Subject.Digest)
		mu.Unlock()
		return store.PushManifest(ctx, ref, m, o)
	}})
	signed, err := sign.Image(context.Background(), s, repo.Digest(root.Digest.String()), sign.ImageOptions{Recursive: true}, newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []v1.Hash{desc.Digest, inner.Digest, root.Digest}
	if fmt.Sprint(order) != fmt.Sprint(want) || len(signed.Signatures) != 3 {
		t.Errorf("signed in the order %v, want %v", order, want)
	}
}

func TestAnIndexMayListOtherThanManifests(t *testing.T) {
	store, repo := newStore(t)
	desc := describe(t, store, pushRandom(t, store, repo))
	root := indexOf(t, store, repo, desc, v1.Descriptor{MediaType: "text/plain", Size: 3, Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", 7)}})
	signed, err := sign.Image(context.Background(), store, repo.Digest(root.Digest.String()), sign.ImageOptions{Recursive: true}, newSigner(t))
	if err != nil || len(signed.Signatures) != 2 {
		t.Errorf("%+v, %v", signed, err)
	}
}

func TestAttack_I2_RecursiveSigningIsBoundedWhileItReads(t *testing.T) {
	store, repo := newStore(t)
	var inner []v1.Descriptor
	for i := range 20 {
		var entries []v1.Descriptor
		for k := range 100 {
			entries = append(entries, v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 2, Digest: v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i*100+k)}})
		}
		inner = append(inner, indexOf(t, store, repo, entries...))
	}
	root := indexOf(t, store, repo, inner...)
	reads := 0
	s := registrytest.Faulty(store, registrytest.Hooks{Manifest: func(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
		reads++
		return store.Manifest(ctx, ref)
	}})
	_, err := sign.Image(context.Background(), s, repo.Digest(root.Digest.String()), sign.ImageOptions{Recursive: true, MaxManifests: 30}, newSigner(t))
	if !errors.Is(err, sign.ErrOptions) || reads > 2 {
		t.Errorf("%v, after %d manifests; the second shows 100, and 30 are allowed", err, reads)
	}
}

// A plug-in panics in a goroutine that the caller knows nothing of.
func TestAttack_S8_PluginsThatPanicAreErrors(t *testing.T) {
	store, repo := newStore(t)
	subject := pushRandom(t, store, repo)
	bad := badSigner{newSigner(t), func(context.Context, []byte) ([]byte, error) { panic("unforeseen") }}
	_, err := sign.Image(context.Background(), store, subject, sign.ImageOptions{}, bad)
	wantPanic(t, "signer", err, sign.ErrSigner)
	_, err = sign.Blob(context.Background(), strings.NewReader("file"), bad)
	wantPanic(t, "signer of a file", err, sign.ErrSigner)
	broken := registrytest.Faulty(store, registrytest.Hooks{Resolve: func(context.Context, name.Reference) (v1.Descriptor, error) { panic("unforeseen") },
		PushManifest: func(context.Context, name.Reference, registry.Manifest, registry.PushOptions) (registry.PushReport, error) {
			panic("unforeseen")
		}})
	_, err = sign.Image(context.Background(), broken, subject, sign.ImageOptions{}, newSigner(t))
	wantPanic(t, "store", err, registry.ErrUnavailable)
	_, err = sign.Image(context.Background(), store, subject, sign.ImageOptions{Progress: func(int, int) { panic("unforeseen") }}, newSigner(t))
	wantPanic(t, "progress", err, registry.ErrUnavailable)
}

func wantPanic(t *testing.T, label string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), "unforeseen") {
		t.Errorf("%s: %v, want %v that says what has panicked", label, err, want)
	}
}
