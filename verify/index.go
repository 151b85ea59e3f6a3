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

// ErrResult says that a Result comes from another Verifier, or has ended. Nothing can rest on
// it.
var ErrResult = errors.New("not a valid result of this verifier")

// Child allows a manifest because a verified index lists it: the signer of the index signed
// the digests in it. index comes from Image, Child or Platform of the same Verifier. child
// is a manifest or index in the same repository. The rule's requirements of configs were
// judged for all images of the index.
//
// The decision, in this order:
//
//   - v did not make index, or index.ValidUntil has passed: ErrResult.
//   - The index cannot be read, or has other bytes than were verified: the store's error.
//   - It is not an index: *Error, ReasonNotIndex.
//   - It does not list child, or child is in another repository: *Error, ReasonNotListed.
//   - The policy denies the digest of child: *Error, ReasonDeniedDigest.
//   - Exemptions let the index pass, and one of them is from a requirement that child is
//     not exempt from (policy.Exemption): *Error, ReasonNotExempt.
//   - child is an index, and the policy denies all its images: *Error, ReasonDeniedDigest.
//   - Otherwise Result. Result.Index is the decision that it rests on.
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
		Reason: ReasonNotListed, Reference: child.String(), Digest: child, PolicyDigest: index.PolicyDigest, Rule: index.Rule, Team: index.Team,
		Detail: fmt.Sprintf("the verified index %s does not list it", index.Digest.DigestStr()),
	}
}

// Platform is Child for the one manifest that a verified index lists for a platform. Nested
// indexes are searched if they are listed for the platform, or for none.
//
// Platforms are compared as containerd does, in normal forms: x86_64 is amd64, arm64 is
// arm64/v8, arm is arm/v7, and case does not matter. If platform has no variant, an entry
// for exactly the platform goes before those for other variants. Versions of Windows are
// compared by build, those of other systems not at all. An entry without an OS or an
// architecture may be for any.
//
// The decision is that of Child, except:
//
//   - No entry fits: *Error, ReasonNoPlatform.
//   - Entries with different digests fit, and clients could choose either: *Error,
//     ReasonAmbiguousPlatform.
//   - More than 20 indexes are listed for the platform: registry.ErrTooMany.
func (v *Verifier) Platform(ctx context.Context, r registry.Reader, index *Result, platform v1.Platform) (*Result, error) {
	ctx, requests := httpcount.Count(ctx)
	w := platformWalk{v: v, r: r, platform: oci.AskedPlatform(platform)}
	if err := w.walk(ctx, index); err != nil {
		return nil, err
	}
	w.preferExact()
	deny := func(reason Reason, detail string) (*Result, error) {
		return nil, &Error{Reason: reason, Reference: index.Reference, Digest: index.Digest, PolicyDigest: index.PolicyDigest, Rule: index.Rule, Team: index.Team, Detail: detail}
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

// platformWalk finds what an index, and its nested indexes, list for a platform.
type platformWalk struct {
	v        *Verifier
	r        registry.Reader
	platform v1.Platform
	found    []listedFor // of different digests
}

// listedFor is an entry of an index. denied: the entry is an index that the policy denies.
type listedFor struct {
	index  *Result
	entry  v1.Descriptor
	denied error
}

// walk reads the index and its nested indexes, at most maxPlatformIndexes.
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
			return &registry.Error{Op: "read index", Ref: index.Digest.String(), Kind: registry.ErrTooMany, Detail: fmt.Sprintf("the index lists more than %d indexes for one platform", maxPlatformIndexes)}
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

// fits reports whether an entry is for the platform. An index without a platform may list
// manifests for it.
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

// add notes an entry that fits. It returns an index that must be read.
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
			Reason: ReasonDeniedDigest, Reference: digest.String(), Digest: digest, PolicyDigest: v.policy.digest, Rule: index.Rule, Team: index.Team,
			Detail: registry.SafeText("the policy denies this digest: "+reason, maxDetail),
		}
	}
	var found children
	if len(v.policy.denied) > 0 && d.MediaType.IsIndex() {
		found = childrenOf(ctx, v, r, digest)
	}
	exempted, denied := exemptChild(v, index, digest)
	switch {
	case found.err != nil:
		return nil, found.err
	case denied != nil:
		return nil, denied
	case found.all():
		return nil, &Error{
			Reason: ReasonDeniedDigest, Reference: digest.String(), Digest: digest, PolicyDigest: v.policy.digest, Rule: index.Rule, Team: index.Team,
			Detail: found.detail(),
		}
	}
	until := index.ValidUntil
	for _, x := range exempted {
		until = earlier(until, x.Until)
	}
	return &Result{
		Reference: digest.String(), Digest: digest, Keys: index.Keys, Exemptions: exempted, DeniedChildren: found.denied, Index: index, PolicyDigest: index.PolicyDigest, Rule: index.Rule, Team: index.Team,
		JudgedAt: index.JudgedAt, ValidUntil: until, Warning: index.Warning, by: v,
	}, nil
}

// holds returns an error if a result has ended.
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
		return nil, &Error{Reason: ReasonNotIndex, Reference: index.Reference, Digest: index.Digest, PolicyDigest: index.PolicyDigest, Rule: index.Rule, Team: index.Team, Detail: detail}
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
