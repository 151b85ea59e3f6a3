package command

import (
	"context"
	"errors"
	"fmt"
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
// connections and credentials. All images to read in one layout share it. The app closes
// layouts at its end.
func (a *app) locate(image string, create bool) (place, error) {
	if err := checkImage(image); err != nil {
		return place{image: image}, err
	}
	store, ref, err := layout.Locate(image, layout.LocateOptions{
		Client: a.client,
		Layout: layout.Options{Create: create, Name: a.layoutName},
	})
	p := place{image: image, store: store, ref: ref}
	l, inLayout := store.(*layout.Layout)
	if !inLayout || err != nil {
		return p, err
	}
	a.placing.Lock()
	defer a.placing.Unlock()
	if !create {
		if known := a.layouts[p.directory()]; known != nil {
			p.store = known
			return p, l.Close()
		}
		if a.layouts == nil {
			a.layouts = make(map[string]*layout.Layout)
		}
		a.layouts[p.directory()] = l
	}
	a.opened = append(a.opened, l)
	return p, nil
}

// close closes the layouts that were opened. What was spooled for an archive is removed.
func (a *app) close() {
	for _, l := range a.opened {
		if err := l.Close(); err != nil {
			a.logger().Warn("a layout could not be closed", "error", err)
		}
	}
}

// commit writes an archive; other places hold already what was written.
func (p place) commit(ctx context.Context) error {
	if l, inLayout := p.store.(*layout.Layout); inLayout {
		return l.Commit(ctx)
	}
	return nil
}

// errArchive is the error for changing an archive in place.
var errArchive = errors.New("an archive is written whole, and by copy alone")

// changeable fails for images that nothing can be attached to.
func changeable(places []place) error {
	for _, p := range places {
		if strings.HasPrefix(p.image, layout.ArchivePrefix) {
			return fmt.Errorf("%s: %w", p.image, errArchive)
		}
	}
	return nil
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
