package readers

import (
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// options are those of go-containerregistry, without logins, and without attempts
// after the first one.
func (a access) options(t *testing.T) []remote.Option {
	return []remote.Option{
		remote.WithContext(t.Context()), remote.WithTransport(a.transport),
		remote.WithAuthFromKeychain(authn.NewMultiKeychain()), remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
}

func (a access) reference(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(a.host+"/"+a.repository+separator(ref)+ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func pullWithGoContainerRegistry(t *testing.T, from access, ref string, into *haul) error {
	t.Helper()
	root, err := remote.Get(from.reference(t, ref), from.options(t)...)
	if err != nil {
		return err
	}
	into.add(root.Manifest)
	switch {
	case root.MediaType.IsIndex():
		index, err := root.ImageIndex()
		if !into.failed(err) {
			walkIndex(index, into, make(visits))
		}
	case root.MediaType.IsImage():
		image, err := root.Image()
		if !into.failed(err) {
			walkImage(image, into)
		}
	}
	return nil
}

// listWithGoContainerRegistry asks for each referrer by itself: the index that
// Referrers returns cannot.
func listWithGoContainerRegistry(t *testing.T, from access, subject string, into *haul) error {
	t.Helper()
	list, err := remote.Referrers(from.reference(t, subject).(name.Digest), from.options(t)...)
	if err != nil {
		return err
	}
	if raw, err := list.RawManifest(); !into.failed(err) {
		into.add(raw)
	}
	entries, err := list.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range entries.Manifests {
		into.failed(pullWithGoContainerRegistry(t, from, d.Digest.String(), into))
	}
	return nil
}

func walkIndex(index v1.ImageIndex, into *haul, seen visits) {
	if raw, err := index.RawManifest(); !into.failed(err) {
		into.add(raw)
	}
	list, err := index.IndexManifest()
	if into.failed(err) {
		return
	}
	for _, child := range list.Manifests {
		if !seen.first(child.Digest.String()) {
			continue
		}
		switch {
		case child.MediaType.IsIndex():
			nested, err := index.ImageIndex(child.Digest)
			if !into.failed(err) {
				walkIndex(nested, into, seen)
			}
		case child.MediaType.IsImage():
			image, err := index.Image(child.Digest)
			if !into.failed(err) {
				walkImage(image, into)
			}
		default:
			layer, err := index.(interface {
				Layer(v1.Hash) (v1.Layer, error)
			}).Layer(child.Digest)
			if !into.failed(err) {
				readLayer(layer, into)
			}
		}
	}
}

func walkImage(image v1.Image, into *haul) {
	if raw, err := image.RawManifest(); !into.failed(err) {
		into.add(raw)
	}
	if config, err := image.RawConfigFile(); !into.failed(err) {
		into.add(config)
	}
	manifest, err := image.Manifest()
	if into.failed(err) {
		return
	}
	for _, l := range manifest.Layers {
		layer, err := image.LayerByDigest(l.Digest)
		if !into.failed(err) {
			readLayer(layer, into)
		}
	}
}

func readLayer(layer v1.Layer, into *haul) {
	body, err := layer.Compressed()
	if into.failed(err) {
		return
	}
	defer body.Close()
	if content, err := io.ReadAll(body); !into.failed(err) {
		into.add(content)
	}
}
