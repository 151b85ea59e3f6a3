package verify

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// PlaceGiven is where evidence was found that Bundles was given.
const PlaceGiven registry.Place = "given"

// Bundles judges subject by Sigstore bundles (JSON, v0.1 to v0.3) that the caller
// holds, and by nothing else: no registry is asked, nothing is cached. That is for
// admission controllers, offline checks and tests; the image itself may be
// anywhere.
//
// The decision is that of Image, in the same order, with the bundles as the only
// evidence. What rests on the image itself cannot be judged: a requirement about
// its config, or a subject that is named by SHA-384 or SHA-512 alone, ends in an
// *UndecidedError where it is needed. A bundle above Limits.MaxPayloadBytes is
// ignored with ReasonTooLarge; more bundles than Limits.MaxItems, or more checks than
// Image makes for one place, are ReasonTooMuchEvidence, unless those before are
// enough.
//
// DenyDigests are compared with the subject alone, not with what an index lists: judge
// the manifest that is to run.
//
// The bundles must not be changed until Bundles has returned.
func (v *Verifier) Bundles(ctx context.Context, subject name.Digest, bundles ...[]byte) (*Result, error) {
	if _, err := registry.HashOf(subject); err != nil {
		return nil, err
	}
	q := inquiry{v: v, r: noRegistry{}, hasGiven: true, given: bundles, reference: subject.String(), image: subject}
	return q.answer(ctx)
}

var errNoRegistry = errors.New("the image itself is needed, and no registry was given")

// noRegistry is a registry.Reader for judgements by what the caller holds.
type noRegistry struct{}

func (noRegistry) refuse(op string, ref name.Reference) error {
	return &registry.Error{Op: op, Ref: ref.String(), Kind: registry.ErrUnavailable, Err: errNoRegistry}
}

func (r noRegistry) Resolve(_ context.Context, ref name.Reference) (v1.Descriptor, error) {
	return v1.Descriptor{}, r.refuse("resolve", ref)
}

func (r noRegistry) Manifest(_ context.Context, ref name.Reference) (registry.Manifest, error) {
	return registry.Manifest{}, r.refuse("read manifest", ref)
}

func (r noRegistry) Blob(_ context.Context, ref name.Digest, _ int64) (io.ReadCloser, error) {
	return nil, r.refuse("read blob", ref)
}

func (r noRegistry) Referrers(_ context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		yield(v1.Descriptor{}, r.refuse("list referrers", subject))
	}
}
