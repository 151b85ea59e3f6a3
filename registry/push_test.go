package registry_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// errLie is what a method fails with that is told to.
var errLie = errors.New("it cannot be told")

// lie is the name of the method that fails.
type lie string

func told[T any](l lie, method string, truth func() (T, error)) (T, error) {
	if string(l) == method {
		var none T
		return none, errLie
	}
	return truth()
}

type lyingImage struct {
	v1.Image
	lie
}

func (i lyingImage) MediaType() (types.MediaType, error) {
	return told(i.lie, "MediaType", i.Image.MediaType)
}
func (i lyingImage) RawManifest() ([]byte, error) {
	return told(i.lie, "RawManifest", i.Image.RawManifest)
}
func (i lyingImage) Layers() ([]v1.Layer, error) { return told(i.lie, "Layers", i.Image.Layers) }
func (i lyingImage) RawConfigFile() ([]byte, error) {
	return told(i.lie, "RawConfigFile", i.Image.RawConfigFile)
}

// layered is an image of other layers than its manifest says.
type layered struct {
	v1.Image
	layer v1.Layer
}

func (l layered) Layers() ([]v1.Layer, error) { return []v1.Layer{l.layer}, nil }

type lyingLayer struct {
	v1.Layer
	lie
}

func (l lyingLayer) Digest() (v1.Hash, error) { return told(l.lie, "Digest", l.Layer.Digest) }
func (l lyingLayer) MediaType() (types.MediaType, error) {
	return told(l.lie, "MediaType", l.Layer.MediaType)
}
func (l lyingLayer) Size() (int64, error) { return told(l.lie, "Size", l.Layer.Size) }
func (l lyingLayer) Compressed() (io.ReadCloser, error) {
	return told(l.lie, "Compressed", l.Layer.Compressed)
}

// anyIndex has another name than its method.
type anyIndex = v1.ImageIndex

type lyingIndex struct {
	anyIndex
	lie
	child v1.Image // nil: the one asked for
}

func (i lyingIndex) IndexManifest() (*v1.IndexManifest, error) {
	return told(i.lie, "IndexManifest", i.anyIndex.IndexManifest)
}

func (i lyingIndex) Image(h v1.Hash) (v1.Image, error) {
	return told(i.lie, "Image", func() (v1.Image, error) {
		if i.child != nil {
			return i.child, nil
		}
		return i.anyIndex.Image(h)
	})
}

// bundled is an index of another thing.
func bundled(what mutate.Appendable) v1.ImageIndex {
	return mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: what})
}

func randomImage(t testing.TB) v1.Image {
	t.Helper()
	image, err := random.Image(100, 2)
	must(t, err)
	return image
}

// pushed pushes to a store that refuses what lists what it lacks, and wants that
// nothing was stored as a manifest where it fails.
func pushed(t *testing.T, content registry.Pushable) error {
	t.Helper()
	store := registrytest.New(registrytest.Options{RequireContent: true}).Store()
	at, err := registry.Push(t.Context(), store, testRepo, content)
	if err != nil {
		if at.DigestStr() != "" {
			t.Errorf("%s is said to be stored: %v", at, err)
		}
		return err
	}
	if _, err := store.Manifest(t.Context(), at); err != nil {
		t.Errorf("what was pushed: %v", err)
	}
	return nil
}

