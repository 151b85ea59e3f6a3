package verify

import (
	"cmp"
	"context"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	// smallPiece is up to what size a referrer that names its key is checked with
	// that key, whatever else there is.
	smallPiece = 64 << 10
	// maxHinted bounds the checks of small referrers with the key that they name, and
	// maxSmall those of small referrers that name none: as many as a list may have of
	// them by default, for a P-256 key and for four, and some seconds for any.
	maxHinted = 50_000
	maxSmall  = 40_000
	// crowded is from how many checks of a place on evidence that cannot count is
	// told from what may, before a signature is checked.
	crowded = 500
	// maxWaiting bounds the bytes of a place's evidence that waits, and
	// maxWaitingInBudget those of each of many judgements that share a budget.
	maxWaiting         = 4 << 20
	maxWaitingInBudget = 256 << 10
	// waitingOverhead is about what a piece that waits takes beside its payload.
	waitingOverhead = 2 << 10
)

// workload is the work that the evidence of one place may take, and what waits for
// it. What fills one place takes nothing from the others.
type workload struct {
	place                     registry.Place
	keys, links, certificates checks
	// hinted is for small referrers, with the key that they name, and small for those
	// that name none and have one signature. The list may have no more of them than
	// these are for, so garbage of this kind hides nothing. See maxHinted.
	hinted, small checks
	// idle is for referrers that cannot count, only to say whose signature it is.
	idle checks

	// granted is how many checks with keys there were.
	granted int

	waiting []piece
	held    int
	told    bool // that there was too much
}

func newWorkload(place registry.Place, maxReferrers int) workload {
	w := workload{place: place, keys: newChecks(), links: newChecks(), certificates: newChecks(), idle: checks{left: maxChecks / 4, others: maxChecks / 4}}
	if place == registry.PlaceReferrers {
		w.hinted.left = max(maxReferrers, maxHinted)
		w.small = checks{left: max(maxReferrers, maxSmall), others: maxChecks / 4}
	}
	w.granted = w.keys.left + w.hinted.left + w.small.left
	return w
}

// piece is a piece of evidence whose signers are looked for.
type piece struct {
	search // once it was opened
	item   registry.Item
	from   origin
	work   *workload
	// certificate: it offers one.
	certificate bool
	// bytewise: what was signed is the file itself.
	bytewise bool
	// idle: it cannot count, with any signature.
	idle bool
	// waited: it was put off.
	waited bool
	// stranger is what is recorded where no key has signed it; nil: what its hint says.
	stranger *problem
}

// misled reports whether the key that the hint names has not made a signature.
func (p *piece) misled() bool { return p.tried != nil && len(p.found) == 0 }

// principals are the names of whom identities have recognised in it.
func (p *piece) principals() (names []string) {
	if p.certificate {
		for _, k := range p.found {
			names = append(names, k.who)
		}
	}
	return names
}

// isCrowded reports whether so many checks were made that it pays to look at what a
// piece says before its signature is checked.
func (w *workload) isCrowded() bool {
	before := w.keys.left + w.hinted.left + w.small.left
	return w.place != PlaceGiven && before <= w.granted-crowded
}

// purse tries the key that a piece of evidence names, and says from what the checks with
// the others are taken. Nil: the piece waits, since these may take what cheaper pieces
// need.
func (c *checking) purse(p *piece) (*checks, error) {
	w := p.work
	if p.waited {
		if p.idle && w.place == registry.PlaceReferrers {
			return &w.idle, nil
		}
		return &w.keys, nil
	}
	p.idle = w.isCrowded() && !p.certificate && !c.mayCount(p)
	if !p.certificate && !p.idle {
		if err := w.tryHinted(c.ctx, p); err != nil {
			return nil, err
		}
	}
	switch {
	case w.isSmall(p):
		return &w.small, nil
	case !w.mustWait(p):
		return &w.keys, nil
	case !w.wait(c.ctx, p):
		return nil, errTooManyChecks()
	}
	return nil, nil
}

// mayCount reports whether a piece would count for some requirement if the right key
// had signed it: it is about this image and says what one asks for. Nothing else rests
// on it. What is not small is not parsed for it.
func (c *checking) mayCount(p *piece) bool {
	if p.item.Layer.Size > smallPiece || len(p.item.Payload) > smallPiece {
		return true
	}
	content, err := c.content(p.opened)
	switch {
	case c.ctx.Err() != nil:
		return true
	case err != nil:
		return false
	case content.Simple != nil:
		return content.Simple.ManifestDigest == c.subject.digest && c.rule.asksFor(fact{})
	}
	var f fact
	if s := content.Statement; s.PredicateType != intoto.PredicateSignature {
		f.statement = &statement{predicateType: s.PredicateType}
	}
	return c.rule.asksFor(f) && slices.ContainsFunc(content.Statement.Subjects, c.mayBeAbout)
}

