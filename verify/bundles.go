package verify

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// PlaceGiven is the place of evidence that the caller gave to Bundles or Blob.
const PlaceGiven registry.Place = "given"

// Bundles judges subject by the Sigstore bundles that the caller gives, in JSON of
// v0.1 to v0.3. It asks no registry and caches nothing. It is for admission
// controllers, offline checks and tests.
//
// The decision is that of Image with the bundles as the only evidence, except:
//
//   - A requirement that needs the image itself is an *UndecidedError: one about its
//     config, or a statement that names the subject by SHA-384 or SHA-512 alone.
//   - DenyDigests are compared with the subject alone, not with what an index
//     lists. Judge the manifest that will run.
//
// Limits, as long as the bundles before do not satisfy the policy:
//
//   - A bundle above Limits.MaxPayloadBytes does not count: ReasonTooLarge.
//   - More bundles than Limits.MaxItems, or more checks of signatures than Image makes
//     for one place, are ReasonTooMuchEvidence.
//
// The caller must not change the bundles until Bundles has returned.
func (v *Verifier) Bundles(ctx context.Context, subject name.Digest, bundles ...[]byte) (*Result, error) {
	began := time.Now()
	if _, err := registry.HashOf(subject); err != nil {
		return nil, err
	}
	q := inquiry{v: v, r: noRegistry{}, hasGiven: true, given: bundles, reference: subject.String(), image: subject}
	result, err := q.answer(ctx)
	v.o.tell(ctx, began, observed(result, err))
	return result, err
}

var errNoRegistry = errors.New("the image itself is needed, and no registry was given")

// noRegistry is a registry.Reader that has nothing.
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
