package verify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	// maxDetail bounds what is told of one thing.
	maxDetail = 300
	// maxRecords bounds what is told of evidence that does not count.
	maxRecords = 2000
)

// ledger is the account of one decision's evidence: why each piece counted or did not, and
// what could not be read.
type ledger struct {
	records []Evidence
	leftOut int // records, beyond maxRecords
	// claimed tells, for each requirement, whether evidence claims to be what is required.
	// Only the wording of a denial rests on it.
	claimed []bool
	// unread are the errors of what could not be read, overflow is the last limit reached.
	unread   []error
	overflow error
	// identified: records name their item.
	identified bool
	// oversize is what MaxPayloadBytes kept from being read.
	oversize []oversize
	// revoked is what revoked keys and identities have signed about the subject.
	revoked []fact
	// manyRevoked: they have signed more than is remembered.
	manyRevoked bool
}

// maxRevoked bounds what is remembered of what revoked keys signed.
const maxRevoked = 100

// revoke remembers what a revoked key has signed about the subject.
func (l *ledger) revoke(f fact, by *trustedKey) {
	if len(l.revoked) >= maxRevoked {
		l.manyRevoked = true
		return
	}
	f.by = signatory{id: by.ID(), name: by.Name, principal: by.principal()}
	l.revoked = append(l.revoked, f)
}

// origin is where a piece of evidence is from.
type origin struct {
	place  registry.Place
	format registry.Format
	// manifest is the digest of the manifest that carries it; empty where none does.
	manifest string
	item     string // its ID, where records name it
}

func (l *ledger) originOf(item registry.Item) origin {
	o := origin{place: item.Place, format: item.Format}
	if l.identified {
		o.item = item.ID()
	}
	if item.Manifest.Digest.Hex != "" {
		o.manifest = item.Manifest.Digest.String()
	}
	return o
}

// note records why a piece of evidence counted or did not, and the requirement it was
// judged for, if any.
func (l *ledger) note(from origin, keyID string, leaf *need, reason Reason, detail string) {
	e := Evidence{
		Place: from.place, Format: from.format, Manifest: from.manifest, KeyID: keyID, Reason: reason,
		Detail: registry.SafeText(detail, maxDetail), Item: from.item,
	}
	if leaf != nil {
		e.Requirement = leaf.path
	}
	l.keep(e)
}

// keep appends a record. After maxRecords, records of evidence that does not count are only
// counted.
func (l *ledger) keep(e Evidence) {
	if len(l.records) >= maxRecords && e.Reason != ReasonCounted {
		l.leftOut++
		return
	}
	l.records = append(l.records, e)
}

// miss records evidence that could not be read.
func (l *ledger) miss(from origin, err error) {
	reason := ReasonMalformed
	switch {
	case registry.Unreadable(err):
		reason = ReasonUnreadable
		l.unread = append(l.unread, fmt.Errorf("%s: %w", from.place, err))
	case errors.Is(err, registry.ErrTooMany):
		reason = ReasonTooMuchEvidence
		l.overflow = err
	case errors.Is(err, registry.ErrNotFound):
		reason = ReasonMissing
	case errors.Is(err, registry.ErrDigestMismatch):
		reason = ReasonDigestMismatch
	case errors.Is(err, registry.ErrTooLarge):
		reason = ReasonTooLarge
	}
	l.note(from, "", nil, reason, err.Error())
}

// maxOversize bounds what is remembered of pieces that are too large to be read.
const maxOversize = 100

// oversize is a piece that is too large to be read, as it presents itself. Nothing rests
// on that but how a denial is put.
type oversize struct {
	format        registry.Format
	predicateType string // empty: it does not say
	err           error
}

// missItem is miss for one piece.
func (l *ledger) missItem(item registry.Item, err error) {
	kept := len(l.records)
	l.miss(l.originOf(item), err)
	if registry.LimitOf(err) == nil || !errors.Is(err, registry.ErrTooLarge) {
		return
	}
	big := oversize{item.Format, item.ManifestAnnotations["dev.sigstore.bundle.predicateType"], err}
	if claimed := item.Layer.Annotations["predicateType"]; big.predicateType == "" {
		big.predicateType = claimed
	}
	if len(l.oversize) < maxOversize {
		l.oversize = append(l.oversize, big)
	}
	if len(l.records) > kept {
		l.records[kept].attestation, l.records[kept].unread = big.isAttestation(), true
	}
}

// isAttestation reports whether a piece presents itself as an attestation.
func (o oversize) isAttestation() bool {
	return o.format == registry.FormatEnvelope || o.predicateType != "" && o.predicateType != intoto.PredicateSignature
}

