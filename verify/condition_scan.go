package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// found is a vulnerability that a scan has found.
type found struct {
	id       string
	severity predicate.Severity
}

// judgeScan judges in-toto's predicate, which lists the findings itself.
func (a attestation) judgeScan(d document, c *circumstances) (time.Time, *problem) {
	all, err := findingsOf(d)
	if err != nil {
		return time.Time{}, problemf(ReasonPredicate, "its findings cannot be read: %v", err)
	}
	return a.judgeFindings(all, c)
}

// finding is one of in-toto's predicate, as far as conditions read it.
type finding struct {
	ID      string                  `json:"id"`
	Ratings []predicate.VulnsRating `json:"severity"`
}

// findingsOf reads all findings. What the scanner adds to one is not read.
//
// Source: in-toto Attestation Framework, spec/predicates/vulns_02.md and vuln.md.
func findingsOf(d document) (all []found, err error) {
	list := d.at("scanner.result")
	if list.err != nil || list.value.Kind() != strictjson.Array {
		return nil, list.wrong("a list")
	}
	var s shape
	s.each(list.path, list.value, func(at string, v strictjson.Value) {
		if d.is(predicate.TypeVulns01) {
			v = s.unwrapped(at, v)
		}
		var f finding
		if err := strictjson.Decode(v, &f, strictjson.DecodeOptions{RefuseOtherCase: true}); err != nil {
			s.fail(at, "is not a finding: %v", err)
		}
		f.check(&s, at)
		severity, known := predicate.VulnsFinding{Ratings: f.Ratings}.Severity()
		if !known {
			severity = predicate.SeverityCritical
		}
		all = append(all, found{f.ID, severity})
	})
	return all, s.err
}

func (f finding) check(s *shape, at string) {
	if f.ID == "" {
		s.fail(at+".id", "is missing")
	}
	if f.Ratings == nil {
		s.fail(at+".severity", "is missing")
	}
	for i, r := range f.Ratings {
		if r.Method == "" || r.Score == "" {
			s.fail(fmt.Sprintf("%s.severity[%d]", at, i), "lacks method or score")
		}
	}
}

// unwrapped is a finding of v0.1, which has two forms: as its specification says it,
// and as its example shows it. A finding of both forms at once is refused.
func (s *shape) unwrapped(at string, v strictjson.Value) strictjson.Value {
	s.object(at, v, "vulnerability", "id", "severity")
	inner := v.Get("vulnerability")
	switch {
	case !inner.Exists():
		return v
	case v.Get("id").Exists(), v.Get("severity").Exists():
		s.fail(at, "has two forms at once")
	}
	return inner
}

// judgeReport judges cosign's predicate, which holds a scanner's own report. The
// report's own time is bounded as that of the predicate is.
func (a attestation) judgeReport(d document, c *circumstances) (time.Time, *problem) {
	result := d.at("scanner.result")
	switch {
	case result.err == nil && !result.given():
		return time.Time{}, problemf(ReasonUnreadScan, "it holds no report")
	case result.err != nil || result.value.Kind() != strictjson.Object:
		return time.Time{}, problemf(ReasonPredicate, "its report cannot be read: %v", result.wrong("an object"))
	}
	report, err := scan.Read(result.value.Raw(), scan.Options{FindingsOnly: true})
	if err != nil {
		return time.Time{}, problemf(ReasonUnreadScan, "%v", err)
	}
	if about, known := report.About(c.image.DigestStr()); known && !about {
		return time.Time{}, problemf(ReasonUnreadScan, "its report is about another image, or about none")
	}
	var ends time.Time
	var p *problem
	stated := moment{path: "the report's time", time: report.FinishedOn, err: report.UnreadTimes}.or(moment{path: "the report's time", time: report.StartedOn})
	if stated.err != nil || !stated.time.IsZero() {
		if ends, p = a.judgeAge(stated, c); p != nil {
			return time.Time{}, p
		}
	}
	all := make([]found, 0, len(report.Findings))
	for _, f := range report.Findings {
		all = append(all, found{f.ID, f.Severity})
	}
	until, p := a.judgeFindings(all, c)
	return earlier(until, ends), p
}

// judgeFindings judges what was found. until is when the first exception that mattered
// ends.
func (a attestation) judgeFindings(all []found, c *circumstances) (until time.Time, p *problem) {
	var bad []string
	for _, f := range all {
		if a.tolerates(f.severity) {
			continue
		}
		if c.excused.has(f.id) {
			c.excused.use(f, c.excused.of[f.id])
			continue
		}
		accepted := a.accepts(f.id, c.now)
		if accepted == nil {
			bad = append(bad, fmt.Sprintf("%s (%s)", f.id, f.severity))
			continue
		}
		c.excused.use(f, Excused{By: ExcusedByPolicy, Reason: accepted.Reason, Until: accepted.Until})
		until = earlier(until, accepted.Until)
	}
	if len(bad) == 0 {
		return until, nil
	}
	const shown = 5
	text := strings.Join(bad[:min(len(bad), shown)], ", ")
	if len(bad) > shown {
		text += fmt.Sprintf(" and %d more", len(bad)-shown)
	}
	if excused := c.excused.words(); excused != "" {
		text += "; " + excused
	}
	return time.Time{}, problemf(ReasonVulnerable, "it has %s", text)
}

func (a attestation) tolerates(s predicate.Severity) bool {
	limit, known := predicate.ParseSeverity(a.MaxSeverity)
	return a.MaxSeverity != policy.SeverityNone && known && !s.WorseThan(limit)
}

// accepts is the exception for a vulnerability; nil: there is none.
func (a attestation) accepts(id string, now time.Time) *policy.AcceptedVulnerability {
	for i, x := range a.Accept {
		if x.ID == id && now.Before(x.Until) {
			return &a.Accept[i]
		}
	}
	return nil
}
