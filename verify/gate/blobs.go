package gate

import (
	"context"
	"errors"
	"net/http"

	"github.com/hallmark-oci/hallmark/registry"
)

// blobs decides which blobs pass.
type blobs struct {
	judge  *judge
	recent *recent
	// open is Config.InsecureOpenBlobs.
	open bool
}

// decide says whether a blob passes now. A blob that does not pass is an error. The
// decision, in this order:
//
//   - an image that passes lists it: allowed;
//   - evidence that passes lists it: allowed, if its content is evidence (see
//     delivery.evidence);
//   - a manifest lists it that cannot be judged now: no decision;
//   - only denied manifests list it: denied;
//   - InsecureOpenBlobs: allowed, with a negative Size;
//   - the upstream does not have it: not found;
//   - otherwise denied.
func (b *blobs) decide(ctx context.Context, p pull, digest string) (permit, error) {
	j := b.judge
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return permit{}, err
	}
	key := permitKey{v.Generation(), p.repo.Name(), digest, asBlob}
	known, ok := j.decisions.get(ctx, v, key, p.from)
	ok = ok && known.Allowed
	if ok && !known.Evidence {
		return known, nil
	}
	link := j.decisions.link(ctx, v, linkKey{p.repo.Name(), digest, asBlob})
	if ok && link.Evidence {
		known.Kinds |= link.Kinds
		return known, nil
	}
	// That evidence lists it too takes nothing from an image.
	by, err := b.byLister(ctx, p, digest, link)
	switch {
	case ok && (err != nil || by == nil):
		return known, nil
	case err != nil:
		return permit{}, err
	case by != nil && by.Evidence: // an image that cannot be judged now may list it, too
		by.Kinds |= known.Kinds
		return *by, nil
	case by != nil:
		j.decisions.put(key, *by)
		return *by, nil
	case b.open:
		return permit{Allowed: true, Size: -1}, nil
	}
	if err := b.there(ctx, p, digest); err != nil {
		return permit{}, err
	}
	r := refuse(http.StatusForbidden, codeDenied, "%s is denied: no allowed manifest of the repository lists this blob; pull the image that it belongs to", p.digest(digest))
	r.reason, r.byRules = "unlisted-blob", true
	return permit{}, r
}

// listed is byLister by the links that are known now.
func (b *blobs) listed(ctx context.Context, p pull, digest string) (*permit, error) {
	v, err := b.judge.source.Verifier(ctx)
	if err != nil {
		return nil, err
	}
	return b.byLister(ctx, p, digest, b.judge.decisions.link(ctx, v, linkKey{p.repo.Name(), digest, asBlob}))
}

// byLister decides about a blob by the manifests that list it. One that passes is enough: a
// denied one, or one that cannot be judged now, does not matter then. An image goes before
// evidence. Nil: none lists it.
func (b *blobs) byLister(ctx context.Context, p pull, digest string, link link) (*permit, error) {
	var evidence *permit
	var undecided, denied error
	for _, parent := range link.Parents {
		listed, err := b.by(ctx, p, digest, parent)
		var no *refusal
		switch {
		case errors.As(err, &no):
			denied = err
		case errors.Is(err, registry.ErrNotFound) || err == nil && listed == nil:
		case err != nil:
			undecided = err
		case !listed.Evidence:
			return listed, nil
		case evidence == nil:
			evidence = listed
		default:
			evidence.Kinds |= listed.Kinds
		}
	}
	if evidence != nil {
		evidence.Kinds |= link.Kinds
		return evidence, nil
	}
	if undecided != nil {
		return nil, undecided
	}
	return nil, denied
}

// by is the permit of a blob that a passing manifest lists; nil: the manifest does not list
// it. A refusal: the manifest does not pass.
func (b *blobs) by(ctx context.Context, p pull, digest, parent string) (*permit, error) {
	above, _, err := b.judge.decide(ctx, p, parent)
	if err != nil {
		return nil, err
	}
	if !above.Allowed {
		return nil, denial(above.denied, p.digest(digest).String())
	}
	m, err := b.judge.manifests.byDigest(ctx, p, parent)
	if err != nil {
		return nil, err
	}
	for _, d := range blobsOf(m) {
		if d.Digest.String() == digest {
			by := above.forBlob(d.Size, b.judge.decisions.mayBe(m, above.Evidence)[d.Digest])
			return &by, nil
		}
	}
	return nil, nil
}

// there returns an error if the upstream does not have a blob that no manifest lists. The
// answer is then the specification's.
func (b *blobs) there(ctx context.Context, p pull, digest string) error {
	key := readKey{p.from, p.repo.Name() + " blob " + digest}
	if last, _, holds := b.recent.get(key); holds {
		return last.missing
	}
	err := p.hasBlob(ctx, digest)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		b.recent.noteMissing(key, err)
	case err == nil:
		b.recent.noteThere(key)
	}
	return err
}
