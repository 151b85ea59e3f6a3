package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	pushParallel = 4
	pushMaxDepth = 4
)

// Pushable is a v1.Image or a v1.ImageIndex, as go-containerregistry's packages
// make them.
type Pushable interface {
	MediaType() (types.MediaType, error)
	RawManifest() ([]byte, error)
}

// Push stores an image, or an index with all that it lists, by digest: blobs first,
// and children before the index. Blobs that the store has are not sent again.
//
// Push sets no tag, so clients that pull by tag do not get the image yet. See
// sign.PushAndSign and Writer.PushManifest. If w is a Reader too, Push reads back what
// it has sent, as Copy does; ErrNotConfirmed says that the store did not return it.
func Push(ctx context.Context, w Writer, repo name.Repository, content Pushable) (name.Digest, error) {
	p := &pushing{Writer: w}
	at, err := push(ctx, p, repo, content, 0)
	if r, ok := w.(Reader); ok && err == nil {
		err = readBack(ctx, p.checks(r, repo), pushParallel)
	}
	return at, err
}

// pushing is a Writer that notes what it was given.
type pushing struct {
	Writer
	mu        sync.Mutex
	manifests []v1.Descriptor
	blobs     []v1.Descriptor
}

func (p *pushing) PushManifest(ctx context.Context, ref name.Reference, m Manifest, o PushOptions) (PushReport, error) {
	report, err := p.Writer.PushManifest(ctx, ref, m, o)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.manifests = append(p.manifests, m.Descriptor)
	}
	return report, err
}

func (p *pushing) PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error {
	h, err := BlobHashOf(ref)
	if err != nil {
		return err
	}
	if err := p.Writer.PushBlob(ctx, ref, size, open); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blobs = append(p.blobs, v1.Descriptor{Digest: h, Size: size})
	return nil
}

// checks are how what was given is read back.
func (p *pushing) checks(r Reader, repo name.Repository) []check {
	var all []check
	for _, d := range p.manifests {
		all = append(all, manifestCheck(r, repo, d))
	}
	for _, d := range p.blobs {
		all = append(all, blobCheck(r, repo, d, d.Size <= smallBlob))
	}
	return all
}

func push(ctx context.Context, w Writer, repo name.Repository, content Pushable, depth int) (name.Digest, error) {
	fail := func(err error) (name.Digest, error) {
		var typed *Error
		if errors.As(err, &typed) || ctx.Err() != nil {
			return name.Digest{}, err
		}
		return name.Digest{}, &Error{Op: "push to", Ref: SafeText(repo.String(), maxErrorText), Kind: ErrMalformed, Err: err}
	}
	if depth > pushMaxDepth {
		return fail(fmt.Errorf("indexes nest deeper than %d", pushMaxDepth))
	}
	var err error
	switch c := content.(type) {
	case v1.ImageIndex:
		err = pushChildren(ctx, w, repo, c, depth)
	case v1.Image:
		err = pushImageBlobs(ctx, w, repo, c)
	default:
		err = fmt.Errorf("%T is neither a v1.Image nor a v1.ImageIndex", content)
	}
	if err != nil {
		return fail(err)
	}
	mediaType, err := content.MediaType()
	if err != nil {
		return fail(err)
	}
	raw, err := content.RawManifest()
	if err != nil {
		return fail(err)
	}
	m := describe(string(mediaType), raw)
	at := repo.Digest(m.Descriptor.Digest.String())
	_, err = w.PushManifest(ctx, at, m, PushOptions{})
	return at, err
}

func pushChildren(ctx context.Context, w Writer, repo name.Repository, index v1.ImageIndex, depth int) error {
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, d := range m.Manifests {
		var child Pushable
		if d.MediaType.IsIndex() {
			child, err = index.ImageIndex(d.Digest)
		} else {
			child, err = index.Image(d.Digest)
		}
		if err != nil {
			return fmt.Errorf("child %s: %w", d.Digest, err)
		}
		at, err := push(ctx, w, repo, child, depth+1)
		if err != nil {
			return err
		}
		if at.DigestStr() != d.Digest.String() {
			return fmt.Errorf("child %s has digest %s", d.Digest, at.DigestStr())
		}
	}
	return nil
}

func pushImageBlobs(ctx context.Context, w Writer, repo name.Repository, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	return together(ctx,
		func(ctx context.Context) error { return pushBytes(ctx, w, repo, config) },
		func(ctx context.Context) error {
			return eachOf(ctx, "push", pushParallel, layers, func(ctx context.Context, l v1.Layer) error { return pushLayer(ctx, w, repo, l) })
		},
	)
}

func pushLayer(ctx context.Context, w Writer, repo name.Repository, l v1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	mediaType, err := l.MediaType()
	if err != nil || !mediaType.IsDistributable() {
		return err
	}
	ref := repo.Digest(digest.String())
	there, err := w.HasBlob(ctx, ref)
	if err != nil || there {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	return w.PushBlob(ctx, ref, size, func() (io.ReadCloser, error) { return l.Compressed() })
}
