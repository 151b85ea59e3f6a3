package verify

import (
	"cmp"
	"context"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/budget"
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

// tryHinted tries the key that the hint names. What an attacker can make as many of
// as there are entries in a list is small, names one key that counts, and costs one
// check.
func (w *workload) tryHinted(ctx context.Context, p *piece) error {
	hinted := p.policy.byHint[p.claim.Hint]
	if hinted == nil || !p.asked[hinted.ID()] || p.item.Layer.Size > smallPiece || !w.hinted.take(hintedToll(hinted, p)) {
		return p.search.tryHinted(ctx, &w.keys)
	}
	p.tried = hinted
	return p.try(ctx, hinted)
}

// hintedToll is the toll of a check with the key that a hint names. Costly keys count
// twice: as many checks with them as the list may have entries would take minutes.
func hintedToll(k *trustedKey, p *piece) int {
	toll := k.key.Toll(p.claim.Signed, p.claim.Signatures)
	if k.key.Effort() > 1 {
		toll *= 2
	}
	return toll
}

// isSmall reports whether a piece names no key, has one signature, and is so small
// that the checks for such referrers are there for it.
func (w *workload) isSmall(p *piece) bool {
	if p.certificate || p.idle || p.tried != nil || len(p.claim.Signatures) != 1 || p.item.Layer.Size > smallPiece {
		return false
	}
	toll := 0
	for _, k := range p.policy.keys {
		if p.asked[k.ID()] {
			toll += k.key.Toll(p.claim.Signed, p.claim.Signatures)
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
		return cmp.Or(unlikely(a)-unlikely(b), len(a.claim.Signatures)-len(b.claim.Signatures), cmp.Compare(a.item.Layer.Size, b.item.Layer.Size))
	})
}
