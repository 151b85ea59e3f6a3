package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// inquiry asks whether an image may be used.
type inquiry struct {
	v         *Verifier
	r         registry.Reader
	reference string
	image     name.Digest
	// given are bundles that the caller holds. With hasGiven they count, and what is
	// attached in r does not.
	given    [][]byte
	hasGiven bool
	// all: evidence is read also after enough of it counts.
	all bool
}

// decision is one decision about an image, at one time.
type decision struct {
	inquiry
	now  time.Time
	rule *rule
	by   ruling
	log  ledger
}

// maxDecisions is how often one inquiry is decided when what an answer rests on ends before
// the answer is known.
const maxDecisions = 2

// errEnded is why no answer exists after maxDecisions.
var errEnded = errors.New("a key, statement or exception that counts ended while the image was judged")

// answer decides at the time at which it begins. Reading may take long, and no result may
// have ended when it is returned. A result that has ended is decided again at the later
// time.
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
//   - The policy has expired, denies the digest or its rule, or has no rule: *Error.
//   - gather: a piece of evidence cannot be read: recorded as missing.
//   - gather: it equals an earlier one in another referrer: recorded as that one.
//   - open: its format is not read, or it is not well-formed: recorded.
//   - take: it holds links of an in-toto layout: they answer that requirement.
//   - check: it costs much, and cheaper evidence may be enough: put off.
//   - check: no check is left: recorded as missing.
//   - check: no key or identity of the policy that counts now signed it: recorded.
//   - check: it is not about the image: recorded.
//   - judge: no requirement asks for it, it does not meet the conditions, or its signer has
//     counted: recorded.
//   - judge: it counts, and enough evidence counts: no more is gathered.
//   - close: what waited for all other evidence is judged.
//   - exempt: exemptions excuse what is not met: as if it were met.
//   - record: all requirements are met: *Result. An index whose images are all denied:
//     *Error. An index that cannot be read, if the policy denies digests: *UndecidedError.
//   - record: the context has ended: its error.
//   - record: something could not be read: *UndecidedError.
//   - record: otherwise *Error. If the rule only warns, *Result with it as Warning.
func (d *decision) decide(ctx context.Context) (*Result, error) {
	var denied *problem
	if d.rule, d.by, denied = d.v.policy.ruleFor(d.image.Context(), d.image.DigestStr(), d.now); denied != nil {
		return nil, d.denial(denied.reason, registry.SafeText(denied.detail, maxDetail))
	}
	e := newEvaluation(d.rule, newConditions(ctx, d.v.policy, d.image, d.now), &d.log)
	e.all, d.log.identified = d.all, d.all
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
			if e.enough() && !d.all {
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
		d.judgeImages(ctx, e, <-images)
	}
	var found children
	if listed != nil {
		found = <-listed
	}
	o := e.outcome()
	if len(o.unmet) > 0 && d.v.policy.exemptions != nil {
		o = d.exempt(e, o)
	}
	return d.record(ctx, o, found)
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
		ctx: ctx, policy: d.v.policy, rule: d.rule, now: d.now, keepsRevoked: true, log: &d.log,
		subject: subject{d.image.DigestStr(), digests.by},
	}
}

// ruleFor finds the rule for a repository, or the denial that holds
// whatever evidence exists. An empty digest is that of no particular image.
func (c *compiled) ruleFor(repo name.Repository, digest string, now time.Time) (r *rule, by ruling, denied *problem) {
	if denied := c.deniesAll(digest, now); denied != nil {
		return nil, ruling{}, denied
	}
	r, by, ok := c.ruleOf(repo)
	if !ok {
		return nil, ruling{}, problemf(ReasonNoRule, "no rule of the policy matches %s", repo.Name())
	}
	if r.Deny {
		return nil, by, problemf(ReasonDeniedByRule, "the rule%s for %s denies: %s", r.ofTeam(), by.pattern, r.Reason)
	}
	return r, by, nil
}

// deniesAll is the denial of an image or file that holds whatever evidence exists.
func (c *compiled) deniesAll(digest string, now time.Time) *problem {
	if ends := c.expires; !ends.IsZero() && !now.Before(ends) {
		return problemf(ReasonPolicyExpired, "the policy expired on %s", ends.UTC().Format(time.RFC3339))
	}
	if reason, denied := c.denied[digest]; denied {
		return problemf(ReasonDeniedDigest, "the policy denies this digest: %s", reason)
	}
	return nil
}

// needsEvidence reports whether anything but the image itself is required.
func (r *rule) needsEvidence() bool {
	for _, leaf := range r.leaves {
		if leaf.config == nil {
			return true
		}
	}
	return false
}

// judgeImages judges the requirements of the image itself.
func (d *decision) judgeImages(ctx context.Context, e *evaluation, read images) {
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
			why = &problem{reason: ReasonConfig, detail: read.err.Error()}
		}
		for _, view := range read.views {
			until, p := leaf.config.judge(view, &circumstances{ctx: ctx, now: d.now, skew: d.v.policy.skew, image: d.image})
			if ends = earlier(ends, until); p != nil {
				why = p
				break
			}
		}
		e.answer(leaf, ends, why)
	}
}

// record makes a decision from the outcome of an evaluation.
func (d *decision) record(ctx context.Context, o outcome, found children) (*Result, error) {
	var warning *Error
	switch {
	case len(o.unmet) == 0:
	case ctx.Err() != nil:
		return nil, d.notVerified(ctx)
	case len(d.log.unread) > 0: // also where a limit was reached in another place
		return nil, d.undecided(d.log.unread)
	default:
		warning = d.denial(o.unmet[0].Reason, o.unmet[0].Detail)
		warning.Unmet, warning.Limit = o.unmet, o.unmet[0].Limit
		if d.log.overflow != nil {
			warning.Reason, warning.Detail = ReasonTooMuchEvidence, registry.SafeText(d.log.overflow.Error(), maxDetail)
			warning.Limit = registry.LimitOf(d.log.overflow)
		}
		if o.denied {
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
		Reference: d.reference, Digest: d.image, PolicyDigest: d.v.policy.digest, Rule: d.by.pattern, Team: d.by.team,
		JudgedAt: d.now, ValidUntil: earlier(d.v.policy.expires, o.until),
		Requirements: o.requirements, Keys: o.keys, Statements: o.statements, Evidence: d.log.told(),
		Exemptions: o.exempted, Warning: warning, DeniedChildren: found.denied, by: d.v,
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
		Reason: reason, Reference: d.reference, Digest: d.image, PolicyDigest: d.v.policy.digest, Rule: d.by.pattern, Team: d.by.team,
		Detail: detail, Evidence: d.log.told(),
	}
}

// ValidAt reports whether a result may be used at a time: nothing that it rests on has
// ended.
func (r *Result) ValidAt(t time.Time) bool { return r.ValidUntil.IsZero() || t.Before(r.ValidUntil) }
