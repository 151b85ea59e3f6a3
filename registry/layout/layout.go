package layout

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Options configure a Layout. The zero value opens a layout that exists.
type Options struct {
	// Create makes the directory and an empty layout in it where there is none.
	// False: the layout must exist.
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
	o.LockTimeout = cmp.Or(o.LockTimeout, time.Minute)
	return o
}

// Layout is an OCI image layout: a directory that holds one repository. It
// serves offline and air-gapped use. The registry and repository of a reference
// given to it are ignored; only its tag or digest counts.
//
// A tag is the annotation org.opencontainers.image.ref.name of an entry of
// index.json. Where no entry has exactly that name, full names that other tools
// write there or as io.containerd.image.name, such as "example.com/app:v1", match
// by their part after the last colon, if one image alone does. In a layout that
// "cosign save" wrote, the signatures and attestations of its image are found
// under the tags that they have in a registry.
//
// What is listed in index.json is found by other tools and kept by their garbage
// collection. PushManifest lists what is pushed by tag, and what is pushed by
// digest and has a subject, so that referrers are found. Other manifests pushed
// by digest are taken for the children of an index pushed later, and only
// stored. Where a tag moves, the entry of the manifest that it named is dropped
// unless that has a subject; its content stays, and its digest still resolves.
//
// Referrers are the entries of index.json whose manifest has the subject,
// together with what the fallback tag sha256-<hex> lists, where another tool has
// left one.
//
// Every file is read through the directory's handle: nothing outside of it is
// reached, and symbolic links and other irregular files in it are refused. Every
// manifest and blob is verified against its digest at each read.
//
// Writers of this package in any number of goroutines and processes lose nothing
// of one another: they take turns by a lock file, .hallmark/lock. Tools that
// write to the layout without it must not do so at the same time. Each file is
// written aside, flushed to the disk and renamed into place, index.json last;
// a crash leaves the old state or the new, and possibly a file in .hallmark,
// which a later writer removes once it is a day old.
//
// Source: OCI Image Format Specification v1.1, image-layout.md.
//
// A Layout is safe for concurrent use.
type Layout struct {
	dir     string // for messages only; files are reached through root
	root    *os.Root
	repo    name.Repository
	o       Options
	writing chan struct{} // holds one token: this process's turn to write

	mu       sync.Mutex
	index    *layoutIndex        // index.json as it was last read
	subjects map[v1.Hash]v1.Hash // manifest to its subject; the zero Hash for none
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
	indexFile     = "index.json"
	emptyIndex    = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[]}`
	blobsDir      = "blobs/sha256"
)

// Open opens the OCI image layout in a directory. It fails with
// ErrNotFound where there is none, ErrUnsupported where it is of an unknown
// version, and ErrMalformed where its oci-layout or index.json is not what the
// specification allows.
//
// Close releases the directory's handle; so does the garbage collector.
func Open(dir string, o Options) (*Layout, error) {
	o = o.withDefaults()
	repo, err := name.NewRepository(o.Name, name.StrictValidation)
	if err != nil {
		return nil, &registry.Error{Op: "open layout", Ref: safe(dir), Kind: registry.ErrReference, Detail: "its repository name is malformed", Err: err}
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
	l := &Layout{
		dir: dir, root: root, repo: repo, o: o,
		writing:  make(chan struct{}, 1),
		subjects: make(map[v1.Hash]v1.Hash),
	}
	if err := l.begin(); err != nil {
		_ = root.Close() // it was only read from
		return nil, err
	}
	return l, nil
}

// begin makes an empty layout if it should, and checks what is there.
func (l *Layout) begin() error {
	err := l.checkVersion()
	if l.o.Create && errors.Is(err, registry.ErrNotFound) {
		if err = l.create(context.Background()); err == nil {
			err = l.checkVersion()
		}
	}
	if err != nil {
		return err
	}
	_, err = l.readIndex("open layout")
	return err
}

func (l *Layout) checkVersion() error {
	data, err := l.readFile(layoutFile, maxLayoutFile)
	if err != nil {
		return l.fileError("open layout", layoutFile, err)
	}
	v, err := strictjson.Parse(data)
	if err != nil {
		return l.fail("open layout", layoutFile, registry.ErrMalformed, "", err)
	}
	version, ok := v.Get("imageLayoutVersion").Str()
	switch {
	case !ok:
		return l.fail("open layout", layoutFile, registry.ErrMalformed, "it has no imageLayoutVersion", nil)
	case version != layoutVersion:
		return l.fail("open layout", layoutFile, registry.ErrUnsupported,
			fmt.Sprintf("imageLayoutVersion is %q; only %q is known", safe(version), layoutVersion), nil)
	}
	return nil
}

// Close releases the directory's handle. Every later use fails.
func (l *Layout) Close() error { return l.root.Close() }

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
	if err := l.live(ctx, "list tags of", ""); err != nil {
		return nil, err
	}
	index, err := l.readIndex("list tags of")
	if err != nil {
		return nil, err
	}
	return index.tags(), nil
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
	if err := l.live(ctx, op, refText(ref)); err != nil {
		return registry.Manifest{}, err
	}
	if d, ok := ref.(name.Digest); ok {
		h, err := registry.HashOf(d)
		if err != nil {
			return registry.Manifest{}, err
		}
		return l.manifestByHash(op, h, "")
	}
	tag, err := tagOf(op, ref)
	if err != nil {
		return registry.Manifest{}, err
	}
	index, err := l.readIndex(op)
	if err != nil {
		return registry.Manifest{}, err
	}
	entry, err := l.find(op, index, tag)
	if err != nil {
		return registry.Manifest{}, err
	}
	return l.manifestOfTag(op, tag, entry)
}

func (l *Layout) manifestOfTag(op, tag string, entry v1.Descriptor) (registry.Manifest, error) {
	m, err := l.manifestByHash(op, entry.Digest, string(entry.MediaType))
	if err != nil {
		return registry.Manifest{}, err
	}
	if m.Descriptor.Size != entry.Size {
		return registry.Manifest{}, l.fail(op, tag, registry.ErrMalformed,
			fmt.Sprintf("index.json describes %d bytes, the manifest has %d", entry.Size, m.Descriptor.Size), nil)
	}
	m.ETag = m.Descriptor.Digest.String()
	return m, nil
}

// manifestByHash reads a manifest. Where no media type is known from outside, as
// for a child of an index, the manifest's own mediaType or its shape decides.
func (l *Layout) manifestByHash(op string, h v1.Hash, mediaType string) (registry.Manifest, error) {
	data, err := l.manifestBytes(op, h)
	if err != nil {
		return registry.Manifest{}, err
	}
	doc, err := oci.Parse(mediaType, data)
	if err != nil {
		return registry.Manifest{}, l.fail(op, h.String(), registry.KindOf(err), "", err)
	}
	return registry.Manifest{Descriptor: oci.Describe(doc.MediaType, data), Bytes: data}, nil
}

// manifestBytes reads what may be a manifest, and verifies it against its digest.
func (l *Layout) manifestBytes(op string, h v1.Hash) ([]byte, error) {
	data, err := l.readFile(blobPath(h), l.o.MaxManifestSize)
	if err != nil {
		return nil, l.fileError(op, h.String(), err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != h.Hex {
		return nil, l.fail(op, h.String(), registry.ErrDigestMismatch, "the file holds other bytes than its name says", nil)
	}
	return data, nil
}

// Referrers implements Reader. Content that index.json lists but the layout does
// not hold (the specification allows that) and what is no manifest are passed
// over. A manifest that cannot be read, or whose bytes were changed, could be a
// referrer: then the sequence ends in an error, after all that could be read.
func (l *Layout) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		h, err := registry.HashOf(subject)
		if err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		index, err := l.readIndex("list referrers")
		if err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		seen := make(map[v1.Hash]bool)
		once := func(d v1.Descriptor) bool {
			if seen[d.Digest] {
				return true
			}
			seen[d.Digest] = true
			return yield(d, nil)
		}
		more, err := l.listed(ctx, index, h, once)
		if more {
			var unread error
			more, unread = l.fallback(index, h, once)
			err = cmp.Or(err, unread)
		}
		if more && err != nil {
			yield(v1.Descriptor{}, err)
		}
	}
}

// listed yields the entries of index.json that refer to subject. It returns
// whether the caller wants more, and the first error that may hide a referrer.
func (l *Layout) listed(ctx context.Context, index *layoutIndex, subject v1.Hash, yield func(v1.Descriptor) bool) (more bool, unread error) {
	for _, e := range index.entries {
		if err := l.live(ctx, "list referrers", subject.String()); err != nil {
			return true, err
		}
		of, err := l.subjectOf(e.desc.Digest)
		if err == nil && of != subject {
			continue
		}
		var d v1.Descriptor
		if err == nil {
			d, err = l.referrer(e.desc.Digest)
		}
		switch {
		case err == nil:
			if !yield(d) {
				return false, nil
			}
		case unread == nil && !errors.Is(err, registry.ErrNotFound):
			unread = err
		}
	}
	return true, unread
}

// subjectOf returns the digest of the subject of a manifest, or the zero Hash
// where it has none or is no manifest. Content never changes under its digest,
// so the answer is remembered for as long as index.json lists it.
func (l *Layout) subjectOf(h v1.Hash) (v1.Hash, error) {
	l.mu.Lock()
	of, known := l.subjects[h]
	l.mu.Unlock()
	if known {
		return of, nil
	}
	data, err := l.manifestBytes("list referrers", h)
	switch {
	case err == nil:
		of = subjectIn(data)
	case !errors.Is(err, registry.ErrTooLarge): // what is too large is no manifest here
		return of, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subjects[h] = of
	return of, nil
}

func subjectIn(data []byte) v1.Hash {
	doc, err := oci.Parse("", data)
	if err != nil || doc.Subject == nil {
		return v1.Hash{}
	}
	return doc.Subject.Digest
}

// referrer describes a manifest as the referrers API does.
func (l *Layout) referrer(h v1.Hash) (v1.Descriptor, error) {
	data, err := l.manifestBytes("list referrers", h)
	if err != nil {
		return v1.Descriptor{}, err
	}
	doc, err := oci.Parse("", data)
	if err != nil {
		return v1.Descriptor{}, l.fail("list referrers", h.String(), registry.KindOf(err), "", err)
	}
	return oci.Listed(oci.Describe(doc.MediaType, data), doc), nil
}

// fallback yields what the fallback tag of subject lists. Anyone may have written
// it: what is no index is passed over, and so is an entry that is malformed. It
// returns whether the caller wants more, and why the tag could not be read.
//
// Source: OCI Distribution Specification v1.1, "Referrers Tag Schema".
func (l *Layout) fallback(index *layoutIndex, subject v1.Hash, yield func(v1.Descriptor) bool) (more bool, unread error) {
	entry, err := l.find("list referrers", index, oci.DigestTag(subject))
	if err != nil {
		return true, nil
	}
	data, err := l.manifestBytes("list referrers", entry.Digest)
	if registry.Unreadable(err) {
		return true, err
	}
	if err != nil {
		return true, nil
	}
	list, err := oci.ParseFallback(string(entry.MediaType), data)
	if err != nil {
		return true, nil
	}
	for _, d := range list {
		if !yield(d) {
			return false, nil
		}
	}
	return true, nil
}

// live fails where the context has ended.
func (l *Layout) live(ctx context.Context, op, what string) error {
	if err := ctx.Err(); err != nil {
		return l.fail(op, what, registry.ErrUnavailable, "", err)
	}
	return nil
}

// fail makes an error about a part of the layout.
func (l *Layout) fail(op, what string, kind registry.Kind, detail string, err error) error {
	ref := filepath.Clean(l.dir)
	if what != "" {
		ref += ": " + what
	}
	return &registry.Error{Op: op, Ref: safe(ref), Kind: kind, Detail: detail, Err: err}
}

func (l *Layout) fileError(op, what string, err error) error {
	return l.fail(op, what, fileKind(err), "", err)
}

func fileError(op, ref string, err error) error {
	return &registry.Error{Op: op, Ref: ref, Kind: fileKind(err), Err: err}
}

// fileKind classifies an error of the file system.
func fileKind(err error) registry.Kind {
	switch {
	case errors.Is(err, errIrregular):
		return registry.ErrMalformed
	case errors.Is(err, limit.ErrExceeded):
		return registry.ErrTooLarge
	case errors.Is(err, fs.ErrNotExist):
		return registry.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return registry.ErrDenied
	}
	return registry.ErrUnavailable
}

func safe(s string) string { return registry.SafeText(s, 512) }

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
