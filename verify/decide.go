package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// inquiry is what is asked: whether an image may be used.
type inquiry struct {
	v         *Verifier
	r         registry.Reader
	reference string
	image     name.Digest
	// given are bundles that the caller holds; they count in place of what is
	// attached in r where hasGiven is true.
	given    [][]byte
	hasGiven bool
}

// decision is one decision about an image, as of one time.
type decision struct {
	inquiry
	now     time.Time
	rule    *rule
	pattern string
	log     ledger
}

// maxDecisions is how often one inquiry is decided where what an answer rests on ends
// before it is there.
const maxDecisions = 2

// errEnded is why there is no answer after that.
var errEnded = errors.New("what it rests on has ended while it was judged")

// answer decides as of the time at which it begins. Reading may take long, and no result
// may have ended when it is returned: then it is decided again, as of that time, which
// says what has ended.
func (q inquiry) answer(ctx context.Context) (*Result, error) {
	var ended *Result
	now := q.v.o.Now()
	for range maxDecisions {
		d := decision{inquiry: q, now: now}
		result, err := d.decide(ctx)
		now = q.v.o.Now()
		if err != nil || result.ValidAt(now) {
			return result, err
		}
		ended = result
	}
	return nil, &UndecidedError{Reference: q.reference, Digest: q.image, Evidence: ended.Evidence, Causes: []error{errEnded}}
}

// decide makes one decision. Its branches, in order:
//
//   - No rule is about the image, the rule or the policy denies it, or the policy has
//     expired: *Error.
//   - gather: a piece of evidence cannot be read: it is recorded, and missing.
//   - gather: it equals one before, in another referrer: it is recorded as that was.
//   - open: it is not of a format that is read, or not well-formed: it is recorded.
//   - take: it holds links of an in-toto layout: they answer for that requirement.
//   - check: it costs much, and cheaper evidence may be enough: it is put off.
//   - check: no more checks may be made: it is recorded, and missing.
//   - check: no key or identity of the policy has signed it, or none that counts now:
//     it is recorded.
//   - check: it is not about the image: it is recorded.
//   - judge: no requirement asks for it, or it does not meet the conditions, or its
//     signer has counted: it is recorded.
//   - judge: it counts, and there is enough: no more is gathered.
//   - close: what had to wait for all other evidence is judged.
//   - record: all requirements are met: *Result; but for an index without an image that
//     is not denied: *Error; that cannot be read: *UndecidedError.
//   - record: the context has ended: its error.
//   - record: something could not be read: *UndecidedError.
//   - record: otherwise *Error; where the rule only warns, *Result with it as Warning.
func (d *decision) decide(ctx context.Context) (*Result, error) {
	var denied *problem
	if d.rule, d.pattern, denied = d.v.ruleFor(d.image.Context(), d.image.DigestStr(), d.now); denied != nil {
		return nil, d.denial(denied.reason, registry.SafeText(denied.detail, maxDetail))
	}
	e := newEvaluation(d.rule, newConditions(d.v.policy, d.image, d.now), &d.log)
	images, listed := d.readImages(ctx), d.readChildren(ctx)
	if d.rule.needsEvidence() {
		c := d.checking(ctx)
		links := stepLayouts{checking: c, answer: e.answer}
		for p := range d.gather(ctx) {
			if !c.open(p) {
				continue
			}
			if !links.take(p) {
				for f := range c.check(p) {
					e.add(f)
				}
				e.join(p.principals())
			}
			if e.enough() {
				break
			}
		}
		// Answers come after: those that are not needed must not end what close judges.
		if ctx.Err() == nil {
			e.close(d.log.gap())
		}
		links.close()
	}
	if images != nil {
		d.judgeImages(e, <-images)
	}
	var found children
	if listed != nil {
		found = <-listed
	}
	return d.record(ctx, e.outcome(), found)
}

// gather yields the evidence, each piece once.
func (d *decision) gather(ctx context.Context) func(yield func(*piece) bool) {
	g := &gathering{ctx: ctx, r: d.r, image: d.v.o.evidenceAt(d.rule, d.image), limits: d.v.o.Limits, places: d.rule.places, log: &d.log}
	if d.hasGiven {
		return g.given(d.given)
	}
	return g.attached
}

func (d *decision) checking(ctx context.Context) *checking {
	digests := &manifestDigests{ctx: ctx, r: d.r, ref: d.image}
	return &checking{
		ctx: ctx, policy: d.v.policy, rule: d.rule, now: d.now, clocks: d.v.policy.clocks, log: &d.log,
		subject: subject{d.image.DigestStr(), digests.by},
	}
}

