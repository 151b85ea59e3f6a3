package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Options configure a Layout. The zero value opens a layout that exists.
type Options struct {
	// Create makes the directory and an empty layout in it where there is none. An
	// archive is made by Layout.Commit. False: the layout must exist.
	Create bool
	// Name is the repository under which the layout's references are made; see
	// Layout.Repository. Empty: "layout.invalid/oci".
	Name string
	// MaxManifestSize bounds one manifest, in bytes. Zero: 4 MiB.
	MaxManifestSize int64
	// MaxBlobSize bounds a blob that is read without a size, in bytes. Zero: 4 GiB.
	MaxBlobSize int64
	// MaxIndexSize bounds index.json, in bytes. Zero: 16 MiB.
	MaxIndexSize int64
	// MaxEntries bounds the number of entries of index.json. Zero: 20,000.
	MaxEntries int
	// MaxScannedFiles bounds the files of blobs/ that are looked at for referrers, where
	// "cosign save" wrote the layout. Zero: 20,000.
	MaxScannedFiles int
	// MaxScannedBytes bounds the bytes of those files. Zero: 256 MiB.
	MaxScannedBytes int64
	// MaxMembers bounds the members of an archive. Zero: 100,000.
	MaxMembers int
	// LockTimeout is how long a write waits for other processes that write to
	// the layout. Zero: one minute.
	LockTimeout time.Duration
}

func (o Options) withDefaults() Options {
	o.Name = cmp.Or(o.Name, "layout.invalid/oci")
	o.MaxManifestSize = cmp.Or(o.MaxManifestSize, 4<<20)
	o.MaxBlobSize = cmp.Or(o.MaxBlobSize, 4<<30)
	o.MaxIndexSize = cmp.Or(o.MaxIndexSize, 16<<20)
	o.MaxEntries = cmp.Or(o.MaxEntries, 20_000)
	o.MaxScannedFiles = cmp.Or(o.MaxScannedFiles, 20_000)
	o.MaxScannedBytes = cmp.Or(o.MaxScannedBytes, 256<<20)
	o.MaxMembers = cmp.Or(o.MaxMembers, 100_000)
	o.LockTimeout = cmp.Or(o.LockTimeout, time.Minute)
	return o
}

// Layout is an OCI image layout: a directory that holds one repository. It serves offline
// and air-gapped use. Of a reference given to it only the tag or digest counts; registry
// and repository are ignored. A Layout is safe for concurrent use.
//
// # Tags
//
// A tag is the annotation org.opencontainers.image.ref.name of an entry of index.json.
// Other tools write full names there, such as "example.com/app:v1", or in
// io.containerd.image.name. Such a name matches by its part after the last colon, if no
// entry has exactly the tag and one image alone matches. In a layout that "cosign save"
// wrote, the signatures and attestations of its image have the tags that they have in a
// registry.
//
// # What is listed
//
// Other tools find what index.json lists, and keep it when they collect garbage.
// PushManifest lists what is pushed by tag, and what is pushed by digest and has a
// subject. Other manifests pushed by digest are taken for the children of an index pushed
// later, and only stored. When a tag moves, the entry of the manifest that it named is
// dropped, unless that manifest has a subject. Its content stays, and its digest still
// resolves.
//
// Referrers are the entries of index.json whose manifest has the subject, and what the
// fallback tag sha256-<hex> lists. Writers keep that tag, by which regctl and other tools
// find referrers, and mark the first image for "cosign load". In a layout that "cosign
// save" wrote, manifests in blobs/ that index.json does not list are referrers too.
//
// # Security and durability
//
// Every file is read through the directory's handle, and nothing outside of it is
// reached. Symbolic links and other irregular files are refused. Every manifest and blob
// is verified against its digest at each read.
//
// Writers of this package, in any number of goroutines and processes, take turns by a
// lock file, .hallmark/lock. Tools that ignore the lock must not write at the same time.
// Each file is written aside, flushed to the disk and renamed into place, index.json
// last. A crash leaves the old state or the new, and possibly a file in .hallmark. A
// later writer removes that file once it is a day old.
//
// OpenArchive says how a tar file is read and written.
//
// Source: OCI Image Format Specification v1.1, image-layout.md.
type Layout struct {
	dir     *directory
	writers *writers
	blobs   *blobs
	index   *indexFile
	repo    name.Repository
	o       Options
	spool   *spool // of an archive that is to be written
}

var (
	_ registry.Store   = (*Layout)(nil)
	_ registry.Remover = (*Layout)(nil)
	_ registry.Lister  = (*Layout)(nil)
)

