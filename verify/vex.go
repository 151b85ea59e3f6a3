package verify

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// isVEX reports whether a predicate is an OpenVEX document.
func isVEX(predicateType string) bool {
	return predicate.SameType(predicateType, predicate.TypeOpenVEX)
}

// scans are those for one requirement that have found something. They wait until all
// OpenVEX documents were seen: which of them is the latest decides.
type scans struct {
	waiting []fact
	seen    map[scanOf]bool // those that wait, each once
	// believed are the documents that as many keys as the role needs have signed, and
	// signed those that anyone of the role has.
	believed []vexDocument
	signed   map[[sha256.Size]byte]*vexSigners
}

// vexDocument is an OpenVEX document.
type vexDocument struct {
	text []byte
	// until is when the first of the keys that have signed it ends; zero for never.
	until time.Time
}

type vexSigners struct {
	tally
	until time.Time
}

// scanOf tells a scan, and who has signed it, from all others.
type scanOf struct {
	id, principal string
	sum           [sha256.Size]byte
}

// addDocument takes an OpenVEX document into account once as many keys as the role
// needs have signed it.
func (e *evaluation) addDocument(leaf *need, f fact) {
	all := &e.leaves[leaf.leaf].scans
	sum := sha256.Sum256(f.statement.predicate)
	if all.signed == nil {
		all.signed = make(map[[sha256.Size]byte]*vexSigners)
	}
	by := all.signed[sum]
	if by == nil {
		by = &vexSigners{}
		all.signed[sum] = by
	}
	before := len(by.counted)
	by.tally.add(f)
	e.log.note(f.from, f.by.id, leaf, ReasonCounted, "an OpenVEX document of the role "+leaf.vexBy.name)
	if before >= leaf.vexBy.threshold {
		return
	}
	by.until = earlier(by.until, f.by.until)
	if len(by.counted) >= leaf.vexBy.threshold {
		all.believed = append(all.believed, vexDocument{f.statement.predicate, by.until})
	}
}

// postpone puts off a scan that has found something.
func (e *evaluation) postpone(leaf *need, f fact) {
	all := &e.leaves[leaf.leaf].scans
	this := scanOf{f.by.id, f.by.principal, sha256.Sum256(f.statement.predicate)}
	if all.seen[this] {
		e.log.note(f.from, f.by.id, leaf, ReasonRepeated, "the same scan, signed by the same key, is among the evidence already")
		return
	}
	if all.seen == nil {
		all.seen = make(map[scanOf]bool)
	}
	all.seen[this] = true
	all.waiting = append(all.waiting, f)
}

// closeScans judges the scans that were put off. Nothing excuses what they have found
// where some evidence was not seen: a later document may be missing.
func (e *evaluation) closeScans(complete bool) {
	for _, leaf := range e.rule.leaves {
		all := &e.leaves[leaf.leaf].scans
		if len(all.waiting) == 0 {
			continue
		}
		var excused map[string]bool
		var until time.Time
		var unread error
		if complete {
			excused, until, unread = e.contents.excuses(leaf, all.believed)
		}
		for _, f := range all.waiting {
			ends, p := e.contents.meets(leaf, f, excused)
			if p != nil && unread != nil {
				p.detail += fmt.Sprintf("; an OpenVEX document that may doubt anything cannot be read: %v", unread)
			}
			e.count(leaf, f, earlier(ends, until), p)
		}
	}
}

// opinions are what statements say of vulnerabilities: when each was last excused, and
// last doubted, by its names. Doubts and groups are by names in one case, excuses by
// names as they are written: a doubt about cve-1 is one about CVE-1.
type opinions struct {
	excused, doubted map[string]time.Time
	alike            groups // the names of one vulnerability
}

