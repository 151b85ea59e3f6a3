package registry

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// maxReadBack is up to what size a blob of evidence is read back in full: what
// readers of evidence take by default. Larger ones, and layers of images above
// smallBlob, are opened and not read: clients verify what they pull.
const maxReadBack = 32 << 20

// smallBlob is up to what size a blob of an image is read back in full.
const smallBlob = 64 << 10

// check is something that was written, and is to be read back.
type check struct {
	about v1.Hash
	what  string
	look  func(context.Context) error
	// again writes it once more, after look has not found it. Nil: look alone is
	// called again.
	again func(context.Context) error
}

// readBack reads everything that was written, as a reader would, in parallel. A store
// may return new content late, so readBack looks again for about a second. An error
// names the first missing piece.
func readBack(ctx context.Context, checks []check, parallel int) error {
	for wait := 100 * time.Millisecond; ; wait *= 3 {
		missing, err := lookAt(ctx, checks, parallel)
		if err == nil || wait > time.Second || len(missing) == 0 {
			return err
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		for _, c := range missing {
			if c.again == nil {
				continue
			}
			if err := c.again(ctx); err != nil { // one by one: what was lost was written at the same time
				return lost(c, err)
			}
		}
		checks = missing
	}
}

// lookAt returns the checks that failed in a way that may pass, and the error of
// the first; or an error alone, if one will stay.
func lookAt(ctx context.Context, checks []check, parallel int) (missing []check, first error) {
	var mu sync.Mutex
	err := eachOf(ctx, "confirm", parallel, checks, func(ctx context.Context, c check) error {
		err := c.look(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = lost(c, err)
		}
		if !errors.Is(err, ErrNotConfirmed) && !errors.Is(err, ErrNotFound) {
			return lost(c, err)
		}
		missing = append(missing, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return missing, first
}

// lost says that a store has taken something and does not give it back.
func lost(c check, err error) error {
	return &Error{Op: "confirm", Ref: c.about.String(), Kind: ErrNotConfirmed,
		Detail: c.what + " was written, and does not come back as it was", Err: err}
}

// manifestCheck reads a manifest back by its digest.
func manifestCheck(r Reader, repo name.Repository, d v1.Descriptor) check {
	return check{about: d.Digest, what: "the manifest", look: func(ctx context.Context) error { return confirmManifest(ctx, r, repo, d) }}
}

func confirmManifest(ctx context.Context, r Reader, repo name.Repository, d v1.Descriptor) error {
	at := repo.Digest(d.Digest.String())
	m, err := ReadManifest(ctx, r, at)
	if err != nil {
		return err
	}
	if !oci.SameContent(m.Descriptor, d) {
		return unconfirmed(at, "the store calls it "+safe(string(m.Descriptor.MediaType)))
	}
	return nil
}

// blobCheck reads a blob back: all of it, or, where it is large, the first byte.
func blobCheck(r Reader, repo name.Repository, d v1.Descriptor, whole bool) check {
	return check{about: d.Digest, what: "the blob", look: func(ctx context.Context) error {
		if whole {
			return confirmBlob(ctx, r, repo, d)
		}
		return confirmBeginning(ctx, r, repo, d)
	}}
}

func confirmBeginning(ctx context.Context, r Reader, repo name.Repository, d v1.Descriptor) error {
	content, err := r.Blob(ctx, repo.Digest(d.Digest.String()), d.Size)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // the rest is not wanted
	_, err = io.ReadFull(content, make([]byte, min(d.Size, 1)))
	return err
}

// ConfirmTag reads a tag back after it was written. It returns nil if the tag leads to
// the digest, both by the store's description and by the bytes that it returns. A
// registry may move a tag late, so ConfirmTag looks again for about a second. Otherwise
// the error is ErrNotConfirmed, and says where the tag leads.
func ConfirmTag(ctx context.Context, r Reader, tag name.Tag, digest v1.Hash) error {
	return readBack(ctx, []check{tagCheck(r, tag, digest)}, 1)
}

func tagCheck(r Reader, tag name.Tag, digest v1.Hash) check {
	leads := func(to v1.Hash) error {
		if to != digest {
			return unconfirmed(tag, "the tag leads to "+safe(to.String()))
		}
		return nil
	}
	return check{about: digest, what: "the tag " + safe(tag.TagStr()), look: func(ctx context.Context) error {
		return together(ctx,
			func(ctx context.Context) error {
				d, err := r.Resolve(ctx, tag)
				if err != nil {
					return err
				}
				return leads(d.Digest)
			},
			func(ctx context.Context) error {
				m, err := ReadManifest(ctx, r, tag)
				if err != nil {
					return err
				}
				return leads(m.Descriptor.Digest)
			},
		)
	}}
}

// layerSum tells layers apart as sameLayer does, in few bytes.
type layerSum [sha256.Size]byte

func sumOf(d v1.Descriptor) layerSum {
	annotations := d.Annotations
	if len(annotations) == 0 {
		annotations = nil
	}
	// Neither strings nor numbers fail to be encoded, and keys are sorted.
	text, _ := json.Marshal([]any{d.MediaType, d.Digest.String(), d.Size, annotations})
	return sha256.Sum256(text)
}

// layersCheck looks for layers under a tag that holds evidence about subject.
func layersCheck(r Reader, tag name.Tag, subject v1.Hash, layers []v1.Descriptor) check {
	wanted := make([]layerSum, len(layers))
	for i, l := range layers {
		wanted[i] = sumOf(l)
	}
	return check{about: subject, what: "the tag " + tag.TagStr(), look: func(ctx context.Context) error {
		m, err := ReadManifest(ctx, r, tag)
		if err != nil {
			return err
		}
		doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
		if err != nil || !isAbout(doc, subject, tag) {
			return unconfirmed(tag, "the tag holds something else than evidence about "+subject.String())
		}
		have := make(map[layerSum]bool, len(doc.Layers))
		for _, l := range doc.Layers {
			have[sumOf(l)] = true
		}
		for _, w := range wanted {
			if !have[w] {
				return unconfirmed(tag, "the tag's manifest lacks evidence that was written to it")
			}
		}
		return nil
	}}
}
