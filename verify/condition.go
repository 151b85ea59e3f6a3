package verify

import (
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// attestation judges statements by the conditions of a requirement.
type attestation struct{ *policy.AttestationRequirement }

// judge says whether a verified statement about the image meets the requirement;
// until is when it stops to, by itself.
func (a attestation) judge(s *statement, c *circumstances) (until time.Time, p *problem) {
	document, p := a.read(s)
	if p != nil {
		return time.Time{}, p
	}
	if document == nil {
		return a.judgeAge(time.Time{}, c)
	}
	var stated time.Time
	switch v := document.Value().(type) {
	case *predicate.Provenance, *predicate.Provenance02:
		view := viewProvenance(v)
		view.unreadable = view.unreadable || a.readsParameters() && hidesParameters(v, s.predicate)
		stated, p = view.finished, a.judgeProvenance(view, c)
	case *predicate.CosignVuln:
		stated = v.Metadata.ScanFinishedOn
		until, p = a.judgeReport(v, c)
	case *predicate.Vulns:
		stated = v.Metadata.ScanFinishedOn
		until, p = a.judgeFindings(findingsOf(v), c)
	case *predicate.VSA:
		stated, p = v.TimeVerified, a.judgeSummary(v, c)
	case *predicate.TestResult:
		p = a.judgeTests(v)
	case *predicate.SPDX, *predicate.CycloneDX:
		p = a.judgeBill(document)
	case *predicate.OpenVEX:
		stated, _ = time.Parse(time.RFC3339, v.Timestamp)
	}
	if p != nil {
		return time.Time{}, p
	}
	ends, p := a.judgeAge(stated, c)
	return earlier(until, ends), p
}

// judgeAge compares the time that a statement states with the clock. A time that
// is stated must not lie in the future, also where no age is asked for.
func (a attestation) judgeAge(stated time.Time, c *circumstances) (time.Time, *problem) {
	if !stated.IsZero() && stated.After(c.now.Add(c.skew)) {
		return time.Time{}, problemf(ReasonFuture, "it states the time %s, and now is %s", stated.UTC().Format(time.RFC3339), c.now.UTC().Format(time.RFC3339))
	}
	if a.MaxAge == 0 {
		return time.Time{}, nil
	}
	if stated.IsZero() {
		return time.Time{}, problemf(ReasonStale, "it does not say how old it is")
	}
	ends := stated.Add(time.Duration(a.MaxAge))
	if !c.now.Before(ends) {
		return time.Time{}, problemf(ReasonStale, "it is of %s, older than %s", stated.UTC().Format(time.RFC3339), time.Duration(a.MaxAge))
	}
	return ends, nil
}
