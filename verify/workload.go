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
	// smallPiece is the size up to which a referrer is checked with the key that it
	// names, independent of other evidence.
	smallPiece = 64 << 10
	// maxHinted bounds the checks of small referrers with the key that they name.
	// maxSmall bounds those of small referrers that name none. Both allow as many
	// referrers as a list may have by default, for one P-256 key and for four. For any
	// keys they take some seconds.
	maxHinted = 50_000
	maxSmall  = 40_000
	// crowded is the number of checks in a place after which evidence is read before its
	// signatures are checked, to tell what may count from what cannot.
	crowded = 500
	// maxWaiting bounds the bytes of a place's evidence that waits. maxWaitingInBudget
	// does so for each of many judgements that share a budget.
	maxWaiting         = 4 << 20
	maxWaitingInBudget = 256 << 10
	// waitingOverhead is roughly the memory of a waiting piece beside its payload.
	waitingOverhead = 2 << 10
)

// workload is the work that the evidence of one place may take, and the evidence that
// waits for it. A flood in one place takes nothing from the others.
type workload struct {
	place                     registry.Place
	keys, links, certificates checks
	// hinted is for small referrers, with the key that they name. small is for those that
	// name none and have one signature. Both suffice for as many referrers as a list may
	// have, so garbage of this kind hides nothing. See maxHinted.
	hinted, small checks
	// idle is for referrers that cannot count, and is only used to name their signer.
	idle checks

	// granted is the number of checks with keys at the start.
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
	// certificate: it carries a certificate.
	certificate bool
	// bytewise: the signature is over the file itself.
	bytewise bool
	// idle: it cannot count, with any signature.
	idle bool
	// waited: it has waited for cheaper evidence.
	waited bool
	// stranger is recorded where no key has signed it. Nil: the key that its hint names.
	stranger *problem
}

// misled reports whether the key that the hint names has not made a signature.
func (p *piece) misled() bool { return p.tried != nil && len(p.found) == 0 }

// principals are the names of the principals that identities have recognised.
func (p *piece) principals() (names []string) {
	if p.certificate {
		for _, k := range p.found {
			names = append(names, k.principal())
		}
	}
	return names
}

// isCrowded reports whether so many checks were made that a piece is worth reading before
// its signature is checked.
func (w *workload) isCrowded() bool {
	before := w.keys.left + w.hinted.left + w.small.left
	return w.place != PlaceGiven && before <= w.granted-crowded
}

// purse tries the key that a piece of evidence names, and returns the checks for the other
// keys. Nil: the piece waits, because those may use up checks that cheaper pieces need.
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

// mayCount reports whether a piece would count for some requirement if the right key had
// signed it: it is about this image, and of a type that a requirement asks for. The answer
// only changes the order of work. A piece that is not small is not parsed for it.
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

// tryHinted tries the key that the hint names. An attacker can fill a list with small
// pieces that name a key which counts; each costs one check.
func (w *workload) tryHinted(ctx context.Context, p *piece) error {
	hinted := p.policy.byHint[p.opened.Hint]
	if hinted == nil || !p.asked[hinted.ID()] || p.item.Layer.Size > smallPiece || !w.hinted.take(hintedToll(hinted, p)) {
		return p.search.tryHinted(ctx, &w.keys)
	}
	p.tried = hinted
	return p.try(ctx, hinted)
}

// hintedToll is the toll of a check with the key that a hint names. Costly keys count
// twice: a check for each entry of a list would take minutes with them.
func hintedToll(k *trustedKey, p *piece) int {
	toll := k.key.Toll(p.opened.Signed, p.opened.Signatures)
	if k.key.Effort() > 1 {
		toll *= 2
	}
	return toll
}

// isSmall reports whether a piece may use the checks for small referrers: it names no key,
// and has one signature.
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

// mustWait reports whether cheaper evidence goes first. Half of the checks are made in the
// order in which evidence is found. A piece that names a key which did not sign it is the
// least likely to count.
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

// wait keeps a piece for later. If there are too many, the cheapest are kept, and wait
// returns false.
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

// sort orders pieces by how likely they count, and then by what they cost.
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

// maxChecks bounds the signature checks of one place, in checks of a P-256 key, which take
// about 80 µs each: evidence by an attacker must not keep a processor busy for long.
// Hashed bytes count too; see sigkey.PublicKey.Toll. A signature that names its key is
// checked once. Any other is checked with each key of the policy until one fits.
const maxChecks = 20_000

// checks is a budget of signature checks.
type checks struct {
	left int
	// others is the part for keys that no requirement asks for, which only names the
	// signer.
	others int
}

func newChecks() checks { return checks{left: maxChecks, others: maxChecks / 4} }

// take takes checks from the budget, and reports whether there were enough.
func (c *checks) take(toll int) bool {
	if toll > c.left {
		return false
	}
	c.left -= toll
	return true
}

// mayAskOthers takes checks from the part for keys that no requirement asks for, and
// reports whether there were enough.
func (c *checks) mayAskOthers(toll int) bool {
	if c.others < toll {
		c.others = 0
		return false
	}
	c.others -= toll
	return true
}

func errTooManyChecks() error {
	return &registry.Error{Op: "check signatures", Kind: registry.ErrTooMany, Detail: "the signatures are too many or too large for the number of keys"}
}
