package verify

import (
	"crypto/sha256"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// isVEX reports whether a predicate is an OpenVEX document.
func isVEX(predicateType string) bool { return isOfType(predicateType, attest.TypeOpenVEX) }

// vexStatements are OpenVEX documents, and who of a role has signed them.
type vexStatements struct {
	believed []vexDocument
	signed   map[[sha256.Size]byte]*vexSigners
}

// vexDocument is one that as many keys as the role needs have signed.
type vexDocument struct {
	text []byte
	// until is when the first of the keys ends; zero for never.
	until time.Time
}

type vexSigners struct {
	tally
	until time.Time
}

// scanOf tells a scan, and who has signed it, from all others.
type scanOf struct {
	key, who string
	sum      [sha256.Size]byte
}

// believe takes an OpenVEX document into account once as many keys as the role
// needs have signed it.
func (j *judgement) believe(leaf *need, f fact) {
	state := &j.leaves[leaf.leaf]
	sum := sha256.Sum256(f.statement.predicate)
	if state.vex.signed == nil {
		state.vex.signed = make(map[[sha256.Size]byte]*vexSigners)
	}
	by := state.vex.signed[sum]
	if by == nil {
		by = &vexSigners{}
		state.vex.signed[sum] = by
	}
	before := len(by.counted)
	by.count(f)
	j.record(f.item, f.key.ID(), leaf, ReasonCounted, "an OpenVEX document of the role "+leaf.vexBy.name)
	if before >= leaf.vexBy.threshold {
		return
	}
	by.until = earlier(by.until, f.key.notAfter)
	if len(by.counted) >= leaf.vexBy.threshold {
		state.vex.believed = append(state.vex.believed, vexDocument{f.statement.predicate, by.until})
	}
}

// wait puts a scan off that has found something, until all OpenVEX documents were
// seen: which of them is the latest decides.
func (j *judgement) wait(leaf *need, f fact) {
	state := &j.leaves[leaf.leaf]
	this := scanOf{f.key.ID(), f.key.who, sha256.Sum256(f.statement.predicate)}
	if state.scans[this] {
		j.record(f.item, f.key.ID(), leaf, ReasonRepeated, "the same scan, signed by the same key, is among the evidence already")
		return
	}
	if state.scans == nil {
		state.scans = make(map[scanOf]bool)
	}
	state.scans[this] = true
	state.waiting = append(state.waiting, f)
}

// judgeWaiting judges the scans that were put off. Nothing excuses what they have
// found where not all evidence was read, so that a later document may be missing.
func (j *judgement) judgeWaiting() {
	complete := j.overflow == nil && len(j.causes) == 0 && !j.enough(j.rule.root)
	for _, leaf := range j.rule.leaves {
		state := &j.leaves[leaf.leaf]
		if len(state.waiting) == 0 {
			continue
		}
		var excused map[string]bool
		var until time.Time
		if complete {
			excused, until = state.vex.harmless(leaf.attestation, j.now, j.v.policy.skew)
		}
		for _, f := range state.waiting {
			if j.ctx.Err() != nil {
				return // run tells of it
			}
			ends, p := j.conditions(leaf, f, excused)
			j.settle(leaf, f, earlier(ends, until), p)
		}
	}
}

// opinions are what statements say of vulnerabilities: when each was last excused, and
// last doubted, by its names.
type opinions struct {
	excused, doubted map[string]time.Time
	alike            groups // the names of one vulnerability
}

// harmless lists the vulnerabilities of which the latest statement says
// not_affected or fixed; of statements of the same time the doubtful one counts. Names
// that stand together in any statement are those of one vulnerability.
// A document is attested of the image, so that its statements are about it,
// whichever products they name: a role that is believed is believed about that.
// until is when the first of what it rests on ends.
func (s *vexStatements) harmless(a *AttestationRequirement, now time.Time, skew time.Duration) (excused map[string]bool, until time.Time) {
	all := opinions{make(map[string]time.Time), make(map[string]time.Time), make(groups)}
	for _, document := range s.believed {
		root, err := strictjson.Parse(document.text)
		if err != nil {
			// Too large to be read as a whole, or no JSON: it may doubt anything.
			return nil, time.Time{}
		}
		until = earlier(until, document.until)
		stated := lastTime(root, time.Time{})
		for statement := range root.Get("statements").Elems() {
			at, ids := lastTime(statement, stated), all.names(statement)
			if status, _ := statement.Get("status").Str(); status == attest.VEXNotAffected || status == attest.VEXFixed {
				if ends, stands := a.standsByAge(at, now, skew); stands {
					until = earlier(until, ends)
					latest(all.excused, ids, at)
				}
				continue
			}
			if len(ids) == 0 {
				return nil, time.Time{} // a doubt about nobody knows what
			}
			if at.IsZero() {
				at = now.Add(skew) // nobody knows when: no excuse came later
			}
			latest(all.doubted, ids, at)
		}
	}
	return all.harmless(), until
}

// names are those of the vulnerability that a statement is about, which are names of
// one vulnerability from then on.
func (o *opinions) names(statement strictjson.Value) []string {
	ids := vexIDs(statement.Get("vulnerability"))
	for _, id := range ids {
		o.alike.join(ids[0], id)
	}
	return ids
}

// latest keeps the latest time for each of the names.
func latest(times map[string]time.Time, ids []string, at time.Time) {
	for _, id := range ids {
		if before, seen := times[id]; !seen || at.After(before) {
			times[id] = at
		}
	}
}

// harmless lists the names that were excused after the last doubt about any name of
// the same vulnerability. An excuse is for the names that it gives alone: who lists
// more aliases than they should have must not excuse by that.
func (o *opinions) harmless() map[string]bool {
	doubted := make(map[string]time.Time) // by group
	for id, at := range o.doubted {
		latest(doubted, []string{o.alike.of(id)}, at)
	}
	harmless := make(map[string]bool)
	for id, at := range o.excused {
		doubt, is := doubted[o.alike.of(id)]
		harmless[id] = !is || at.After(doubt)
	}
	return harmless
}

// standsByAge reports whether a statement that excuses something is of a time that
// counts, and until when.
func (a *AttestationRequirement) standsByAge(at, now time.Time, skew time.Duration) (until time.Time, ok bool) {
	if at.After(now.Add(skew)) {
		return time.Time{}, false
	}
	if a.VEXMaxAge == 0 {
		return time.Time{}, true
	}
	until = at.Add(time.Duration(a.VEXMaxAge))
	return until, now.Before(until)
}

// lastTime is when an object of OpenVEX was last changed, by itself; otherwise the
// time that it inherits.
// Source: OpenVEX specification v0.2.0, "Data Inheritance".
func lastTime(v strictjson.Value, inherited time.Time) time.Time {
	var last time.Time
	for _, field := range []string{"timestamp", "last_updated"} {
		text, _ := v.Get(field).Str()
		if t, err := time.Parse(time.RFC3339, text); err == nil && t.After(last) {
			last = t
		}
	}
	if last.IsZero() {
		return inherited
	}
	return last
}

// vexIDs are the names of a vulnerability.
func vexIDs(v strictjson.Value) (ids []string) {
	if name, ok := v.Str(); ok { // until v0.0.2 of the specification
		return []string{name}
	}
	if name, ok := v.Get("name").Str(); ok {
		ids = append(ids, name)
	}
	for alias := range v.Get("aliases").Elems() {
		if name, ok := alias.Str(); ok {
			ids = append(ids, name)
		}
	}
	return ids
}