// asksFor reports whether a requirement is about facts of this kind.
func (r *rule) asksFor(f fact) bool {
	return slices.ContainsFunc(r.leaves, func(n *need) bool {
		return n.asksFor(f) || n.vexBy != nil && f.statement != nil && isVEX(f.statement.predicateType)
	})
}

// mayBeAbout reports whether a statement's subject may be this image: a digest by
// another algorithm is not compared here.
func (c *checking) mayBeAbout(s intoto.Subject) bool {
	claimed, there := s.Digest["sha256"]
	return !there || "sha256:"+claimed == c.subject.digest
}

// tryHinted tries the key that the hint names. What an attacker can make as many of
// as there are entries in a list is small, names one key that counts, and costs one
// check.
func (w *workload) tryHinted(ctx context.Context, p *piece) error {
	hinted := p.policy.byHint[p.opened.Hint]
	if hinted == nil || !p.asked[hinted.ID()] || p.item.Layer.Size > smallPiece || !w.hinted.take(hintedToll(hinted, p)) {
		return p.search.tryHinted(ctx, &w.keys)
	}
	p.tried = hinted
	return p.try(ctx, hinted)
}

// hintedToll is the toll of a check with the key that a hint names. Costly keys count
// twice: as many checks with them as the list may have entries would take minutes.
func hintedToll(k *trustedKey, p *piece) int {
	toll := k.key.Toll(p.opened.Signed, p.opened.Signatures)
	if k.key.Effort() > 1 {
		toll *= 2
	}
	return toll
}

// isSmall reports whether a piece names no key, has one signature, and is so small
// that the checks for such referrers are there for it.
func (w *workload) isSmall(p *piece) bool {
	if p.certificate || p.idle || p.tried != nil || len(p.opened.Signatures) != 1 || p.item.Layer.Size > smallPiece {
		return false
	}
	toll := 0
	for _, k := range p.policy.keys {
		if p.asked[k.ID()] {
			toll += k.key.Toll(p.opened.Signed, p.opened.Signatures)
		}
	}
	return toll <= w.small.left
}

// mustWait reports whether cheaper evidence may go first. Half of the checks are
// made in the order in which evidence is found; and what names a key that has not
// made it is the least likely to count.
func (w *workload) mustWait(p *piece) bool {
	switch {
	case w.place == PlaceGiven:
		return false
	case p.certificate:
		return w.certificates.left < maxChecks/2
	case p.idle:
		return true
	case p.done():
		return false
	}
	return w.keys.left < maxChecks/2 || p.misled() && len(p.policy.keys) > 1
}

// wait keeps a piece for later. Of more than may be held the cheapest are kept;
// false: one was dropped.
func (w *workload) wait(ctx context.Context, p *piece) bool {
	most := maxWaiting
	if budget.In(ctx) {
		most = maxWaitingInBudget
	}
	p.waited = true
	w.waiting = append(w.waiting, *p)
	if w.held += len(p.item.Payload) + waitingOverhead; w.held <= most {
		return true
	}
	w.sort()
	for w.held > most/2 && len(w.waiting) > 0 {
		last := len(w.waiting) - 1
		w.held -= len(w.waiting[last].item.Payload) + waitingOverhead
		w.waiting[last] = piece{}
		w.waiting = w.waiting[:last]
	}
	return false
}

// sort puts first what is likelier to count, and then what costs less.
func (w *workload) sort() {
	unlikely := func(p piece) int {
		switch {
		case p.idle:
			return 2
		case p.misled():
			return 1
		}
		return 0
	}
	slices.SortStableFunc(w.waiting, func(a, b piece) int {
		return cmp.Or(unlikely(a)-unlikely(b), len(a.opened.Signatures)-len(b.opened.Signatures), cmp.Compare(a.item.Layer.Size, b.item.Layer.Size))
	})
}

// maxChecks bounds the signature checks of one place, in checks of a P-256 key,
// which take about 80 µs: what an attacker can attach must not keep a processor
// busy for long. Bytes that are hashed count too; see sigkey.PublicKey.Toll. A signature
// that names its key is checked once; one that does not, with each key of the policy
// until one fits.
const maxChecks = 20_000

// checks is how many may still be made.
type checks struct {
	left int
	// others is how many of them may be made with keys that no requirement asks for,
	// only to say whose signature it is.
	others int
}

func newChecks() checks { return checks{left: maxChecks, others: maxChecks / 4} }

// take takes checks from what is left, and reports whether there were as many.
func (c *checks) take(toll int) bool {
	if toll > c.left {
		return false
	}
	c.left -= toll
	return true
}

// mayAskOthers takes checks from what is left for keys that no requirement asks for,
// and reports whether there were as many.
func (c *checks) mayAskOthers(toll int) bool {
	if c.others < toll {
		c.others = 0
		return false
	}
	c.others -= toll
	return true
}

func errTooManyChecks() error {
	return &registry.Error{Op: "check signatures", Kind: registry.ErrTooMany, Detail: "too many signatures, or too large ones, for the number of keys"}
}
