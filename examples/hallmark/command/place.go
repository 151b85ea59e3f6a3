package command

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// place is what an IMAGE argument names: a reference in a store.
type place struct {
	// image is the argument itself.
	image string
	store registry.Store
	ref   name.Reference
}

// Values of locate's create: whether it creates a layout that does not exist.
const (
	existing = false
	created  = true
)

// locate finds the store of an IMAGE. All registries share one client, with its
// connections and credentials. Each layout is a store of its own.
func (a *app) locate(image string, create bool) (place, error) {
	store, ref, err := layout.Locate(image, layout.LocateOptions{
		Client: a.client,
		Layout: layout.Options{Create: create, Name: a.layoutName},
	})
	return place{image: image, store: store, ref: ref}, err
}

// at is a digest in this place as the user writes it. The name that a layout gives its
// references means nothing outside the layout.
func (p place) at(d name.Digest) string {
	if d.DigestStr() == "" {
		return ""
	}
	if _, inLayout := p.store.(*layout.Layout); !inLayout {
		return d.String()
	}
	return p.directory() + "@" + d.DigestStr()
}

// located does the same with the text of a digest and its repository.
func (p place) located(digest string) string {
	if _, inLayout := p.store.(*layout.Layout); !inLayout || digest == "" {
		return digest
	}
	return p.directory() + "@" + digestPart(digest)
}

// directory is the argument without its tag or digest.
func (p place) directory() string {
	separator := ":"
	if _, byDigest := p.ref.(name.Digest); byDigest {
		separator = "@"
	}
	return strings.TrimSuffix(p.image, separator+p.ref.Identifier())
}

// digestPart is the digest in the text of a reference.
func digestPart(ref string) string {
	return ref[strings.LastIndexByte(ref, '@')+1:] // the name of a directory may hold an @, too
}

// resolve returns the digest that the reference names now.
func (p place) resolve(ctx context.Context) (name.Digest, error) {
	if d, ok := p.ref.(name.Digest); ok {
		return d, nil
	}
	desc, err := p.store.Resolve(ctx, p.ref)
	if err != nil {
		return name.Digest{}, err
	}
	return p.ref.Context().Digest(desc.Digest.String()), nil
}
