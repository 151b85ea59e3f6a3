package predicate

import (
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Vulns is a vulnerability scan as in-toto describes it: every finding, in one form for
// all scanners. [Parse] reads v0.1 into it too. The specification of v0.1 differs from
// its own example, and both forms of a finding are accepted.
//
// Source: in-toto Attestation Framework, spec/predicates/vulns_02.md
// ("https://in-toto.io/attestation/vulns/v0.2") and vuln.md (v0.1).
type Vulns struct {
	// Scanner is the scanner and its findings. Required.
	Scanner VulnsScanner `json:"scanner"`
	// Metadata are the times of the scan. Required.
	Metadata ScanTimes `json:"metadata"`
}

// VulnsScanner is a scanner and its findings.
type VulnsScanner struct {
	// URI identifies the scanner. Required.
	URI string `json:"uri"`
	// Version is the scanner's. Empty: not known.
	Version string `json:"version,omitempty"`
	// DB is the scanner's database. Nil: not known.
	DB *VulnsDB `json:"db,omitempty"`
	// Result are the findings. Required: an empty list says that nothing was found.
	Result []VulnsFinding `json:"result"`
}

// VulnsDB is a vulnerability database.
type VulnsDB struct {
	// URI identifies the database. Empty: not known.
	URI     string `json:"uri,omitempty"`
	Version string `json:"version,omitempty"`
	// LastUpdate is when it was updated. Required in a VulnsDB.
	LastUpdate time.Time `json:"lastUpdate"`
}

// VulnsFinding is one vulnerability.
type VulnsFinding struct {
	// ID is the vulnerability's, such as "CVE-2026-1234". Required.
	ID string `json:"id"`
	// Ratings are its severities by different methods. Required, may be empty.
	Ratings []VulnsRating `json:"severity"`
	// Annotations are further facts by the scanner. Empty: none.
	Annotations []map[string]any `json:"annotations,omitempty"`
}

// VulnsRating is the severity of a vulnerability by one method.
type VulnsRating struct {
	// Method names the database or the scale, such as "nvd" or "cvss_score". Required.
	Method string `json:"method"`
	// Score is a word or a number. Required.
	Score string `json:"score"`
}

// MethodSARIFLevel is the VulnsRating.Method of ratings that are SARIF's levels.
const MethodSARIFLevel = "level"

// ScanTimes are the times of a scan.
type ScanTimes struct {
	// ScanStartedOn and ScanFinishedOn are both required.
	ScanStartedOn  time.Time `json:"scanStartedOn"`
	ScanFinishedOn time.Time `json:"scanFinishedOn"`
}

// Severity is the worst of the ratings. It is critical and not known if a rating cannot
// be read, or if no rating says anything. Ratings are read as follows:
//
//   - Words are read by [ParseSeverity].
//   - Numbers up to 10 are CVSS scores if the method has CVSS in its name. A score of 0
//     says nothing, because tools write it for scores that they do not know.
//   - Vectors of CVSS v3 base metrics are scores.
//   - Numbers up to 10 by other methods, and SARIF's levels by the method "level", can
//     only make another rating worse. Alone they are not known.
func (f VulnsFinding) Severity() (s Severity, known bool) {
	beside := SeverityNegligible
	for _, r := range f.Ratings {
		rating, how := r.read()
		switch {
		case how == ratingUnreadable:
			return SeverityCritical, false
		case how == ratingBeside && rating.WorseThan(beside):
			beside = rating
		case how == ratingKnown && (!known || rating.WorseThan(s)):
			s, known = rating, true
		}
	}
	if known && beside.WorseThan(s) {
		s = beside
	}
	return s, known
}

// ratingKind says how a rating can be used.
type ratingKind int

const (
	ratingUnreadable ratingKind = iota
	ratingKnown
	ratingBeside // may make another rating worse, and says nothing alone
	ratingEmpty  // says nothing
)

// Severity is the severity that the rating gives alone. It is critical if not known.
func (r VulnsRating) Severity() (s Severity, known bool) {
	s, how := r.read()
	return s, how == ratingKnown
}

func (r VulnsRating) read() (Severity, ratingKind) {
	if s, known := ParseSeverity(r.Score); known {
		return s, ratingKnown
	}
	if r.Method == MethodSARIFLevel {
		switch r.Score {
		case "error": // high or critical; another rating says which
			return SeverityHigh, ratingBeside
		case "warning":
			return SeverityMedium, ratingBeside
		case "note":
			return SeverityLow, ratingBeside
		}
	}
	how := ratingBeside // EPSS and others count from 0 to 1
	if strings.Contains(strings.ToLower(r.Method), "cvss") {
		how = ratingKnown
	}
	score, ok := scoreOfVector(r.Score)
	if ok {
		how = ratingKnown
	} else if score, ok = plainScore(r.Score); !ok {
		return SeverityCritical, ratingUnreadable
	}
	if score == 0 {
		return SeverityCritical, ratingEmpty
	}
	return SeverityOfScore(score), how
}

// plainScore reads a number from 0 to 10 without sign and exponent.
func plainScore(text string) (score float64, ok bool) {
	score, err := strconv.ParseFloat(text, 64)
	return score, err == nil && score <= 10 && strings.Trim(text, "0123456789.") == ""
}

// Counts returns how many findings there are of each severity.
func (v Vulns) Counts() SeverityCounts {
	var c SeverityCounts
	for _, f := range v.Scanner.Result {
		s, known := f.Severity()
		c.Add(s, known)
	}
	return c
}

// PredicateType is TypeVulns.
func (Vulns) PredicateType() string { return TypeVulns }

// Validate checks the required fields, and that the scan did not end before it began.
func (v Vulns) Validate() error { return validated(v) }

func (v Vulns) check(c *checks) {
	c.uri("scanner.uri", v.Scanner.URI)
	if db := v.Scanner.DB; db != nil {
		c.maybeURI("scanner.db.uri", db.URI)
		c.time("scanner.db.lastUpdate", db.LastUpdate)
	}
	c.need("scanner.result", v.Scanner.Result != nil)
	for i, f := range v.Scanner.Result {
		c.finding(i, f)
	}
	c.scanTimes(v.Metadata)
}

func (c *checks) finding(i int, f VulnsFinding) {
	if c.err != nil {
		return
	}
	field := indexed("scanner.result", i)
	c.need(field+".id", f.ID != "")
	c.need(field+".severity", f.Ratings != nil)
	for j, r := range f.Ratings {
		c.need(indexed(field+".severity", j)+".method", r.Method != "")
		c.need(indexed(field+".severity", j)+".score", r.Score != "")
	}
}

func (c *checks) scanTimes(t ScanTimes) {
	const start, end = "metadata.scanStartedOn", "metadata.scanFinishedOn"
	c.time(start, t.ScanStartedOn)
	c.time(end, t.ScanFinishedOn)
	c.span(start, &t.ScanStartedOn, end, &t.ScanFinishedOn)
}

// MarshalJSON writes the times in UTC, as in-toto demands.
func (t ScanTimes) MarshalJSON() ([]byte, error) {
	type plain ScanTimes
	t.ScanStartedOn, t.ScanFinishedOn = t.ScanStartedOn.UTC(), t.ScanFinishedOn.UTC()
	return marshalJSON(plain(t))
}

// MarshalJSON writes the time in UTC, as in-toto demands.
func (db VulnsDB) MarshalJSON() ([]byte, error) {
	type plain VulnsDB
	db.LastUpdate = db.LastUpdate.UTC()
	return marshalJSON(plain(db))
}

func parseVulns(c *checks, _ string, root strictjson.Value) (any, error) {
	return c.readVulns(root, shallow)
}

// parseVulns01 also reads findings in the form of the specification v0.1, which its
// example does not have: {"vulnerability": {…}}.
func parseVulns01(c *checks, _ string, root strictjson.Value) (any, error) {
	return c.readVulns(root, func(text []byte) strictjson.Value {
		finding := shallow(text)
		inner := finding.Get("vulnerability")
		switch {
		case !inner.Exists():
			return finding
		case finding.Get("id").Exists(), finding.Get("severity").Exists():
			c.fail("scanner.result", "has a finding in two forms at once")
		}
		return inner
	})
}

// readVulns decodes each finding by itself: there may be more of them than a parsed value
// may hold.
func (c *checks) readVulns(root strictjson.Value, unwrap func([]byte) strictjson.Value) (*Vulns, error) {
	v := &Vulns{}
	err := c.decodeMembers(root,
		member{"scanner.uri", &v.Scanner.URI}, member{"scanner.version", &v.Scanner.Version}, member{"scanner.db", &v.Scanner.DB},
		member{"metadata", &v.Metadata})
	if err != nil {
		return v, err
	}
	result := within(root, "scanner", "result")
	if result.Kind() == strictjson.Array {
		v.Scanner.Result = []VulnsFinding{}
	}
	for text := range elements(result) {
		var f VulnsFinding
		if err := c.decodePart(indexed("scanner.result", len(v.Scanner.Result)), unwrap(text), &f); err != nil {
			return v, err
		}
		v.Scanner.Result = append(v.Scanner.Result, f)
	}
	v.check(c)
	return v, c.err
}

func (v Vulns) summary() summaryLines {
	var l summaryLines
	l.add("scanner", spaced(v.Scanner.URI, v.Scanner.Version))
	if db := v.Scanner.DB; db != nil {
		l.add("database", spaced(db.URI, db.Version))
		l.time("database updated", &db.LastUpdate)
	}
	if v.Scanner.Result != nil {
		l.findings(v.Counts())
	}
	l.time("started", &v.Metadata.ScanStartedOn)
	l.time("finished", &v.Metadata.ScanFinishedOn)
	return l
}

func (l *summaryLines) findings(n SeverityCounts) {
	l.add("findings", counted(map[string]int{
		"critical": n.Critical - n.Unknown, "of unknown severity": n.Unknown, "high": n.High, "medium": n.Medium, "low": n.Low, "negligible": n.Negligible,
	}, []string{"critical", "of unknown severity", "high", "medium", "low", "negligible"}))
}
