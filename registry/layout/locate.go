package layout

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Prefix begins a reference to an OCI image layout; see Locate.
const Prefix = "oci:"

// LocateOptions say where Locate looks.
type LocateOptions struct {
	// Client serves the references to registries. Nil: they are refused.
	Client registry.Store
	// Layout are the options for opening layouts. With Layout.Create the
	// reference is one to write to: the layout is made where there is none, and
	// its tag or digest must be given. Zero: the layout must exist.
	Layout Options
}

// Locate returns the store that a reference points into, and the reference to use there:
//
//	oci:DIR:TAG             a tag of the OCI image layout in DIR
//	oci:DIR@sha256:…        a digest in it
//	oci:DIR                 the one image in it
//	oci-archive:FILE:TAG    the same three in a tar file, see OpenArchive
//	anything else           a reference to a registry, see ParseReference; the
//	                        default tag is "latest"
//
// DIR ends at the last colon after the last slash or backslash, if a valid tag follows
// it. C:\images\app:v1 is therefore the tag v1 in C:\images\app. Write a slash at the end
// of a directory whose last part holds a colon. Write an image named "oci" with its
// registry.
//
// "The one image" is the only one with a tag. In a layout without tags, it is the only
// one that index.json lists. Tags and manifests of evidence do not count.
//
// Errors are of kind ErrReference, with a Detail that says what to write instead, or
// those of Open. Locate asks nothing of a registry. The caller may close a *Layout that
// it returns. To write an archive, the caller calls Layout.Commit, then Layout.Close.
func Locate(ref string, o LocateOptions) (registry.Store, name.Reference, error) {
	if rest, isLayout := strings.CutPrefix(ref, Prefix); isLayout {
		return locateLayout(ref, rest, Open, o.Layout)
	}
	if rest, isArchive := strings.CutPrefix(ref, ArchivePrefix); isArchive {
		return locateLayout(ref, rest, OpenArchive, o.Layout)
	}
	parsed, err := registry.ParseReference(ref)
	if err != nil {
		return nil, nil, err
	}
	if o.Client == nil {
		return nil, nil, badReference(ref, "it is in a registry, and only layouts are read here; name a layout as oci:DIR:TAG")
	}
	return o.Client, parsed, nil
}

func badReference(ref, detail string) error {
	return &registry.Error{Op: "locate", Ref: safe(ref), Kind: registry.ErrReference, Detail: detail}
}

func locateLayout(ref, rest string, open func(string, Options) (*Layout, error), o Options) (registry.Store, name.Reference, error) {
	at, err := splitLayout(ref, rest)
	if err != nil {
		return nil, nil, err
	}
	if o.Create && at.tag == "" && at.digest == (v1.Hash{}) {
		return nil, nil, badReference(ref, "say under which tag to write: "+safe(ref)+":TAG")
	}
	l, err := open(at.dir, o)
	if info, known := os.Stat(at.dir); err != nil && strings.HasPrefix(ref, Prefix) && known == nil && info.Mode().IsRegular() {
		err = badReference(ref, "it is a file; write a tar archive as oci-archive:FILE:TAG")
	}
	if err != nil {
		return nil, nil, err
	}
	target, err := at.target(l)
	if err != nil {
		_ = l.Close() // it was only read from
		return nil, nil, err
	}
	return l, target, nil
}

// place is a parsed layout reference; tag, digest or both are empty.
type place struct {
	ref    string // as it was given
	dir    string
	tag    string
	digest v1.Hash
}

// digestLike tells a digest, of any algorithm, from a directory's name.
func digestLike(s string) bool {
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	algorithm, encoded, ok := strings.Cut(s, ":")
	return ok && algorithm != "" && strings.Trim(algorithm, lower+digits+"+._-") == "" &&
		len(encoded) >= 32 && strings.Trim(encoded, lower+upper+digits+"=_-") == ""
}

func splitLayout(ref, rest string) (place, error) {
	p := place{ref: ref, dir: rest}
	// A tag or digest stands behind the last separator and, on Windows, behind
	// the drive's own colon. Neither can hold a separator, and taking both
	// for one on every system changes nothing.
	start := max(strings.LastIndexAny(rest, `/\`)+1, len(filepath.VolumeName(rest)))
	last := rest[start:]
	if at := strings.LastIndexByte(last, '@'); at >= 0 && digestLike(last[at+1:]) {
		h, err := v1.NewHash(last[at+1:])
		if err != nil || h.Algorithm != "sha256" {
			return p, badReference(ref, "only sha256 digests of 64 lower-case hex digits are supported")
		}
		p.dir, p.digest = rest[:start+at], h
	} else if at := strings.LastIndexByte(last, ':'); at >= 0 && oci.IsTag(last[at+1:]) {
		p.dir, p.tag = rest[:start+at], last[at+1:]
	}
	if p.dir == "" {
		return p, badReference(ref, "the layout's directory or file is missing; write oci:DIR, oci:DIR:TAG, oci:DIR@sha256:… or oci-archive:FILE:TAG")
	}
	return p, nil
}

// target returns what a place in its layout names.
func (p place) target(l *Layout) (name.Reference, error) {
	switch {
	case p.digest != v1.Hash{}:
		return l.Digest(p.digest), nil
	case p.tag != "":
		return l.Tag(p.tag), nil
	}
	return p.onlyImage(l)
}

// isEvidenceTag reports whether evidence is found by a tag.
func isEvidenceTag(tag string) bool {
	digest, suffix, suffixed := strings.Cut(tag, ".")
	encoded, ok := strings.CutPrefix(digest, "sha256-")
	if _, err := v1.NewHash("sha256:" + encoded); !ok || err != nil {
		return false
	}
	return !suffixed || suffix == "sig" || suffix == "att" || suffix == "sbom"
}

// onlyImage returns the reference to the one image in the layout.
func (p place) onlyImage(l *Layout) (name.Reference, error) {
	x, err := l.index.read("locate")
	if err != nil {
		return nil, err
	}
	named := make(map[v1.Hash][]string)
	unnamed := make(map[v1.Hash]bool)
	for _, e := range x.entries {
		switch tag := e.tag(); {
		case tag == "":
			unnamed[e.desc.Digest] = true
		case !isEvidenceTag(tag):
			named[e.desc.Digest] = append(named[e.desc.Digest], tag)
		}
	}
	images := slices.Collect(maps.Keys(named))
	switch {
	case len(images) == 0:
		return p.onlyUnnamed(l, unnamed)
	case len(images) == 1 && len(named[images[0]]) == 1:
		return l.Tag(named[images[0]][0]), nil
	case len(images) == 1:
		return l.Digest(images[0]), nil
	}
	tags := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(named))...)))
	return nil, badReference(p.ref, "the layout has several images; add a tag, as in "+
		safe(p.ref)+":"+tags[0]+"; it has "+safe(strings.Join(tags, ", ")))
}

// onlyUnnamed returns the one digest whose manifest is not a referrer.
func (p place) onlyUnnamed(l *Layout, listed map[v1.Hash]bool) (name.Reference, error) {
	var images []v1.Hash
	for h := range listed {
		// What cannot be read may be an image.
		if subject, err := l.blobs.subjectOf(h); err != nil || subject == (v1.Hash{}) {
			images = append(images, h)
		}
	}
	switch len(images) {
	case 0:
		return nil, badReference(p.ref, "the layout lists no image")
	case 1:
		return l.Digest(images[0]), nil
	}
	return nil, badReference(p.ref, fmt.Sprintf("the layout lists %d images without tags; add a digest, as in %s@%s",
		len(images), safe(p.ref), images[0]))
}
