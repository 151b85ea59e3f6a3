package predicate

import (
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// OpenVEX is the header of an OpenVEX document. [Parse] makes it. To attest the
// document, use the [Document] and not this value.
//
// Source: OpenVEX specification v0.0.2 and v0.2.0, OPENVEX-SPEC.md.
type OpenVEX struct {
	// Version is the specification's, where the context names one.
	Version string
	// ID identifies the document; DocumentVersion counts its changes.
	ID              string
	DocumentVersion int64
	// Author made the document at Timestamp, in the document's own words.
	Author, Timestamp string
	// Statements counts the statements by status.
	Statements map[string]int
}

// Statuses of an OpenVEX statement.
const (
	VEXNotAffected        = "not_affected"
	VEXAffected           = "affected"
	VEXFixed              = "fixed"
	VEXUnderInvestigation = "under_investigation"
)

// vexStatuses are the statuses, the most urgent first.
func vexStatuses() []string {
	return []string{VEXAffected, VEXUnderInvestigation, VEXFixed, VEXNotAffected}
}

// parseOpenVEX checks the document and each statement. It does not check products: the
// subjects of the in-toto statement may stand for them.
func parseOpenVEX(c *checks, uri string, root strictjson.Value) (any, error) {
	x := &OpenVEX{
		ID: textAt(root, "@id"), Author: textAt(root, "author"), Timestamp: textAt(root, "timestamp"), Statements: make(map[string]int),
	}
	context := textAt(root, "@context")
	c.need("@context", root.Get("@context").Exists())
	version, versioned := strings.CutPrefix(context, TypeOpenVEX+"/v")
	if context != TypeOpenVEX && (!versioned || version == "") {
		c.fail("@context", "is not that of OpenVEX")
	}
	x.Version = version
	if !versioned {
		x.Version = ""
	}
	c.need("@id", x.ID != "")
	if !isIRI(x.ID) {
		c.fail("@id", "is %.200q, want an absolute IRI", x.ID)
	}
	c.need("author", x.Author != "")
	c.timeText("timestamp", x.Timestamp)
	c.need("version", root.Get("version").Exists())
	var ok bool
	if x.DocumentVersion, ok = root.Get("version").Int(); !ok || x.DocumentVersion < 1 {
		c.fail("version", "is not an integer above zero")
	}
	c.lists(root, "statements")
	n := 0
	for raw := range elements(root.Get("statements")) {
		if status := c.vexStatement(indexed("statements", n), shallow(raw)); slices.Contains(vexStatuses(), status) {
			x.Statements[status]++
		}
		n++
	}
	c.need("statements", n > 0)
	c.documentVersion(uri, TypeOpenVEX, x.Version)
	return x, c.err
}

// vexStatement checks one statement and returns its status.
func (c *checks) vexStatement(field string, s strictjson.Value) string {
	status := textAt(s, "status")
	c.oneOf(field+".status", status, vexStatuses()...)
	c.need(field+".vulnerability.name", textAt(s, "vulnerability", "name") != "")
	if s.Get("timestamp").Exists() {
		c.timeText(field+".timestamp", textAt(s, "timestamp"))
	}
	if s.Get("justification").Exists() {
		c.oneOf(field+".justification", textAt(s, "justification"), "component_not_present", "vulnerable_code_not_present",
			"vulnerable_code_not_in_execute_path", "vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist")
	}
	switch status {
	case VEXNotAffected:
		c.need(field+": justification or impact_statement", textAt(s, "justification") != "" || textAt(s, "impact_statement") != "")
	case VEXAffected:
		c.need(field+".action_statement", textAt(s, "action_statement") != "")
	}
	return status
}

func (x OpenVEX) summary() summaryLines {
	var l summaryLines
	l.add("document", x.ID)
	l.add("author", x.Author)
	l.add("time", x.Timestamp)
	l.add("statements", counted(x.Statements, vexStatuses()))
	return l
}