const (
	layoutFile    = "oci-layout"
	layoutVersion = "1.0.0"
	layoutContent = `{"imageLayoutVersion":"` + layoutVersion + `"}`
	maxLayoutFile = 64 << 10
	indexName     = "index.json"
	emptyIndex    = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[]}`
	allBlobsDir   = "blobs"
	blobsDir      = allBlobsDir + "/sha256"
)

// Open opens the OCI image layout in a directory. Errors are:
//
//   - ErrNotFound: the directory holds no layout.
//   - ErrUnsupported: the layout is of an unknown version.
//   - ErrMalformed: oci-layout or index.json is not what the specification allows.
//
// Close releases the directory's handle; so does the garbage collector.
func Open(dir string, o Options) (*Layout, error) {
	o = o.withDefaults()
	repo, err := o.repository(dir)
	if err != nil {
		return nil, err
	}
	if o.Create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fileError("create layout", safe(dir), err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fileError("open layout", safe(dir), err)
	}
	return newLayout(&directory{path: dir, root: root}, repo, o)
}

// repository is the one of Options.Name.
func (o Options) repository(path string) (name.Repository, error) {
	repo, err := name.NewRepository(o.Name, name.StrictValidation)
	if err != nil {
		err = &registry.Error{Op: "open layout", Ref: safe(path), Kind: registry.ErrReference, Detail: "its repository name is malformed", Err: err}
	}
	return repo, err
}

// newLayout is the layout in a directory or archive, which it closes if it fails.
func newLayout(d *directory, repo name.Repository, o Options) (*Layout, error) {
	b := &blobs{dir: d, maxManifest: o.MaxManifestSize, maxBlob: o.MaxBlobSize, subjects: make(map[v1.Hash]v1.Hash)}
	l := &Layout{
		dir: d, repo: repo, o: o, blobs: b,
		writers: &writers{dir: d, turn: make(chan struct{}, 1), timeout: o.LockTimeout},
		index:   &indexFile{dir: d, blobs: b, maxSize: o.MaxIndexSize, maxEntries: o.MaxEntries},
	}
	if err := begin(l); err != nil {
		_ = d.close() // it was only read from
		return nil, err
	}
	return l, nil
}

// begin makes an empty layout if it should, and checks what is there.
func begin(l *Layout) error {
	err := l.dir.checkVersion()
	if l.o.Create && errors.Is(err, registry.ErrNotFound) {
		if err = l.create(context.Background()); err == nil {
			err = l.dir.checkVersion()
		}
	}
	if err != nil {
		return err
	}
	_, err = l.index.read("open layout")
	return err
}

// Repository returns the repository under which the layout's references are made.
func (l *Layout) Repository() name.Repository { return l.repo }

// Tag returns the reference to a tag of the layout. It does not check that the
// tag exists.
func (l *Layout) Tag(tag string) name.Tag { return l.repo.Tag(tag) }

// Digest returns the reference to a digest in the layout. It does not check that
// there is such content.
func (l *Layout) Digest(h v1.Hash) name.Digest { return l.repo.Digest(h.String()) }

// Tags lists the tags of the layout, sorted: those of images and those that
// evidence is found by, such as sha256-<hex>.sig.
func (l *Layout) Tags(ctx context.Context) ([]string, error) {
	if err := l.dir.live(ctx, "list tags of", ""); err != nil {
		return nil, err
	}
	x, err := l.index.read("list tags of")
	if err != nil {
		return nil, err
	}
	return x.tags(), nil
}

// Resolve implements Reader. The manifest is read and verified.
func (l *Layout) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	m, err := l.manifest(ctx, "resolve", ref)
	return m.Descriptor, err
}

// Manifest implements Reader. The ETag of a tag is the digest that it names.
func (l *Layout) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	return l.manifest(ctx, "read manifest", ref)
}

func (l *Layout) manifest(ctx context.Context, op string, ref name.Reference) (registry.Manifest, error) {
	if err := l.dir.live(ctx, op, refText(ref)); err != nil {
		return registry.Manifest{}, err
	}
	if d, ok := ref.(name.Digest); ok {
		h, err := registry.HashOf(d)
		if err != nil {
			return registry.Manifest{}, err
		}
		return l.blobs.manifest(op, h, "")
	}
	tag, err := tagOf(op, ref)
	if err != nil {
		return registry.Manifest{}, err
	}
	x, err := l.index.read(op)
	if err != nil {
		return registry.Manifest{}, err
	}
	named, err := l.index.find(op, x, tag)
	if err != nil {
		return registry.Manifest{}, err
	}
	return l.manifestOfTag(op, tag, named)
}

func (l *Layout) manifestOfTag(op, tag string, named v1.Descriptor) (registry.Manifest, error) {
	m, err := l.blobs.manifest(op, named.Digest, string(named.MediaType))
	if err != nil {
		return registry.Manifest{}, err
	}
	if m.Descriptor.Size != named.Size {
		return registry.Manifest{}, l.dir.fail(op, tag, registry.ErrMalformed,
			fmt.Sprintf("index.json describes %d bytes, the manifest has %d", named.Size, m.Descriptor.Size), nil)
	}
	m.ETag = m.Descriptor.Digest.String()
	return m, nil
}

// Blob implements Reader.
func (l *Layout) Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) {
	h, err := registry.BlobHashOf(ref)
	if err != nil {
		return nil, err
	}
	return l.blobs.open(ctx, h, size)
}

// refText is a reference as text, also where it is none.
func refText(ref name.Reference) string {
	if ref == nil {
		return ""
	}
	return ref.Identifier()
}

// tagOf returns the tag that a reference names.
func tagOf(op string, ref name.Reference) (string, error) {
	if t, ok := ref.(name.Tag); ok {
		if tag := t.TagStr(); oci.IsTag(tag) {
			return tag, nil
		}
	}
	return "", &registry.Error{Op: op, Ref: safe(refText(ref)), Kind: registry.ErrReference, Detail: "it is neither a valid tag nor a digest"}
}
