package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Bounds of what is read of the image itself.
const (
	maxImages      = 200 // of one index
	maxConfigBytes = 8 << 20
	parallelImages = 4
)

var errTooManyImages = fmt.Errorf("the index lists more than %d images", maxImages)

// readImages begins to read the image itself, beside the evidence, where a
// requirement is about it; nil where none is.
func (j *judgement) readImages() <-chan images {
	for _, leaf := range j.rule.leaves {
		if leaf.config != nil {
			done := make(chan images, 1)
			go func() {
				views, err := readViews(j.ctx, j.r, j.digest, 0)
				done <- images{views, err}
			}()
			return done
		}
	}
	return nil
}

// readViews reads an image, or all that an index lists but for attestation
// manifests, which are never run.
func readViews(ctx context.Context, r registry.Reader, digest name.Digest, depth int) ([]*imageView, error) {
	m, err := registry.ReadManifest(ctx, r, digest)
	if err != nil {
		return nil, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return nil, &registry.Error{Op: "read manifest", Ref: digest.String(), Kind: registry.ErrMalformed, Err: err}
	}
	if !doc.IsIndex {
		view, err := readView(ctx, r, digest, doc, m.Bytes)
		return []*imageView{view}, err
	}
	if depth >= maxIndexDepth {
		return nil, fmt.Errorf("indexes nest deeper than %d: %w", maxIndexDepth, registry.ErrMalformed)
	}
	var children []name.Digest
	for _, d := range doc.Manifests {
		if d.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			children = append(children, digest.Context().Digest(d.Digest.String()))
		}
	}
	if len(children) > maxImages || len(children) == 0 {
		return nil, &registry.Error{Op: "read index", Ref: digest.String(), Kind: registry.ErrMalformed,
			Detail: fmt.Sprintf("it lists %d images, want 1 to %d", len(children), maxImages)}
	}
	return readChildren(ctx, r, children, depth+1)
}

func readChildren(ctx context.Context, r registry.Reader, children []name.Digest, depth int) ([]*imageView, error) {
	views, errs := make([][]*imageView, len(children)), make([]error, len(children))
	slots := make(chan struct{}, parallelImages)
	var wg sync.WaitGroup
	for i, child := range children {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			views[i], errs[i] = readViews(ctx, r, child, depth)
		})
	}
	wg.Wait()
	var all []*imageView
	for _, v := range views {
		all = append(all, v...)
	}
	if len(all) > maxImages {
		return nil, errTooManyImages
	}
	return all, errors.Join(errs...)
}

func readView(ctx context.Context, r registry.Reader, digest name.Digest, doc *oci.Document, manifest []byte) (*imageView, error) {
	if doc.Config == nil || doc.Config.Size > maxConfigBytes {
		return nil, &registry.Error{Op: "read config", Ref: digest.String(), Kind: registry.ErrMalformed,
			Detail: fmt.Sprintf("the manifest has no config, or one of more than %d bytes", maxConfigBytes)}
	}
	config, err := registry.ReadBlob(ctx, r, digest.Context().Digest(doc.Config.Digest.String()), doc.Config.Size)
	if err != nil {
		return nil, err
	}
	view, err := parseImage(manifest, config)
	if err != nil {
		return nil, &registry.Error{Op: "read config", Ref: digest.String(), Kind: registry.ErrMalformed, Err: err}
	}
	return view, nil
}
