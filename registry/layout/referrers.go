package layout

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Referrers implements Reader. It passes over entries of index.json that are not in the
// layout, which the specification allows, and those that are not manifests. A manifest
// that cannot be read could be a referrer. The sequence then ends in an error, after all
// that could be read.
func (l *Layout) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		h, err := registry.HashOf(subject)
		if err != nil {
			yield(v1.Descriptor{}, err)
			return
		}
		x, err := l.index.read("list referrers")
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
		more, err := l.listed(ctx, x, h, once)
		if more {
			for _, e := range x.entries { // what the layout itself says of a referrer counts
				if of, err := l.blobs.subjectOf(e.desc.Digest); err != nil || of == h {
					seen[e.desc.Digest] = true
				}
			}
			var unread error
			more, unread = l.fallback(x, h, once)
			err = cmp.Or(err, unread)
		}
		if more {
			var unread error
			more, unread = blobScan{l, x}.referrers(ctx, h, once)
			err = cmp.Or(err, unread)
		}
		if more && err != nil {
			yield(v1.Descriptor{}, err)
		}
	}
}

// listed yields the entries of index.json that refer to subject. It returns
// whether the caller wants more, and the first error that may hide a referrer.
func (l *Layout) listed(ctx context.Context, x *index, subject v1.Hash, yield func(v1.Descriptor) bool) (more bool, unread error) {
	for _, e := range x.entries {
		if err := l.dir.live(ctx, "list referrers", subject.String()); err != nil {
			return true, err
		}
		of, err := l.blobs.subjectOf(e.desc.Digest)
		if err == nil && of != subject {
			continue
		}
		var d v1.Descriptor
		if err == nil {
			d, err = l.blobs.referrer(e.desc.Digest)
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

// fallback yields what the fallback tag of subject lists. An attacker may have written
// it: what is not an index is passed over, and so are entries that are not referrers.
// fallback returns whether the caller wants more, and why the tag could not be read.
//
// Source: OCI Distribution Specification v1.1, "Referrers Tag Schema".
func (l *Layout) fallback(x *index, subject v1.Hash, yield func(v1.Descriptor) bool) (more bool, unread error) {
	named, err := l.index.find("list referrers", x, oci.DigestTag(subject))
	if err != nil {
		return true, nil
	}
	data, err := l.blobs.read("list referrers", named.Digest)
	if registry.Unreadable(err) {
		return true, err
	}
	if err != nil {
		return true, nil
	}
	list, err := oci.ParseFallback(string(named.MediaType), data)
	if err != nil {
		return true, nil
	}
	for _, d := range list {
		if named.Digest != subject && oci.MayRefer(d, subject) && !yield(d) {
			return false, nil
		}
	}
	return true, nil
}