// harmless lists the vulnerabilities that the latest statement about them calls
// not_affected or fixed; of statements of the same time the doubtful one counts. Names
// that stand together in any statement are those of one vulnerability.
// A document is attested of the image. Its statements are therefore about it,
// whichever products they name: a role that is believed is believed about that.
// Where a document cannot be read, nothing is excused: it may doubt anything.
// until is when the first of what it rests on ends.
func harmless(documents []vexDocument, a *attestation, now time.Time, skew time.Duration) (excused map[string]bool, until time.Time, err error) {
	all := opinions{make(map[string]time.Time), make(map[string]time.Time), make(groups)}
	for _, document := range documents {
		statements, err := readVEX(document.text)
		if err != nil {
			return nil, time.Time{}, err
		}
		until = earlier(until, document.until)
		for _, v := range statements {
			all.join(v.names)
			switch {
			case !v.excuses && v.at.IsZero():
				all.doubt(v.names, now.Add(skew)) // its time is not known: no excuse came later
			case !v.excuses:
				all.doubt(v.names, v.at)
			case v.undated: // a doubt may have come later
			default:
				if ends, stands := a.standsByAge(v.at, now, skew); stands {
					until = earlier(until, ends)
					latest(all.excused, v.names, v.at)
				}
			}
		}
	}
	return all.harmless(), until, nil
}

// vexOpinion is a statement of an OpenVEX document.
type vexOpinion struct {
	names   []string // of the vulnerability; at least one
	excuses bool
	at      time.Time // zero: not known
	undated bool      // it has a time that cannot be read
}

// readVEX reads the statements of an OpenVEX document. An error says that it is not
// known what the document says.
//
// Source: OpenVEX specification v0.0.2 and v0.2.0.
func readVEX(text []byte) (all []vexOpinion, err error) {
	root, err := strictjson.Parse(text)
	if err != nil {
		return nil, err
	}
	var s shape
	s.object("the document", root, "statements", "timestamp", "last_updated")
	if !root.Get("statements").Exists() {
		s.fail("statements", "is missing")
	}
	stated, known := lastTime(root, time.Time{})
	s.each("statements", root.Get("statements"), func(at string, v strictjson.Value) {
		s.object(at, v, "status", "vulnerability", "timestamp", "last_updated")
		status := s.text(at+".status", v.Get("status"))
		o := vexOpinion{excuses: status == predicate.VEXNotAffected || status == predicate.VEXFixed, names: vexNames(&s, at+".vulnerability", v.Get("vulnerability"))}
		var read bool
		o.at, read = lastTime(v, stated)
		o.undated = !read || !known && !v.Get("timestamp").Exists() && !v.Get("last_updated").Exists()
		if o.undated {
			o.at = time.Time{}
		}
		all = append(all, o)
	})
	return all, s.err
}

// vexNames are the names of a vulnerability.
func vexNames(s *shape, at string, v strictjson.Value) []string {
	if v.Kind() == strictjson.String { // until v0.0.2 of the specification
		return []string{s.text(at, v)}
	}
	s.object(at, v, "name", "aliases")
	names := []string{s.text(at+".name", v.Get("name"))}
	if v.Get("aliases").Kind() == strictjson.Null { // as Go programs write none
		return names
	}
	s.each(at+".aliases", v.Get("aliases"), func(at string, alias strictjson.Value) {
		names = append(names, s.text(at, alias))
	})
	return names
}

// oneCase is a name as doubts are kept by.
func oneCase(name string) string { return strings.ToUpper(strings.TrimSpace(name)) }

// join makes names those of one vulnerability from then on.
func (o *opinions) join(names []string) {
	for _, name := range names {
		o.alike.join(oneCase(names[0]), oneCase(name))
	}
}

func (o *opinions) doubt(names []string, at time.Time) {
	for _, name := range names {
		latest(o.doubted, []string{oneCase(name)}, at)
	}
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
		doubt, is := doubted[o.alike.of(oneCase(id))]
		harmless[id] = !is || at.After(doubt)
	}
	return harmless
}

// standsByAge reports whether a statement that excuses something is of a time that
// counts, and until when.
func (a *attestation) standsByAge(at, now time.Time, skew time.Duration) (until time.Time, ok bool) {
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
// time that it inherits. known is false where it has a time that cannot be read.
// Source: OpenVEX specification v0.2.0, "Data Inheritance".
func lastTime(v strictjson.Value, inherited time.Time) (last time.Time, known bool) {
	known = true
	for _, field := range []string{"timestamp", "last_updated"} {
		if !v.Get(field).Exists() {
			continue
		}
		text, _ := v.Get(field).Str()
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			known = false
		}
		if t.After(last) {
			last = t
		}
	}
	if last.IsZero() {
		return inherited, known
	}
	return last, known
}
