package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

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

	waiting []pending
	held    int
	told    bool // that there was too much
}

// workloadOf is that of a place.
func (j *judgement) workloadOf(place registry.Place) *workload {
	for i := range j.work {
		if j.work[i].place == place {
			return &j.work[i]
		}
	}
	w := workload{place: place, keys: newChecks(), links: newChecks(), certificates: newChecks(), idle: checks{left: maxChecks / 4, others: maxChecks / 4}}
	if place == registry.PlaceReferrers {
		n := j.v.o.Limits.WithDefaults().MaxReferrers
		w.hinted.left = max(n, maxHinted)
		w.small = checks{left: max(n, maxSmall), others: maxChecks / 4}
	}
	w.granted = w.keys.left + w.hinted.left + w.small.left
	j.work = append(j.work, w)
	return &j.work[len(j.work)-1]
}

// pending is a piece of evidence whose signers are looked for.
type pending struct {
	search
	item registry.Item
	// certificate: it offers one.
	certificate bool
	// idle: it cannot count, with any signature.
	idle bool
}

// misled reports whether the key that the hint names has not made a signature.
func (p *pending) misled() bool { return p.tried != nil && len(p.found) == 0 }

// consider tries the key that a piece of evidence names, and then the others: at
// once, or, where that may take what cheaper pieces need, after these.
func (j *judgement) consider(p *pending) {
	w := j.workloadOf(p.item.Place)
	p.idle = w.isCrowded() && !p.certificate && !j.mayCount(p)
	if !p.certificate && !p.idle {
		if err := w.tryHinted(j.ctx, p); err != nil {
			j.stopped(p.item, err)
			return
		}
	}
	switch {
	case w.isSmall(p):
		j.finish(p, &w.small)
	case !w.mustWait(p):
		j.finish(p, &w.keys)
	case !w.wait(j.ctx, p):
		j.stopped(p.item, errTooManyChecks())
	}
}

// isCrowded reports whether so many checks were made that it pays to look at what a
// piece says before its signature is checked.
func (w *workload) isCrowded() bool {
	before := w.keys.left + w.hinted.left + w.small.left
	return w.place != PlaceGiven && before <= w.granted-crowded
}

// mayCount reports whether a piece would count for some requirement if the right key
// had signed it: it is about this image and says what one asks for. Nothing else rests
// on it. What is not small is not parsed for it.
func (j *judgement) mayCount(p *pending) bool {
	if p.item.Layer.Size > smallPiece || len(p.item.Payload) > smallPiece {
		return true
	}
	content, err := j.content(p.claim)
	switch {
	case j.ctx.Err() != nil:
		return true
	case err != nil:
		return false
	case content.Simple != nil:
		return content.Simple.ManifestDigest == j.digest.DigestStr() && j.isAskedFor(fact{})
	}
	var f fact
	if s := content.Statement; s.PredicateType != intoto.PredicateSignature {
		f.statement = &statement{predicateType: s.PredicateType}
	}
	return j.isAskedFor(f) && slices.ContainsFunc(content.Statement.Subjects, j.mayBeAbout)
}

// isAskedFor reports whether a requirement is about facts of this kind.
func (j *judgement) isAskedFor(f fact) bool {
	return slices.ContainsFunc(j.rule.leaves, func(n *need) bool {
		return n.asksFor(f) || n.vexBy != nil && f.statement != nil && isVEX(f.statement.predicateType)
	})
}

// mayBeAbout reports whether a subject may be this image: a digest by another
// algorithm is not compared here.
func (j *judgement) mayBeAbout(s intoto.Subject) bool {
	claimed, there := s.Digest["sha256"]
	return !there || "sha256:"+claimed == j.digest.DigestStr()
}

// tryHinted tries the key that the hint names. What an attacker can make as many of
// as there are entries in a list is small, names one key that counts, and costs one
// check.
func (w *workload) tryHinted(ctx context.Context, p *pending) error {
	hinted := p.policy.byHint[p.claim.Hint]
	if hinted == nil || !p.asked[hinted.ID()] || p.item.Layer.Size > smallPiece || !w.hinted.take(hintedToll(hinted, p)) {
		return p.search.tryHinted(ctx, &w.keys)
	}
	p.tried = hinted
	return p.try(ctx, hinted)
}

// hintedToll is the toll of a check with the key that a hint names. Costly keys count
// twice: as many checks with them as the list may have entries would take minutes.
func hintedToll(k *trustedKey, p *pending) int {
	toll := k.key.Toll(p.claim.Signed, p.claim.Signatures)
	if k.key.Effort() > 1 {
		toll *= 2
	}
	return toll
}

