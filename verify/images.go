package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Bounds of what is read of the image itself, before a signature was verified.
const (
	maxManifests    = 200 // an index, those that it lists, and so on
	maxConfigBytes  = 8 << 20
	maxConfigsBytes = 32 << 20 // of all configs
	parallelImages  = 4
)

// images are the configs of an image or index, or why they could not be read.
type images struct {
	views []*imageView
	err   error
}

// readImages starts to read the image itself while evidence is read. Nil: no requirement is
// about it.
func (d *decision) readImages(ctx context.Context) <-chan images {
	for _, leaf := range d.rule.leaves {
		if leaf.config != nil {
			done := make(chan images, 1)
			go func() {
				var read images
				// A panic here would end the whole process.
				defer func() {
					if cause := recover(); cause != nil {
						read = images{err: panicked(cause)}
					}
					done <- read
				}()
				read.views, read.err = (&imageReader{r: d.r, repo: d.image.Context()}).read(ctx, d.image)
			}()
			return done
		}
	}
	return nil
}

// panicked makes an error of a panic. The error decides nothing.
func panicked(cause any) error {
	return &registry.Error{Op: "read image", Kind: registry.ErrUnavailable, Err: fmt.Errorf("internal failure: %v\n%s", cause, debug.Stack())}
}

// imageReader reads an image, or all images of an index. It leaves out attestation
// manifests, which do not run: listed as such, for no platform, with in-toto statements as
// layers.
type imageReader struct {
	r    registry.Reader
	repo name.Repository
	// configs is the size of all configs, and cost about how much memory they take.
	configs, cost atomic.Int64
}

// listedAs is how an index lists a manifest.
type listedAs struct {
	digest      name.Digest
	attestation bool
	platform    machine
}

// opened is one manifest: an image, or an index of others, or neither.
type opened struct {
	view     *imageView
	children []listedAs
}

// read reads level by level, each manifest once however often it is listed.
func (i *imageReader) read(ctx context.Context, root name.Digest) ([]*imageView, error) {
	var views []*imageView
	level := []listedAs{{digest: root}}
	seen := map[listedAs]bool{level[0]: true}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxIndexDepth {
			return nil, i.malformed(root, fmt.Sprintf("indexes nest deeper than %d", maxIndexDepth))
		}
		all, err := i.open(ctx, level)
		if err != nil {
			return nil, err
		}
		level = nil
		for _, o := range all {
			if o.view != nil {
				views = append(views, o.view)
			}
			for _, child := range o.children {
				if !seen[child] {
					seen[child] = true
					level = append(level, child)
				}
			}
		}
		if len(seen) > maxManifests {
			return nil, i.malformed(root, fmt.Sprintf("it lists more than %d manifests", maxManifests))
		}
	}
	if len(views) == 0 {
		return nil, i.malformed(root, "it lists no image")
	}
	return views, nil
}

func (i *imageReader) malformed(ref name.Digest, detail string) error {
	return &registry.Error{Op: "read image", Ref: ref.String(), Kind: registry.ErrMalformed, Detail: detail}
}

// open reads manifests concurrently, until one cannot be read.
func (i *imageReader) open(ctx context.Context, level []listedAs) ([]opened, error) {
	all, err := parallel.Map(ctx, parallelImages, level, i.openOne)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if p, ok := err.(*panics.Error); ok {
		err = panicked(p)
	}
	return all, err
}

func (i *imageReader) openOne(ctx context.Context, entry listedAs) (opened, error) {
	digest := entry.digest
	if ctx.Err() != nil {
		return opened{}, ctx.Err()
	}
	m, err := readManifest(ctx, i.r, digest)
	if err != nil {
		return opened{}, err
	}
	doc, err := parseManifest(ctx, m)
	switch {
	case ctx.Err() != nil:
		return opened{}, ctx.Err()
	case err != nil:
		return opened{}, i.malformed(digest, err.Error())
	}
	if entry.attestation && holdsStatements(doc) {
		return opened{}, nil
	}
	if !doc.IsIndex {
		view, err := i.config(ctx, digest, doc, m.Bytes)
		if err != nil {
			return opened{}, err
		}
		view.listedFor = entry.platform.of()
		return opened{view: view}, nil
	}
	var o opened
	for _, d := range doc.Manifests {
		o.children = append(o.children, listedAs{i.repo.Digest(d.Digest.String()), isAttestation(d), machineOf(d)})
	}
	if len(o.children) == 0 {
		return opened{}, i.malformed(digest, "the index lists no image")
	}
	return o, nil
}

