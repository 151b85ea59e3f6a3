package verify

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
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