// ruleFor finds the rule about a repository, and its pattern; or the denial that holds
// whatever evidence there is. The digest may be empty: that of no image in particular.
func (v *Verifier) ruleFor(repo name.Repository, digest string, now time.Time) (r *rule, pattern string, denied *problem) {
	if denied := v.deniesAll(digest, now); denied != nil {
		return nil, "", denied
	}
	r, pattern, ok := v.policy.ruleOf(repo)
	if !ok {
		return nil, "", problemf(ReasonNoRule, "no rule of the policy is about %s", repo.Name())
	}
	if r.Deny {
		return nil, pattern, problemf(ReasonDeniedByRule, "the policy denies %s: %s", pattern, r.Reason)
	}
	return r, pattern, nil
}

// deniesAll is the denial that holds for images and files, whatever evidence there is.
func (v *Verifier) deniesAll(digest string, now time.Time) *problem {
	if ends := v.policy.expires; !ends.IsZero() && !now.Before(ends) {
		return problemf(ReasonPolicyExpired, "the policy has expired on %s", ends.UTC().Format(time.RFC3339))
	}
	if reason, denied := v.policy.denied[digest]; denied {
		return problemf(ReasonDeniedDigest, "the policy denies this digest: %s", reason)
	}
	return nil
}

// needsEvidence reports whether anything but the image itself is asked for.
func (r *rule) needsEvidence() bool {
	for _, leaf := range r.leaves {
		if leaf.config == nil {
			return true
		}
	}
	return false
}

// judgeImages answers what is asked of the image itself.
func (d *decision) judgeImages(e *evaluation, read images) {
	if read.err != nil && registry.Unreadable(read.err) {
		d.log.unread = append(d.log.unread, read.err)
		return
	}
	for _, leaf := range d.rule.leaves {
		if leaf.config == nil {
			continue
		}
		var ends time.Time
		var why *problem
		if read.err != nil {
			why = &problem{ReasonConfig, read.err.Error()}
		}
		for _, view := range read.views {
			until, p := leaf.config.judge(view, d.now, d.v.policy.skew)
			if ends = earlier(ends, until); p != nil {
				why = p
				break
			}
		}
		e.answer(leaf, ends, why)
	}
}

// record makes a decision of what an evaluation came to.
func (d *decision) record(ctx context.Context, o outcome, found children) (*Result, error) {
	var warning *Error
	switch {
	case len(o.unmet) == 0:
	case ctx.Err() != nil:
		return nil, d.notVerified(ctx)
	case len(d.log.unread) > 0:
		return nil, d.undecided(d.log.unread)
	default:
		warning = d.denial(o.unmet[0].Reason, o.unmet[0].Detail)
		warning.Unmet, warning.Limit = o.unmet, o.unmet[0].Limit
		if d.log.overflow != nil {
			warning.Reason, warning.Detail = ReasonTooMuchEvidence, registry.SafeText(d.log.overflow.Error(), maxDetail)
			warning.Limit = registry.LimitOf(d.log.overflow)
		}
		if d.rule.Mode != policy.ModeWarn {
			return nil, warning
		}
	}
	switch {
	case found.err != nil && ctx.Err() != nil:
		return nil, d.notVerified(ctx)
	case found.err != nil:
		return nil, d.undecided([]error{found.err})
	case found.all():
		return nil, d.denial(ReasonDeniedDigest, found.detail())
	}
	return &Result{
		Reference: d.reference, Digest: d.image, PolicyDigest: d.v.policy.digest, Rule: d.pattern,
		JudgedAt: d.now, ValidUntil: earlier(d.v.policy.expires, o.until),
		Requirements: o.requirements, Keys: o.keys, Statements: o.statements, Evidence: d.log.told(),
		Warning: warning, DeniedChildren: found.denied, by: d.v,
	}, nil
}

func (d *decision) notVerified(ctx context.Context) error {
	return fmt.Errorf("%s: not verified: %w", d.image, ctx.Err())
}

func (d *decision) undecided(causes []error) error {
	return &UndecidedError{Reference: d.reference, Digest: d.image, Evidence: d.log.told(), Causes: causes}
}

func (d *decision) denial(reason Reason, detail string) *Error {
	return &Error{
		Reason: reason, Reference: d.reference, Digest: d.image, PolicyDigest: d.v.policy.digest, Rule: d.pattern,
		Detail: detail, Evidence: d.log.told(),
	}
}

// ValidAt reports whether a result may still be used at a time: what it rests on
// has not ended.
func (r *Result) ValidAt(t time.Time) bool { return r.ValidUntil.IsZero() || t.Before(r.ValidUntil) }