// isSmall reports whether a piece names no key, has one signature, and is so small
// that the checks for such referrers are there for it.
func (w *workload) isSmall(p *pending) bool {
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
func (w *workload) mustWait(p *pending) bool {
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
func (w *workload) wait(ctx context.Context, p *pending) bool {
	most := maxWaiting
	if budget.In(ctx) {
		most = maxWaitingInBudget
	}
	w.waiting = append(w.waiting, *p)
	if w.held += len(p.item.Payload) + waitingOverhead; w.held <= most {
		return true
	}
	w.sort()
	for w.held > most/2 && len(w.waiting) > 0 {
		last := len(w.waiting) - 1
		w.held -= len(w.waiting[last].item.Payload) + waitingOverhead
		w.waiting[last] = pending{}
		w.waiting = w.waiting[:last]
	}
	return false
}

// sort puts first what is likelier to count, and then what costs less.
func (w *workload) sort() {
	unlikely := func(p pending) int {
		switch {
		case p.idle:
			return 2
		case p.misled():
			return 1
		}
		return 0
	}
	slices.SortStableFunc(w.waiting, func(a, b pending) int {
		return cmp.Or(unlikely(a)-unlikely(b), len(a.claim.Signatures)-len(b.claim.Signatures), cmp.Compare(a.item.Layer.Size, b.item.Layer.Size))
	})
}

// considerWaiting looks at what has waited, until nothing more is needed.
func (j *judgement) considerWaiting() {
	for i := range j.work {
		w := &j.work[i]
		w.sort()
		for i := range w.waiting {
			if j.ctx.Err() != nil || j.enough(j.rule.root) {
				return
			}
			c := &w.keys
			if w.waiting[i].idle && w.place == registry.PlaceReferrers {
				c = &w.idle
			}
			j.finish(&w.waiting[i], c)
			w.waiting[i] = pending{}
		}
	}
}

// finish finds out who has signed a piece of evidence, with checks from c, and judges
// it.
func (j *judgement) finish(p *pending, c *checks) {
	var err error
	if p.certificate {
		var why *problem
		if p.found, why, err = j.vouchers(p.item, p.claim); why != nil {
			j.record(p.item, "", nil, why.reason, why.detail)
			return
		}
	} else {
		err = p.tryOthers(j.ctx, c)
	}
	if err != nil {
		j.stopped(p.item, err)
	}
	switch {
	case len(p.found) > 0:
		j.count(p.item, p.claim, p.found)
	case err == nil:
		reason := ReasonUntrustedKey
		if j.v.policy.byHint[p.claim.Hint] != nil {
			reason = ReasonBadSignature
		}
		j.record(p.item, "", nil, reason, "no trusted key has made its signature")
		j.offer(p.claim)
	}
}

// stopped records that a piece was not looked at to its end: the context has ended,
// or no more checks may be made. The latter is told once for each place.
func (j *judgement) stopped(item registry.Item, err error) {
	if !errors.Is(err, registry.ErrTooMany) {
		j.unread(item, err)
		return
	}
	j.overflow = err
	if w := j.workloadOf(item.Place); !w.told {
		w.told = true
		j.record(item, "", nil, ReasonTooMuchEvidence, err.Error())
	}
}

// pieceID tells evidence from all other evidence of its place.
type pieceID struct {
	mediaType   types.MediaType
	digest      v1.Hash
	annotations [sha256.Size]byte
}

func idOf(item registry.Item) pieceID {
	id := pieceID{mediaType: item.Layer.MediaType, digest: item.Layer.Digest}
	if len(item.Layer.Annotations) > 0 {
		h := sha256.New()
		for _, k := range slices.Sorted(maps.Keys(item.Layer.Annotations)) {
			fmt.Fprintf(h, "%q %q ", k, item.Layer.Annotations[k])
		}
		h.Sum(id.annotations[:0])
	}
	return id
}

// records are some of those of a judgement.
type records struct{ from, to int }

// lookOnce looks at a piece unless an equal one was looked at before, in another
// referrer: then it is recorded as that was.
func (j *judgement) lookOnce(item registry.Item) {
	if item.Place != registry.PlaceReferrers || item.Format == registry.FormatOther {
		j.look(item)
		return
	}
	id := idOf(item)
	if before, again := j.looked[id]; again {
		for _, e := range j.seen[before.from:before.to] {
			if e.Manifest = manifestOf(item); e.Reason == ReasonCounted {
				e.Reason, e.Detail = ReasonRepeated, "the same piece of evidence has counted"
			}
			j.keep(e)
		}
		return
	}
	from := len(j.seen)
	j.look(item)
	if j.looked == nil {
		j.looked = make(map[pieceID]records)
	}
	j.looked[id] = records{from, len(j.seen)}
}

// maxRecords bounds what is told of evidence that does not count.
const maxRecords = 2000

// keep appends a record, unless there are so many that more of what does not count
// would tell nothing new.
func (j *judgement) keep(e Evidence) {
	if len(j.seen) >= maxRecords && e.Reason != ReasonCounted {
		j.leftOut++
		return
	}
	j.seen = append(j.seen, e)
}

// told is what a decision tells of the evidence.
func (j *judgement) told() []Evidence {
	if j.leftOut == 0 {
		return j.seen
	}
	return append(slices.Clip(j.seen), Evidence{
		Reason: ReasonTooMuchEvidence, Detail: fmt.Sprintf("%d more records of evidence that did not count are left out here", j.leftOut),
	})
}
