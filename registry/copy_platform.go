package registry

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// platformCopy finds the manifest for CopyOptions.Platform.
type platformCopy struct {
	*copyRun
	want  v1.Platform
	found []v1.Descriptor // of different digests
	// left are entries for other platforms, and indexes those that were read.
	left    []v1.Descriptor
	indexes []v1.Descriptor
	met     []v1.Descriptor // indexes that were listed
}

func among(all []v1.Descriptor, d v1.Descriptor) bool {
	return slices.ContainsFunc(all, func(other v1.Descriptor) bool { return other.Digest == d.Digest })
}

// choose returns the manifest for CopyOptions.Platform that an index lists, or an index
// that it lists. Events say what is left out.
func (c *copyRun) choose(ctx context.Context, root Manifest) (Manifest, error) {
	p := &platformCopy{copyRun: c, want: oci.AskedPlatform(*c.o.Platform)}
	for level := []Manifest{root}; len(level) > 0; {
		next, err := p.level(ctx, level)
		if err != nil {
			return Manifest{}, err
		}
		level = next
	}
	p.preferExact()
	switch len(p.found) {
	case 0:
		return Manifest{}, c.fail(root.Descriptor.Digest, ErrReference, "the index lists no manifest for platform "+p.want.String(), nil)
	case 1:
	default:
		return Manifest{}, c.fail(root.Descriptor.Digest, ErrReference, fmt.Sprintf("the index lists %s and %s for platform %s; name the digest",
			p.found[0].Digest, p.found[1].Digest, p.want.String()), nil)
	}
	p.tell()
	chosen := &tree{Manifest: Manifest{Descriptor: p.found[0]}}
	err := newCopyContent(c).fill(ctx, chosen)
	return chosen.Manifest, err
}

// level looks through indexes of one depth, and reads those that they list.
func (p *platformCopy) level(ctx context.Context, all []Manifest) (nested []Manifest, err error) {
	for _, m := range all {
		top := m.Descriptor.Digest
		if p.indexes = append(p.indexes, m.Descriptor); len(p.indexes) > maxPlatformIndexes {
			return nil, sourceError{p.fail(top, ErrTooMany, fmt.Sprintf("more than %d indexes are listed for one platform", maxPlatformIndexes), nil)}
		}
		doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
		switch {
		case err != nil:
			return nil, sourceError{p.fail(top, KindOf(err), "", err)}
		case !doc.IsIndex:
			return nil, p.fail(top, ErrReference, "it is one image, not an index of several; leave the platform out", nil)
		}
		for _, d := range doc.Manifests {
			if !p.fits(d) {
				p.left = append(p.left, d)
				continue
			}
			if !d.MediaType.IsIndex() {
				if !among(p.found, d) {
					p.found = append(p.found, d)
				}
				continue
			}
			if among(p.met, d) {
				continue
			}
			p.met = append(p.met, d)
			t := &tree{Manifest: Manifest{Descriptor: d}}
			if err := newCopyContent(p.copyRun).fill(ctx, t); err != nil {
				return nil, err
			}
			nested = append(nested, t.Manifest)
		}
		if n := len(p.left) + len(p.found) + len(p.indexes); n > p.o.MaxManifests {
			return nil, sourceError{p.fail(top, ErrTooMany, fmt.Sprintf("it has more than %d manifests", p.o.MaxManifests), nil)}
		}
	}
	return nested, nil
}

// maxPlatformIndexes bounds the indexes that are read for one platform.
const maxPlatformIndexes = 20

// fits reports whether an entry is for the platform. An index without a platform may list
// manifests for it.
func (p *platformCopy) fits(d v1.Descriptor) bool {
	if d.Platform == nil || !oci.IsManifestType(string(d.MediaType)) {
		return d.MediaType.IsIndex()
	}
	return oci.FitOf(d.Platform, p.want) >= oci.FitDoubtful
}

// preferExact leaves out entries for other variants, such as arm64/v9 for arm64, where one
// is for exactly the platform.
func (p *platformCopy) preferExact() {
	fit := func(d v1.Descriptor) oci.Fit { return oci.FitOf(d.Platform, p.want) }
	if !slices.ContainsFunc(p.found, func(d v1.Descriptor) bool { return fit(d) == oci.FitExact }) {
		return
	}
	p.found = slices.DeleteFunc(p.found, func(d v1.Descriptor) bool {
		other := fit(d) == oci.FitVariant
		if other {
			p.left = append(p.left, d)
		}
		return other
	})
}

// tell says what is left out.
func (p *platformCopy) tell() {
	for _, d := range p.indexes {
		p.progress.note(CopyIgnored, d, "the index and its evidence: only "+p.want.String()+" is copied")
	}
	for _, d := range p.left {
		what := "it has no platform"
		if d.Platform != nil {
			what = "it is for " + safe(d.Platform.String())
		}
		if about := d.Annotations[referenceDigest]; about == p.found[0].Digest.String() {
			what = "it is BuildKit's attestation about " + about + ", which the index alone leads to"
		}
		p.progress.note(CopyIgnored, d, what+"; only "+p.want.String()+" is copied")
	}
}
