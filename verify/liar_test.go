package verify_test

import (
	"bytes"
	"context"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// liar is a store that does not keep the contract of registry.Reader.
type liar struct {
	registry.Store
	referrers       []v1.Descriptor // in place of the real list, unless nil
	referrersErr    error
	endless         *v1.Descriptor // repeated for ever, each with another digest
	hideTags        bool
	changeManifests bool // and a list that says no more of them than it must
}

func (l liar) Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		switch {
		case l.referrersErr != nil:
			yield(v1.Descriptor{}, l.referrersErr)
		case l.endless != nil:
			for n := uint64(0); ; n++ {
				d := *l.endless
				d.Digest.Hex = hex64(n)
				if !yield(d, nil) {
					return
				}
			}
		case l.referrers != nil:
			for _, d := range l.referrers {
				if !yield(d, nil) {
					return
				}
			}
		default:
			l.Store.Referrers(ctx, subject)(func(d v1.Descriptor, err error) bool {
				if l.changeManifests {
					d.Annotations = nil
				}
				return yield(d, err)
			})
		}
	}
}

func hex64(n uint64) string {
	const digits = "0123456789abcdef"
	b := bytes.Repeat([]byte{'0'}, 64)
	for i := 63; n > 0; i-- {
		b[i] = digits[n%16]
		n /= 16
	}
	return string(b)
}

func (l liar) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	if _, isTag := ref.(name.Tag); isTag && l.hideTags {
		return registry.Manifest{}, &registry.Error{Op: "manifest", Kind: registry.ErrNotFound}
	}
	m, err := l.Store.Manifest(ctx, ref)
	if err == nil && l.changeManifests {
		m.Bytes = append(bytes.Clone(m.Bytes), ' ')
	}
	return m, err
}

// movingTag resolves tags to one digest after the other.
type movingTag struct {
	registry.Store
	answers []name.Digest
	asked   int
}

func (m *movingTag) Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error) {
	if _, isTag := ref.(name.Tag); !isTag {
		return m.Store.Resolve(ctx, ref)
	}
	m.asked++
	return m.Store.Resolve(ctx, m.answers[m.asked-1])
}