func TestImagesAndIndexesOfAnyShapeArePushed(t *testing.T) {
	image := randomImage(t)
	foreign := static.NewLayer([]byte("elsewhere"), types.DockerForeignLayer)
	withForeign, err := mutate.Append(image, mutate.Addendum{Layer: foreign, URLs: []string{"https://elsewhere.test/layer"}})
	must(t, err)
	for what, content := range map[string]registry.Pushable{
		"an image": image, "an index": bundled(image), "indexes in an index": bundled(bundled(bundled(image))),
		"no layers": empty.Image, "no images": empty.Index,
		"a layer that is elsewhere, and cannot be had": layered{withForeign, lyingLayer{foreign, "Compressed"}},
	} {
		if strings.HasPrefix(what, "a layer") {
			// Its own layers are there; the foreign one is not read.
			store := registrytest.New(registrytest.Options{}).Store()
			if _, err := registry.Push(t.Context(), store, testRepo, content); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err := pushed(t, content); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatCannotBeToldOfAnImageEndsItsPush(t *testing.T) {
	image := randomImage(t)
	layers, err := image.Layers()
	must(t, err)
	contents := make(map[string]registry.Pushable)
	for _, l := range []lie{"MediaType", "RawManifest", "Layers", "RawConfigFile"} {
		contents["an image's "+string(l)] = lyingImage{image, l}
		contents["a child's "+string(l)] = lyingIndex{bundled(image), "", lyingImage{image, l}}
	}
	for _, l := range []lie{"Digest", "MediaType", "Size"} {
		contents["a layer's "+string(l)] = layered{image, lyingLayer{layers[0], l}}
	}
	for _, l := range []lie{"IndexManifest", "Image"} {
		contents["an index's "+string(l)] = lyingIndex{bundled(image), l, nil}
	}
	for what, content := range contents {
		err := pushed(t, content)
		if wantError(t, what, err, registry.ErrMalformed); !errors.Is(err, errLie) {
			t.Errorf("%s: does not say why: %v", what, err)
		}
	}
}

func TestAnIndexWhoseChildrenLieIsNotPushed(t *testing.T) {
	image, other := randomImage(t), randomImage(t)
	deep := bundled(image)
	for range 5 {
		deep = bundled(deep)
	}
	for what, content := range map[string]registry.Pushable{
		"another child":      lyingIndex{bundled(image), "", other},
		"nested without end": deep,
		"neither":            neither{},
	} {
		wantError(t, what, pushed(t, content), registry.ErrMalformed)
	}
}

// disguised is a layer with the digest of another.
type disguised struct{ v1.Layer }

func (disguised) Digest() (v1.Hash, error) { return hashOf("another"), nil }

func TestALayerOfOtherBytesThanItsDigestIsNotPushed(t *testing.T) {
	image := randomImage(t)
	layers, err := image.Layers()
	must(t, err)
	wantError(t, "in an image", pushed(t, layered{image, disguised{layers[0]}}), registry.ErrDigestMismatch)
	wantError(t, "in a child", pushed(t, lyingIndex{bundled(image), "", layered{image, disguised{layers[0]}}}), registry.ErrDigestMismatch)
}

// neither is no image and no index.
type neither struct{}

func (neither) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (neither) RawManifest() ([]byte, error)        { return []byte("{}"), nil }

func TestWhatTheStoreSaysOfAPushIsTold(t *testing.T) {
	image := randomImage(t)
	denied := &registry.Error{Op: "test", Kind: registry.ErrDenied}
	for _, call := range []string{"has blob", "push blob", "push manifest"} {
		for what, content := range map[string]registry.Pushable{"image": image, "index": bundled(image)} {
			store := failingAt(registrytest.New(registrytest.Options{}).Store(), call, denied)
			if _, err := registry.Push(t.Context(), store, testRepo, content); !errors.Is(err, denied) {
				t.Errorf("%s, %s: %v", what, call, err)
			}
		}
	}
}

func TestALayerThatCannotBeReadEndsThePush(t *testing.T) {
	image := randomImage(t)
	layers, err := image.Layers()
	must(t, err)
	if err := pushed(t, layered{image, lyingLayer{layers[0], "Compressed"}}); !errors.Is(err, errLie) {
		t.Errorf("%v", err)
	}
}

func TestBlobsThatAreThereAreNotPushedAgain(t *testing.T) {
	image := randomImage(t)
	store := registrytest.New(registrytest.Options{}).Store()
	_, err := registry.Push(t.Context(), store, testRepo, image)
	must(t, err)
	layers, err := image.Layers()
	must(t, err)
	again := layered{image, lyingLayer{layers[0], "Compressed"}}
	if _, err := registry.Push(t.Context(), store, testRepo, again); err != nil {
		t.Errorf("a layer that is there was read: %v", err)
	}
}

func TestAPushEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store := registrytest.New(registrytest.Options{}).Store()
	if _, err := registry.Push(ctx, store, testRepo, bundled(randomImage(t))); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
