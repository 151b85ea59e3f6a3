package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// found is a vulnerability that a scan has found.
type found struct {
	id       string
	severity predicate.Severity
}

func findingsOf(v *predicate.Vulns) []found {
	all := make([]found, 0, len(v.Scanner.Result))
	for _, f := range v.Scanner.Result {
		severity, known := f.Severity()
		if !known {
			severity = predicate.SeverityCritical
		}
		all = append(all, found{f.ID, severity})
	}
	return all
}

// judgeReport judges cosign's predicate, which holds a scanner's own report. The
// report's own time is bounded like the predicate's.
func (a attestation) judgeReport(v *predicate.CosignVuln, c *circumstances) (time.Time, *problem) {
	if len(v.Scanner.Result) == 0 {
		return time.Time{}, problemf(ReasonUnreadScan, "it holds no report")
	}
	report, err := scan.Read(v.Scanner.Result, scan.Options{FindingsOnly: true})
	if err != nil {
		return time.Time{}, problemf(ReasonUnreadScan, "%v", err)
	}
	if about, known := report.About(c.image.DigestStr()); known && !about {
		return time.Time{}, problemf(ReasonUnreadScan, "its report is about another image, or about none")
	}
	stated := report.FinishedOn
	if stated.IsZero() {
		stated = report.StartedOn
	}
	var ends time.Time
	if !stated.IsZero() {
		var p *problem
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

// judgeFindings judges what was found; until is when the first exception that
// mattered ends.
func (a attestation) judgeFindings(all []found, c *circumstances) (until time.Time, p *problem) {
	var bad []string
	for _, f := range all {
		if a.tolerates(f.severity) || c.excused[f.id] {
			continue
		}
		ends, accepted := a.accepts(f.id, c.now)
		if !accepted {
			bad = append(bad, fmt.Sprintf("%s (%s)", f.id, f.severity))
			continue
		}
		until = earlier(until, ends)
	}
	if len(bad) == 0 {
		return until, nil
	}
	const shown = 5
	text := strings.Join(bad[:min(len(bad), shown)], ", ")
	if len(bad) > shown {
		text += fmt.Sprintf(" and %d more", len(bad)-shown)
	}
	return time.Time{}, problemf(ReasonVulnerable, "it has %s", text)
}

func (a attestation) tolerates(s predicate.Severity) bool {
	limit, known := predicate.ParseSeverity(a.MaxSeverity)
	return a.MaxSeverity != policy.SeverityNone && known && !s.WorseThan(limit)
}

func (a attestation) accepts(id string, now time.Time) (until time.Time, ok bool) {
	for _, x := range a.Accept {
		if x.ID == id && now.Before(x.Until) {
			return x.Until, true
		}
	}
	return time.Time{}, false
}
