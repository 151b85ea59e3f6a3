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

// vexStatements are OpenVEX documents, and who of a role has signed them.
type vexStatements struct {
	believed []vexDocument
	signed   map[[sha256.Size]byte]*vexSigners
	// unread is why one of believed cannot be read. Then nothing is excused.
	unread error
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
			if err := state.vex.unread; p != nil && err != nil {
				p.detail += fmt.Sprintf("; an OpenVEX document that may doubt anything cannot be read: %v", err)
			}
			j.settle(leaf, f, earlier(ends, until), p)
		}
	}
}
