package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/httpcount"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxIndexDepth bounds how many indexes may vouch for one another.
const maxIndexDepth = 4

// ErrResult says that a Result was not made by this Verifier, or is no longer
// valid, so that nothing can rest on it.
var ErrResult = errors.New("not a valid result of this verifier")

// Child allows a manifest because a verified index lists it: whoever signed the
// index signed the digests in it. index comes from Image, Child or Platform of
// the same Verifier; child is a manifest or index in the same repository.
//
// The decision: index was not made by v, or has ended by its ValidUntil,
// ErrResult; the index cannot be read or is other bytes than were verified, the
// store's error; it is no index, *Error with ReasonNotIndex; it does not list
// child, or child is in another repository, ReasonNotListed; the policy denies its
// digest or, where it is an index, all images in it, ReasonDeniedDigest; otherwise
// Result, with Result.Index telling what it rests on. What the rule asks of images'
// configs was judged for all that the index lists.
func (v *Verifier) Child(ctx context.Context, r registry.Reader, index *Result, child name.Digest) (*Result, error) {
	want, err := registry.HashOf(child)
	if err != nil {
		return nil, err
	}
	ctx, requests := httpcount.Count(ctx)
	entries, err := v.entries(ctx, r, index)
	if err != nil {
		return nil, err
	}
	for _, d := range entries {
		if d.Digest == want && child.Context().Name() == index.Digest.Context().Name() {
			return counted(v.vouched(ctx, r, index, d))(requests)
		}
	}
	return nil, &Error{
		Reason: ReasonNotListed, Reference: child.String(), Digest: child, PolicyDigest: index.PolicyDigest, Rule: index.Rule,
		Detail: fmt.Sprintf("the verified index %s does not list it", index.Digest.DigestStr()),
	}
}

// Platform is Child for the one manifest that a verified index lists for a platform, itself
// or in an index that it lists for the platform or for none.
//
// Platforms are compared as containerd does, in normal forms: x86_64 is amd64, arm64 is
// arm64/v8, arm is arm/v7, and case says nothing. An entry for exactly the platform goes
// before those for other variants, where none is named. Versions of Windows are compared by
// build, those of other systems not at all. An entry that does not say all of its platform
// may be for any.
//
// The decision is that of Child, but for: no entry fits, *Error with
// ReasonNoPlatform; entries with different digests fit, so clients could
// choose either, ReasonAmbiguousPlatform.
func (v *Verifier) Platform(ctx context.Context, r registry.Reader, index *Result, platform v1.Platform) (*Result, error) {
	ctx, requests := httpcount.Count(ctx)
	w := platformWalk{v: v, r: r, platform: oci.AskedPlatform(platform)}
	if err := w.walk(ctx, index); err != nil {
		return nil, err
	}
	w.preferExact()
	deny := func(reason Reason, detail string) (*Result, error) {
		return nil, &Error{Reason: reason, Reference: index.Reference, Digest: index.Digest, PolicyDigest: index.PolicyDigest, Rule: index.Rule, Detail: detail}
	}
	switch {
	case len(w.found) == 0:
		return deny(ReasonNoPlatform, fmt.Sprintf("the index lists no manifest for platform %s", platform.String()))
	case len(w.found) > 1:
		return deny(ReasonAmbiguousPlatform, fmt.Sprintf("the index lists %s and %s for platform %s; name the digest", w.found[0].entry.Digest, w.found[1].entry.Digest, platform.String()))
	case w.found[0].denied != nil:
		return nil, w.found[0].denied
	}
	return counted(v.vouched(ctx, r, w.found[0].index, w.found[0].entry))(requests)
}

// counted adds to a result the number of requests that were sent for it.
func counted(r *Result, err error) func(*httpcount.Counter) (*Result, error) {
	return func(requests *httpcount.Counter) (*Result, error) {
		if err == nil {
			r.Requests = requests.Sent()
		}
		return r, err
	}
}

// maxPlatformIndexes bounds the indexes that are read for one platform.
const maxPlatformIndexes = 20

// platformWalk looks for what an index, and the indexes in it, list for a platform.
type platformWalk struct {
	v        *Verifier
	r        registry.Reader
	platform v1.Platform
	found    []listedFor // of different digests
}

// listedFor is an entry of an index. denied: it is an index that the policy denies.
type listedFor struct {
	index  *Result
	entry  v1.Descriptor
	denied error
}

