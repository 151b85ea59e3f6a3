package verify

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// trust identifies what the policy's authorities trust now.
func (c *compiled) trust() string {
	if len(c.checked.Changing) == 0 {
		return ""
	}
	var all []string
	for _, a := range c.checked.Changing {
		all = append(all, strconv.Quote(a.Generation()))
	}
	return strings.Join(all, " ")
}

// identityEffort is how many checks one question to a plug-in counts as that does its work
// itself: the signature, and those of a chain of certificates.
const identityEffort = 4

// hashedPerCheck is how many bytes of a message count as one more check: such a plug-in
// hashes the message.
const hashedPerCheck = 128 << 10

// asksPerCheck is how many questions count as one check to plug-ins whose work is charged
// by SignedEvidence.Once: they compare what was read.
const asksPerCheck = 32

// maxReasons bounds the reasons that are told why plug-ins recognise nothing.
const maxReasons = 8

// vouchers finds the policy's identities that signed a piece of evidence with a
// certificate, or says why none did. A principal that a revoked identity recognises counts
// by no other.
func (c *checking) vouchers(p *piece) ([]*trustedKey, *problem, error) {
	var found []*trustedKey
	why := []error{evidence.ErrNotByKey}
	shown := p.signedEvidence(p.opened.Signatures, c.now)
	questions := newQuestions(c.ctx, &p.work.certificates, p)
	shown.Once = questions.once
	for i, decides := range c.candidates() {
		if !readable(i.identity, p) {
			why = tell(why, errOnlyDigest)
			continue
		}
		var known policy.Recognized
		err, ended := questions.ask(decides, func() (err error) {
			known, err = i.identity.Signed(c.ctx, shown)
			return err
		})
		switch {
		case errors.Is(ended, errEnough):
			return finish(found, why)
		case ended != nil:
			return nil, nil, ended
		case err == nil && known.Principal == "":
			err = errors.New("the authority of " + i.Name + " names no principal")
		}
		if err != nil {
			why = tell(why, err)
			continue
		}
		who := i.recognised(known)
		if who.revoked {
			return []*trustedKey{who}, nil, nil
		}
		found = append(found, who)
	}
	return finish(found, why)
}

// errOnlyDigest is why a plug-in is not asked about a file.
var errOnlyDigest = errors.New("its authority needs the content of the file, and only the digest is known")

// readable reports whether a plug-in can be shown a piece: one that knows of messages alone
// would take a missing one for an empty one.
func readable(plugin any, p *piece) bool {
	if p.opened.Signed.Held() {
		return true
	}
	r, ok := plugin.(policy.DigestReader)
	return ok && r.ReadsDigests()
}

// tell adds to what is told, within a bound.
func tell(why []error, err error) []error {
	if len(why) <= maxReasons {
		why = append(why, err)
	}
	return why
}

// finish is what vouchers returns once enough identities were asked.
func finish(found []*trustedKey, why []error) ([]*trustedKey, *problem, error) {
	if len(found) == 0 {
		var texts []string
		for _, err := range why {
			texts = append(texts, err.Error())
		}
		return nil, &problem{reason: ReasonCertificate, detail: strings.Join(texts, "; ")}, nil
	}
	return found, nil, nil
}

// candidates yields the identities to ask about a piece of evidence. Identities that decide
// come first: those in a role of the rule, and revoked ones. The others only tell whose
// signature it is.
func (c *checking) candidates() iter.Seq2[*trustedKey, bool] {
	return func(yield func(i *trustedKey, decides bool) bool) {
		for _, decides := range []bool{true, false} {
			for _, i := range c.policy.identities {
				if (i.revoked || c.rule.asked[i.ID()]) == decides && !yield(i, decides) {
					return
				}
			}
		}
	}
}

// errEnough ends the questions that only name a signer.
var errEnough = errors.New("no more is asked")

// questions are those to plug-ins about one piece of evidence, within a bound of checks,
// and the work that they have had done about it.
type questions struct {
	ctx  context.Context
	left *checks
	// toll is what a question costs to a plug-in that does its work itself.
	toll int
	done map[any]finished
	// asked counts the questions whose work was charged; worked: the last one was such.
	asked  int
	worked bool
	// stopped: no more checks may be made, or the context has ended.
	stopped error
}

type finished struct {
	made any
	err  error
}

func newQuestions(ctx context.Context, left *checks, p *piece) *questions {
	return &questions{ctx: ctx, left: left, toll: identityEffort + len(p.opened.Signed.Bytes)/hashedPerCheck, done: make(map[any]finished)}
}

// ask asks a plug-in, within the bound of checks. ended says why no more may be asked: no
// check is left, the context has ended, or errEnough. decides is false for a question that
// only names a signer.
func (q *questions) ask(decides bool, question func() error) (answer, ended error) {
	if !decides && !q.left.mayAskOthers(q.toll) {
		return nil, errEnough
	}
	if err := q.ctx.Err(); err != nil {
		return nil, err
	}
	if !q.left.take(q.toll) {
		return nil, errTooManyChecks()
	}
	q.worked = false
	answer = question()
	if q.worked {
		refund := q.toll
		if q.asked++; q.asked%asksPerCheck == 0 {
			refund--
		}
		q.left.left += refund
		if !decides {
			q.left.others += refund
		}
	}
	return answer, q.stopped
}

// once is policy.SignedEvidence.Once.
func (q *questions) once(key any, effort int, work func() (any, error)) (any, error) {
	q.worked = true
	if q.stopped != nil {
		return nil, q.stopped
	}
	if f, done := q.done[key]; done {
		return f.made, f.err
	}
	if !q.left.take(max(effort, 0)) {
		q.stopped = errTooManyChecks()
		return nil, q.stopped
	}
	leave, err := budget.Work(q.ctx)
	if err != nil {
		q.stopped = err
		return nil, err
	}
	defer leave()
	made, err := work()
	q.done[key] = finished{made, err}
	return made, err
}