// mayMeet reports whether a piece may be what a requirement asks for.
func (o oversize) mayMeet(n *need) bool {
	switch {
	case n.signature != nil:
		return !o.isAttestation()
	case n.attestation == nil || o.format == registry.FormatSimpleSigning:
		return false
	}
	return o.predicateType == "" || n.matchesType(o.predicateType)
}

// tooLarge is why a requirement is not met that a piece may be for which was not read;
// nil: there is none.
func (l *ledger) tooLarge(n *need) *Unmet {
	for _, o := range l.oversize {
		if o.mayMeet(n) {
			return &Unmet{Reason: ReasonTooLarge, Detail: registry.SafeText("evidence that may be for it was not read: "+o.err.Error(), maxDetail), Limit: registry.LimitOf(o.err)}
		}
	}
	return nil
}

// gap is why evidence is missing; empty: all was read.
func (l *ledger) gap() Reason {
	switch {
	case l.overflow != nil:
		return ReasonTooMuchEvidence
	case len(l.unread) > 0:
		return ReasonUnreadable
	}
	return ""
}

// told are the records that a decision shows.
func (l *ledger) told() []Evidence {
	if l.leftOut == 0 {
		return l.records
	}
	return append(slices.Clip(l.records), Evidence{
		Reason: ReasonTooMuchEvidence, Detail: fmt.Sprintf("%d more records of evidence that did not count are left out", l.leftOut),
	})
}

// records are some of those of a ledger.
type records struct{ from, to int }

// repeat records a piece of evidence as an equal one was recorded.
func (l *ledger) repeat(as records, from origin) {
	for _, e := range l.records[as.from:as.to] {
		if e.Manifest, e.Item = from.manifest, from.item; e.Reason == ReasonCounted {
			e.Reason, e.Detail = ReasonRepeated, "the same piece of evidence has counted"
		}
		l.keep(e)
	}
}

// claims notes that the evidence recorded last claims to be an attestation, perhaps of a
// required type.
func (l *ledger) claims(r *rule, predicateType string) {
	if l.leftOut == 0 {
		l.records[len(l.records)-1].attestation = true
	}
	for _, leaf := range r.leaves {
		if leaf.attestation != nil && leaf.matchesType(predicateType) {
			l.claimed[leaf.leaf] = true
		}
	}
}

// unmet says what a requirement lacks.
func (l *ledger) unmet(n *need, state *leafState) Unmet {
	u := Unmet{}
	u.Reason, u.Detail = l.why(n, state)
	if p := state.problem; p != nil && u.Reason == p.reason {
		u.Found, u.Wanted = p.found, p.wanted
	}
	switch u.Reason {
	case ReasonNoAttestation, ReasonNoTrustedAttestation, ReasonThreshold, ReasonNoSignature:
		if big := l.tooLarge(n); big != nil {
			u = *big
		}
	}
	u.Requirement, u.Title, u.Team, u.Excused = n.path, n.title, teamOf(n.path), state.failed
	return u
}

// why says what a requirement lacks.
func (l *ledger) why(n *need, state *leafState) (Reason, string) {
	switch {
	case n.config != nil && state.problem == nil:
		return ReasonConfig, "the image's config could not be read"
	case (n.config != nil || n.stepLayout) && state.problem != nil:
		return state.problem.reason, registry.SafeText(state.problem.detail, maxDetail)
	case len(state.counted) > 0:
		return ReasonThreshold, fmt.Sprintf("signed by %d distinct trusted keys, the policy wants %d", len(state.counted), n.role.threshold)
	case n.attestation != nil && state.problem != nil:
		return state.problem.reason, registry.SafeText(state.problem.detail, maxDetail)
	case n.attestation != nil && l.claimed[n.leaf]:
		return ReasonNoTrustedAttestation, "no attached attestation of type " + n.attestation.Type + " counts"
	case n.attestation != nil:
		return ReasonNoAttestation, "no attestation of type " + n.attestation.Type + " is attached"
	}
	for _, e := range l.records {
		if (e.Requirement == "" || e.Requirement == n.path) && e.looksLikeSignature() {
			return ReasonNoTrustedSignature, "no attached signature counts"
		}
	}
	return ReasonNoSignature, "no signature is attached"
}

// looksLikeSignature reports whether evidence claims to be a signature.
func (e Evidence) looksLikeSignature() bool {
	return !e.unread && e.Format != registry.FormatOther && e.Reason != ReasonWrongType && !e.attestation
}
