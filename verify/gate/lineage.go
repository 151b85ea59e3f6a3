package gate

import (
	"context"
	"errors"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// maxNesting bounds how many manifests may vouch for one another. A voucher farther away
// does not count.
const maxNesting = 5

// walk decides about one manifest by its vouchers: manifests that list it, and the subject
// that it is evidence about. Each voucher must pass itself, and is decided first.
type walk struct {
	j *judge
	v *verify.Verifier
	p pull
	// policy is v's Generation at the beginning: a decision made while trust changes is not
	// one of the new trust.
	policy string
	// path leads from the requested manifest to the one that is decided now. Its length is
	// at most maxNesting+2: one more if an index must be judged again.
	path []*step
}

// step is a manifest that is being decided.
type step struct {
	digest string
	begun  bool
	// parents list it, and were not asked yet. Its subject is asked after them.
	parents []string
	subject bool // it was asked
	asked   voucher
	// far: a voucher was too far away to count.
	far bool
}

// voucher may vouch for a step.
type voucher struct {
	digest string
	// subject: the step is evidence about it; otherwise it lists the step.
	subject bool
	// again: its decision could not be used, and it was judged again.
	again bool
}

// answer is the decision about a voucher.
type answer struct {
	permit
	err error
}

var (
	// errFar says that a voucher is too far away to count.
	errFar = errors.New("what vouches for it is too far away")
	// errAgain says that a voucher must be judged again.
	errAgain = errors.New("its decision is no use here")
)

func (w *walk) key(digest string) permitKey {
	return permitKey{w.policy, w.p.repo.Name(), digest, asManifest}
}

// run decides about a manifest. Each turn of its loop asks one voucher, which is then
// decided first, or ends one step. No step asks more than maxParents+1 vouchers.
func (w *walk) run(ctx context.Context, digest string) (permit, error) {
	w.path = append(w.path, &step{digest: digest})
	var told *answer // about what the step has asked
	for {
		s := w.path[len(w.path)-1]
		ask, decided, err := w.next(ctx, s, told)
		if ask != "" {
			w.path, told = append(w.path, &step{digest: ask}), nil
			continue
		}
		if err == nil {
			err = w.keep(ctx, s, decided)
		}
		told = &answer{err: err}
		if decided != nil {
			told.permit = *decided
		}
		if w.path = w.path[:len(w.path)-1]; len(w.path) == 0 {
			return told.permit, told.err
		}
	}
}

// keep keeps the decision about a step.
func (w *walk) keep(ctx context.Context, s *step, decided *permit) error {
	if s.far && !decided.Allowed {
		decided.depth = len(w.path) - 1
	}
	return w.j.keep(ctx, w.v, w.p, w.key(s.digest), decided)
}

// next continues a step: ask is the voucher that must be decided first. Otherwise the step
// is decided, or has failed. The decision, in this order:
//
//   - the manifest carries content that must not pass: denied;
//   - a voucher passes, and lets it pass, or denies it as one of its children;
//   - the verifier decides.
func (w *walk) next(ctx context.Context, s *step, told *answer) (ask string, decided *permit, err error) {
	if !s.begun {
		s.begun = true
		if decided, err = w.j.carried(ctx, w.v, w.p, s.digest); decided != nil || err != nil {
			return "", decided, err
		}
		s.parents = w.j.decisions.link(ctx, w.v, linkKey{w.p.repo.Name(), s.digest, asManifest}).Parents
	}
	for {
		if told == nil {
			more, err := w.voucher(ctx, s)
			if err != nil {
				return "", nil, err
			}
			if !more {
				decided, err = w.j.verified(ctx, w.v, w.p, s.digest)
				return "", decided, err
			}
			known, ok := w.known(ctx, s.asked.digest)
			if !ok {
				return s.asked.digest, nil, nil
			}
			told = &answer{permit: known}
		}
		decided, err = w.vouched(ctx, s, told)
		switch told = nil; {
		case errors.Is(err, errAgain):
			s.asked.again = true
			return s.asked.digest, nil, nil
		case errors.Is(err, errFar):
			s.far = true
		case decided != nil || err != nil:
			return "", decided, err
		}
	}
}

// known is a decision about the next step that needs no judging: the policy denies the
// digest, it was decided before, or it is too far away.
func (w *walk) known(ctx context.Context, digest string) (permit, bool) {
	depth := len(w.path)
	if e := forbidden(w.v, w.p, digest); e != nil {
		return *w.j.denied(w.v, e), true
	}
	if known, ok := w.j.decisions.get(ctx, w.v, w.key(digest), w.p.from); ok && known.depth <= depth {
		return known, true
	}
	if depth > maxNesting {
		return permit{depth: depth}, true
	}
	return permit{}, false
}

// voucher is the next one that a step asks: its parents, and then its subject.
func (w *walk) voucher(ctx context.Context, s *step) (more bool, err error) {
	for len(s.parents) > 0 {
		s.asked, s.parents = voucher{digest: s.parents[0]}, s.parents[1:]
		if s.asked.digest != s.digest {
			return true, nil
		}
	}
	if s.subject {
		return false, nil
	}
	s.subject = true
	m, err := w.j.manifests.byDigest(ctx, w.p, s.digest)
	if err != nil {
		return false, err
	}
	if !w.j.decisions.rules.refers(m) {
		return false, nil
	}
	s.asked = voucher{digest: m.doc.Subject.Digest.String(), subject: true}
	return true, nil
}

// vouched decides a step by the answer of its voucher. Nil: the voucher does not let it
// pass.
func (w *walk) vouched(ctx context.Context, s *step, told *answer) (*permit, error) {
	switch {
	case told.err != nil:
		return nil, gone(told.err)
	case told.depth > 0:
		return nil, errFar
	case !told.Allowed:
		return nil, nil
	case s.asked.subject:
		return w.j.evidenceOf(told.permit, s.asked.digest), nil
	}
	parent := s.asked.digest
	list, err := w.j.manifests.byDigest(ctx, w.p, parent)
	if err != nil {
		return nil, gone(err)
	}
	if !list.doc.IsIndex {
		// A tag of evidence was about the parent.
		return w.j.asEvidence(ctx, w.p, s.digest, told.permit, parent)
	}
	result, err := w.child(ctx, s, told.result)
	var denied *verify.Error
	switch {
	case errors.As(err, &denied) && denied.Reason == verify.ReasonNotListed:
		return w.j.asEvidence(ctx, w.p, s.digest, told.permit, parent)
	case errors.As(err, &denied) && denied.Reason == verify.ReasonNotExempt:
		return nil, nil // it may pass by itself
	case errors.As(err, &denied):
		return w.j.denied(w.v, denied), nil
	case errors.Is(err, verify.ErrResult) && !s.asked.again:
		// Another gate has judged the index, or the verifier of an equal policy: what lists
		// its children must be a result of this one.
		return nil, errAgain
	case errors.Is(err, verify.ErrResult): // it has ended since
		return nil, nil
	case err != nil:
		return nil, err
	}
	d := w.j.allowed(w.v, result)
	d.At = told.At
	if told.Until.Before(d.Until) {
		d.Until = told.Until // never longer than what it rests on
	}
	return d, nil
}

// child asks the verifier about a manifest that an index lists.
func (w *walk) child(ctx context.Context, s *step, index *verify.Result) (*verify.Result, error) {
	if index == nil {
		return nil, verify.ErrResult
	}
	return w.v.Child(ctx, w.p.from, index, w.p.digest(s.digest))
}

// gone turns the error of a parent that has been deleted into no decision.
func gone(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}
