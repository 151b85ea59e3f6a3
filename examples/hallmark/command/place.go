package command

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// place is where an IMAGE argument leads.
type place struct {
	// image is the argument itself.
	image string
	store registry.Store
	ref   name.Reference
}

// Whether a layout that is not there is made.
const (
	existing = false
	created  = true
)

// locate finds the store of an IMAGE. Registries share one client, so that
// connections and credentials are made once; every layout is its own store.
func (a *app) locate(image string, create bool) (place, error) {
	store, ref, err := layout.Locate(image, layout.LocateOptions{
		Client: a.client,
		Layout: layout.Options{Create: create, Name: a.layoutName},
	})
	return place{image: image, store: store, ref: ref}, err
}

// at is how people write a digest that is in the same place: a layout's
// references are made under a name that means nothing outside of it.
func (p place) at(d name.Digest) string {
	if d.DigestStr() == "" {
		return ""
	}
	if _, inLayout := p.store.(*layout.Layout); !inLayout {
		return d.String()
	}
	return p.directory() + "@" + d.DigestStr()
}

// located is at for the text of a digest with its repository.
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
	return ref[strings.LastIndexByte(ref, '@')+1:] // a directory's name may hold one, too
}

// resolve asks once what the reference names now.
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
