package predicate

import (
	"encoding/json"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// CosignVuln is a vulnerability scan as cosign describes it: the scanner's own report,
// with scanner and times. Package attest/scan reads such reports.
//
// Source: cosign COSIGN_VULN_ATTESTATION_SPEC.md
// ("https://cosign.sigstore.dev/attestation/vuln/v1"). cosign writes empty
// strings for what it does not know, and text where the specification has URIs.
type CosignVuln struct {
	// Invocation says how the scan was started. Zero: not known.
	Invocation CosignInvocation `json:"invocation"`
	// Scanner is the scanner and its report. Required.
	Scanner CosignScanner `json:"scanner"`
	// Metadata are the times of the scan. Required.
	Metadata ScanTimes `json:"metadata"`
}

// CosignInvocation says how a scan was started. Empty fields are not known.
type CosignInvocation struct {
	// Parameters are the scanner's, as any JSON value.
	Parameters any `json:"parameters"`
	// URI and EventID identify the run.
	URI     string `json:"uri"`
	EventID string `json:"event_id"`
	// BuilderID names the system that ran the scanner.
	BuilderID string `json:"builder.id"`
}

// CosignScanner is a scanner and its report. Empty fields are not known.
type CosignScanner struct {
	// URI identifies the scanner.
	URI     string `json:"uri"`
	Version string `json:"version"`
	// DB is the scanner's database.
	DB CosignDB `json:"db"`
	// Result is the scanner's report, a JSON object. Nil: none.
	Result json.RawMessage `json:"result"`
}

// CosignDB is a vulnerability database. Empty fields are not known.
type CosignDB struct {
	// URI identifies the database.
	URI     string `json:"uri"`
	Version string `json:"version"`
}

// PredicateType is TypeCosignVuln.
func (CosignVuln) PredicateType() string { return TypeCosignVuln }

// Validate checks the times, and that the report is one strict JSON object which a
// statement can hold. It does not read the report.
func (v CosignVuln) Validate() error {
	var c checks
	if v.Scanner.Result != nil {
		report, err := strictjson.ParseShallow(v.Scanner.Result, 0)
		if err != nil {
			c.fail("scanner.result", "is %v", err)
		} else if nesting(report.Raw()) >= strictjson.MaxDepth-2 {
			c.fail("scanner.result", "nests deeper than a statement may")
		}
		c.report(report)
	}
	c.scanTimes(v.Metadata)
	return c.err
}

func (c *checks) report(report strictjson.Value) {
	switch report.Kind() {
	case strictjson.Missing, strictjson.Null, strictjson.Object:
	default:
		c.fail("scanner.result", "is not an object")
	}
}

// parseCosignVuln does not copy the report.
func parseCosignVuln(c *checks, _ string, root strictjson.Value) (any, error) {
	v := &CosignVuln{}
	err := c.decodeMembers(root,
		member{"invocation", &v.Invocation},
		member{"scanner.uri", &v.Scanner.URI}, member{"scanner.version", &v.Scanner.Version}, member{"scanner.db", &v.Scanner.DB},
		member{"metadata", &v.Metadata})
	if err != nil {
		return v, err
	}
	c.need("scanner", root.Get("scanner").Kind() == strictjson.Object)
	report := within(root, "scanner", "result")
	if c.report(report); report.Kind() == strictjson.Object {
		v.Scanner.Result = report.Raw()
	}
	c.scanTimes(v.Metadata)
	return v, c.err
}

func (v CosignVuln) summary() summaryLines { return v.summaryWith(nil) }

// summaryWith counts the findings in the scanner's report, unless count is nil.
func (v CosignVuln) summaryWith(count CountFindings) summaryLines {
	var l summaryLines
	l.add("scanner", spaced(v.Scanner.URI, v.Scanner.Version))
	l.add("database", spaced(v.Scanner.DB.URI, v.Scanner.DB.Version))
	if v.Scanner.Result != nil && count != nil {
		if counts, err := count(v.Scanner.Result); err == nil {
			l.findings(counts)
		} else {
			l.add("findings", "not counted: "+err.Error())
		}
	}
	l.add("invocation", v.Invocation.URI)
	l.time("started", &v.Metadata.ScanStartedOn)
	l.time("finished", &v.Metadata.ScanFinishedOn)
	return l
}