// walk reads the index, and those that it lists, no more than maxPlatformIndexes.
func (w *platformWalk) walk(ctx context.Context, root *Result) error {
	queue := []*Result{root}
	for read := 0; len(queue) > 0; read++ {
		index := queue[0]
		queue = queue[1:]
		entries, err := w.v.entries(ctx, w.r, index)
		if err != nil {
			return err
		}
		if read >= maxPlatformIndexes {
			return &registry.Error{Op: "read index", Ref: index.Digest.String(), Kind: registry.ErrTooMany, Detail: fmt.Sprintf("more than %d indexes are listed for one platform", maxPlatformIndexes)}
		}
		for _, d := range entries {
			if !w.fits(d) {
				continue
			}
			nested, err := w.add(ctx, listedFor{index: index, entry: d})
			if err != nil {
				return err
			}
			if nested != nil {
				queue = append(queue, nested)
			}
		}
	}
	return nil
}

// fits reports whether an entry is for the platform. What an index without a platform
// lists may be.
func (w *platformWalk) fits(d v1.Descriptor) bool {
	if d.Platform == nil {
		return d.MediaType.IsIndex()
	}
	return oci.FitOf(d.Platform, w.platform) >= oci.FitDoubtful
}

// preferExact leaves out entries for other variants, such as arm64/v9 for arm64, where one
// is for exactly the platform.
func (w *platformWalk) preferExact() {
	fit := func(l listedFor) oci.Fit { return oci.FitOf(l.entry.Platform, w.platform) }
	if slices.ContainsFunc(w.found, func(l listedFor) bool { return fit(l) == oci.FitExact }) {
		w.found = slices.DeleteFunc(w.found, func(l listedFor) bool { return fit(l) == oci.FitVariant })
	}
}

// add notes an entry that fits; an index that it is for is returned to be read.
func (w *platformWalk) add(ctx context.Context, l listedFor) (nested *Result, err error) {
	if l.entry.MediaType.IsIndex() {
		nested, err := w.v.vouched(ctx, w.r, l.index, l.entry)
		var denied *Error
		if err == nil || !errors.As(err, &denied) {
			return nested, err
		}
		l.denied = err
	}
	same := func(other listedFor) bool { return other.entry.Digest == l.entry.Digest }
	if !slices.ContainsFunc(w.found, same) {
		w.found = append(w.found, l)
	}
	return nil, nil
}

func (v *Verifier) vouched(ctx context.Context, r registry.Reader, index *Result, d v1.Descriptor) (*Result, error) {
	digest := index.Digest.Context().Digest(d.Digest.String())
	if reason, denied := v.policy.denied[digest.DigestStr()]; denied {
		return nil, &Error{
			Reason: ReasonDeniedDigest, Reference: digest.String(), Digest: digest, PolicyDigest: v.policy.digest, Rule: index.Rule,
			Detail: registry.SafeText("the policy denies this digest: "+reason, maxDetail),
		}
	}
	var found children
	if len(v.policy.denied) > 0 && d.MediaType.IsIndex() {
		found = v.childrenOf(ctx, r, digest)
	}
	switch {
	case found.err != nil:
		return nil, found.err
	case found.all():
		return nil, &Error{
			Reason: ReasonDeniedDigest, Reference: digest.String(), Digest: digest, PolicyDigest: v.policy.digest, Rule: index.Rule,
			Detail: found.detail(),
		}
	}
	return &Result{
		Reference: digest.String(), Digest: digest, Keys: index.Keys, DeniedChildren: found.denied, Index: index, PolicyDigest: index.PolicyDigest, Rule: index.Rule,
		JudgedAt: index.JudgedAt, ValidUntil: index.ValidUntil, Warning: index.Warning, by: v,
	}, nil
}

// holds reports, as an error, that a result has ended.
func (v *Verifier) holds(r *Result) error {
	if r.ValidAt(v.o.Now()) {
		return nil
	}
	return fmt.Errorf("%w: it was valid until %s; judge the index again", ErrResult, r.ValidUntil.UTC().Format(time.RFC3339))
}

// entries lists a verified index.
func (v *Verifier) entries(ctx context.Context, r registry.Reader, index *Result) ([]v1.Descriptor, error) {
	if index == nil || index.by != v {
		return nil, ErrResult
	}
	if err := v.holds(index); err != nil {
		return nil, err
	}
	depth := 0
	for i := index; i.Index != nil; i = i.Index {
		depth++
	}
	deny := func(detail string) ([]v1.Descriptor, error) {
		return nil, &Error{Reason: ReasonNotIndex, Reference: index.Reference, Digest: index.Digest, PolicyDigest: index.PolicyDigest, Rule: index.Rule, Detail: detail}
	}
	if depth >= maxIndexDepth {
		return deny(fmt.Sprintf("indexes nest deeper than %d", maxIndexDepth))
	}
	m, err := registry.ReadManifest(ctx, r, index.Digest)
	if err != nil {
		return nil, err
	}
	if err := v.holds(index); err != nil { // reading may have taken long
		return nil, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return deny(registry.SafeText(err.Error(), maxDetail))
	}
	if !doc.IsIndex {
		return deny("it is one image, not an index of several")
	}
	return doc.Manifests, nil
}
