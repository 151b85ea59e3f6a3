package gate

import (
	"context"
	"errors"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// maxNesting bounds how many manifests may vouch for one another: what vouches from
// farther away does not count.
const maxNesting = 5

// walk decides about one manifest by what vouches for it: manifests that list it, and
// what it is evidence about. Each of them has to pass itself, so they are decided first,
// and what vouches for those before.
type walk struct {
	j *judge
	v *verify.Verifier
	p pull
	// policy is v's Generation as it was at first: what is decided while trust changes is
	// no decision of the new trust.
	policy string
	// path leads from what was asked for to what is decided now. It is never longer than
	// maxNesting+2: one step more where an index has to be judged again.
	path []*step
}

// step is a manifest that is being decided.
type step struct {
	digest string
	begun  bool
	// parents have listed it, and were not asked yet. Then its subject is asked.
	parents []string
	subject bool // it was asked
	asked   voucher
	// far: something was too far away to count.
	far bool
}

// voucher is what may vouch for a step.
type voucher struct {
	digest string
	// subject: the step is evidence about it; otherwise it lists the step.
	subject bool
	// again: its decision was no use, and it was judged once more.
	again bool
}

// answer is what was decided about a voucher.
type answer struct {
	permit
	err error
}

var (
	// errFar says that what would vouch is too far away to count.
	errFar = errors.New("what vouches for it is too far away")
	// errAgain says that a voucher has to be judged again.
	errAgain = errors.New("its decision is no use here")
)

func (w *walk) key(digest string) permitKey {
	return permitKey{w.policy, w.p.repo.Name(), digest, asManifest}
}

// run decides about a manifest. Each turn of its loop either asks one voucher, which is
// then decided before, or ends one step. No step asks more than maxParents+1 vouchers.
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

// keep keeps what was decided about a step.
func (w *walk) keep(ctx context.Context, s *step, decided *permit) error {
	if s.far && !decided.Allowed {
		decided.depth = len(w.path) - 1
	}
	return w.j.keep(ctx, w.v, w.p, w.key(s.digest), decided)
}

// next goes on with a step: ask is what has to be decided before; otherwise the step is
// decided, or has failed. The decision, in this order:
//
//   - it brings along what must not pass: denied;
//   - one of its vouchers passes, and lets it pass, or denies it as one of its children;
//   - the verifier's.
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

// known is a decision that needs no judging, for the next step: the policy denies the
// digest, it was decided before, or it is too far away.
func (w *walk) known(ctx context.Context, digest string) (permit, bool) {
	depth := len(w.path)
	if e := forbidden(w.v, w.p, digest); e != nil {
		return *w.j.denied(w.v, e), true
	}
	if known, ok := w.j.decisions.get(ctx, w.v, w.key(digest)); ok && known.depth <= depth {
		return known, true
	}
	if depth > maxNesting {
		return permit{depth: depth}, true
	}
	return permit{}, false
}

// voucher is the next that a step asks: its parents, and then its subject.
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
	if m.doc.Subject == nil || m.doc.Config != nil && evidence.IsImageConfig(string(m.doc.Config.MediaType)) || !w.j.decisions.rules.admit(m) {
		return false, nil
	}
	s.asked = voucher{digest: m.doc.Subject.Digest.String(), subject: true}
	return checkDigest(s.asked.digest) == nil && s.asked.digest != s.digest, nil
}

// vouched decides a step by the answer about what it has asked. Nil: that does not let
// it through.
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

// child asks the verifier about what an index lists.
func (w *walk) child(ctx context.Context, s *step, index *verify.Result) (*verify.Result, error) {
	if index == nil {
		return nil, verify.ErrResult
	}
	return w.v.Child(ctx, w.p.from, index, w.p.digest(s.digest))
}

// gone makes of a parent that is not there any more one that decides nothing.
func gone(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}
