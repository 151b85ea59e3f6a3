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

// scans are the scans for one requirement that have found something. They wait until all
// OpenVEX documents were read, because the latest of those decides.
type scans struct {
	waiting []fact
	seen    map[scanOf]bool // the scans that wait, each once
	// believed are the documents that enough keys of the role have signed. signed are
	// those that at least one key of the role has signed.
	believed []vexDocument
	signed   map[[sha256.Size]byte]*vexSigners
}

// vexDocument is an OpenVEX document.
type vexDocument struct {
	text []byte
	// manifest is the digest of the manifest that carries it.
	manifest string
	// until is when the first of the keys that have signed it ends; zero for never.
	until time.Time
}

type vexSigners struct {
	tally
	until time.Time
}

// scanOf identifies a scan together with its signer.
type scanOf struct {
	id, principal string
	sum           [sha256.Size]byte
}

// addDocument believes an OpenVEX document once enough keys of the role have signed it.
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
		all.believed = append(all.believed, vexDocument{f.statement.predicate, f.from.manifest, by.until})
	}
}

// postpone keeps a scan that has found something until closeScans.
func (e *evaluation) postpone(leaf *need, f fact) {
	all := &e.leaves[leaf.leaf].scans
	this := scanOf{f.by.id, f.by.principal, sha256.Sum256(f.statement.predicate)}
	if all.seen[this] {
		e.log.note(f.from, f.by.id, leaf, ReasonRepeated, "the same scan by the same signer was found before")
		return
	}
	if all.seen == nil {
		all.seen = make(map[scanOf]bool)
	}
	all.seen[this] = true
	all.waiting = append(all.waiting, f)
}

// closeScans judges the scans that were kept. If some evidence was not read, a later
// document may be missing, and nothing is excused.
func (e *evaluation) closeScans(complete bool) {
	for _, leaf := range e.rule.leaves {
		all := &e.leaves[leaf.leaf].scans
		if len(all.waiting) == 0 {
			continue
		}
		var harmless map[string]Excused
		var until time.Time
		var unread error
		if complete {
			harmless, until, unread = e.contents.excuses(leaf, all.believed)
		}
		for _, f := range all.waiting {
			excused := &excuses{of: harmless}
			ends, p := e.contents.meets(leaf, f, excused)
			if p != nil && unread != nil {
				p.detail += fmt.Sprintf("; nothing is excused, because an OpenVEX document cannot be read: %v", unread)
			}
			e.count(leaf, f, earlier(ends, until), p, excused)
		}
	}
}

// opinions hold when each vulnerability was last excused and last doubted, by its names.
// Doubts and groups ignore the case of names: a doubt about cve-1 is one about CVE-1.
// Excuses keep it.
type opinions struct {
	excused, doubted map[string]time.Time
	words            map[string]Excused // of the latest excuse
	alike            groups             // of names of one vulnerability
}

// harmless lists the vulnerabilities that the latest statement about them calls
// not_affected or fixed. until is when the first document or age that it depends on ends.
//
//   - Of statements of one time, the doubt counts.
//   - Names that are together in any statement are names of one vulnerability.
//   - A document is attested of the image, so its statements are about the image. The
//     products that they name are not read.
//   - If a document cannot be read, nothing is excused: it may doubt anything.
func harmless(documents []vexDocument, a *attestation, now time.Time, skew time.Duration) (excused map[string]Excused, until time.Time, err error) {
	all := opinions{make(map[string]time.Time), make(map[string]time.Time), make(map[string]Excused), make(groups)}
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
			case v.undated: // a doubt may be later
			default:
				if ends, stands := a.standsByAge(v.at, now, skew); stands {
					until = earlier(until, ends)
					all.excuse(v, document.manifest)
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
	// status and justification are shown to people.
	status, justification string

	at      time.Time // zero: not known
	undated bool      // it has a time that cannot be read
}

// readVEX reads the statements of an OpenVEX document. After an error, the content of the
// document is not known.
//
// Source: OpenVEX specification v0.0.2 and v0.2.0.
func readVEX(text []byte) (all []vexOpinion, err error) {
	root, err := strictjson.ParseOthers(text, keptOfDocument)
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
		justification, _ := v.Get("justification").Str()
		o := vexOpinion{status: status, justification: justification, excuses: status == predicate.VEXNotAffected || status == predicate.VEXFixed, names: vexNames(&s, at+".vulnerability", v.Get("vulnerability"))}
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

// oneCase is the form of a name in which doubts are kept.
func oneCase(name string) string { return strings.ToUpper(strings.TrimSpace(name)) }

// join records that all names are names of one vulnerability.
func (o *opinions) join(names []string) {
	for _, name := range names {
		o.alike.join(oneCase(names[0]), oneCase(name))
	}
}

func (o *opinions) excuse(v vexOpinion, manifest string) {
	for _, name := range v.names {
		if before, seen := o.excused[name]; !seen || v.at.After(before) {
			o.excused[name] = v.at
			o.words[name] = Excused{By: ExcusedByVEX, Status: v.status, Reason: v.justification, Evidence: manifest}
		}
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

// harmless lists the names that were excused after the last doubt about any name of the
// same vulnerability. An excuse holds for the names that it lists, and not for aliases in
// other statements.
func (o *opinions) harmless() map[string]Excused {
	doubted := make(map[string]time.Time) // by group
	for id, at := range o.doubted {
		latest(doubted, []string{o.alike.of(id)}, at)
	}
	harmless := make(map[string]Excused)
	for id, at := range o.excused {
		if doubt, is := doubted[o.alike.of(oneCase(id))]; !is || at.After(doubt) {
			harmless[id] = o.words[id]
		}
	}
	return harmless
}

// standsByAge reports whether the time of an excuse counts, and until when.
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

// lastTime is when an object of OpenVEX was last changed, or the time that it inherits.
// known is false where it has a time that cannot be read.
// Source: OpenVEX specification v0.2.0, "Data Inheritance".
func lastTime(v strictjson.Value, inherited time.Time) (last time.Time, known bool) {
	known = true
	for _, field := range []string{"timestamp", "last_updated"} {
		if !v.Get(field).Exists() {
			continue
		}
		text, _ := v.Get(field).Str()
		t, err := parseTime(text)
		switch {
		case err != nil, t.Before(time.Time{}): // year 0, which no program means
			known = false
		case t.After(last):
			last = t
		}
	}
	if last.IsZero() {
		return inherited, known
	}
	return last, known
}