// readManifest reads a manifest. Within a budget, a large one waits for its turn.
func readManifest(ctx context.Context, r registry.Reader, ref name.Digest) (registry.Manifest, error) {
	m, err := registry.ReadManifest(budget.Small(ctx), r, ref)
	if !errors.Is(err, budget.ErrLater) {
		return m, err
	}
	if err := budget.Large(ctx); err != nil {
		return registry.Manifest{}, err
	}
	return registry.ReadManifest(ctx, r, ref)
}

// parseManifest parses a manifest within a budget. A large one waits for its turn.
func parseManifest(ctx context.Context, m registry.Manifest) (*oci.Document, error) {
	if err := large(ctx, int64(len(m.Bytes))); err != nil {
		return nil, err
	}
	leave, err := budget.Parse(ctx, m.Bytes)
	if err != nil {
		return nil, err
	}
	defer leave()
	return oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
}

// large waits, within a budget, until so many bytes may be held.
func large(ctx context.Context, size int64) error {
	if size <= budget.Free {
		return nil
	}
	return budget.Large(ctx)
}

// machine is the OS and the architecture that an index lists a manifest for; zero where it
// does not say.
type machine struct {
	listed           bool
	os, architecture string
}

func machineOf(d v1.Descriptor) machine {
	if d.Platform == nil {
		return machine{}
	}
	return machine{true, d.Platform.OS, d.Platform.Architecture}
}

// of is the platform; nil where the index does not say.
func (m machine) of() *v1.Platform {
	if !m.listed {
		return nil
	}
	return &v1.Platform{OS: m.os, Architecture: m.architecture}
}

// isAttestation reports whether an index lists a manifest as BuildKit lists
// attestations (BuildKit, docs/attestations/attestation-storage.md).
func isAttestation(d v1.Descriptor) bool {
	const none = "unknown"
	return d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" &&
		d.Platform != nil && d.Platform.OS == none && d.Platform.Architecture == none
}

// holdsStatements reports whether all layers are in-toto statements. Then no layer can be
// unpacked and run.
func holdsStatements(doc *oci.Document) bool {
	for _, l := range doc.Layers {
		if string(l.MediaType) != dsse.PayloadTypeInToto {
			return false
		}
	}
	return !doc.IsIndex && len(doc.Layers) > 0
}

func (i *imageReader) config(ctx context.Context, digest name.Digest, doc *oci.Document, manifest []byte) (*imageView, error) {
	if doc.Config == nil || doc.Config.Size > maxConfigBytes || i.configs.Add(doc.Config.Size) > maxConfigsBytes {
		return nil, i.malformed(digest, fmt.Sprintf("the manifest has no config, its config has more than %d bytes, or all configs have more than %d",
			maxConfigBytes, maxConfigsBytes))
	}
	if err := large(ctx, doc.Config.Size); err != nil {
		return nil, err
	}
	config, err := registry.ReadBlob(ctx, i.r, i.repo.Digest(doc.Config.Digest.String()), doc.Config.Size)
	if err != nil {
		return nil, err
	}
	if err := i.hold(ctx, digest, manifest, config); err != nil {
		return nil, err
	}
	leave, err := budget.Parse(ctx, config)
	if err != nil {
		return nil, err
	}
	defer leave()
	view, err := parseImage(manifest, config)
	if err != nil {
		return nil, i.malformed(digest, err.Error())
	}
	return view, nil
}

// Bounds of what all configs of a judgement may take within a budget: without a turn, and
// in all. Those of one image take about 50 KiB, with its manifest.
const (
	maxConfigsFree = 256 << 10
	maxConfigsCost = 8 << 20
)

// hold waits until a parsed manifest and config may be held with the others, until the end
// of the judgement.
func (i *imageReader) hold(ctx context.Context, digest name.Digest, manifest, config []byte) error {
	if !budget.In(ctx) {
		return nil
	}
	switch cost := i.cost.Add(budget.CostOfParsing(manifest) + budget.CostOfParsing(config)); {
	case cost > maxConfigsCost:
		return i.malformed(digest, fmt.Sprintf("the manifests and configs of all that it lists would take more than %d bytes of memory", maxConfigsCost))
	case cost > maxConfigsFree:
		return budget.Large(ctx)
	}
	return nil
}
