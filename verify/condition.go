package verify

import (
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// attestation judges statements by the conditions of a requirement.
type attestation struct{ *policy.AttestationRequirement }

// judge says whether a verified statement about the image meets the requirement. until
// is when the statement stops to meet it, by itself.
//
// Each condition reads the members that it needs. A member that no condition reads may
// be of any form. A member that a condition reads, and that is not what its format
// says, fails that condition.
func (a attestation) judge(s *statement, c *circumstances) (until time.Time, p *problem) {
	d, p := openDocument(s)
	if p != nil {
		return time.Time{}, p
	}
	var stated moment
	switch {
	case a.AcceptAnyContent:
	case d.is(predicate.TypeProvenance), d.is(predicate.TypeProvenance02):
		stated, p = a.judgeProvenance(newProvenance(d), c)
	case d.is(predicate.TypeCosignVuln):
		stated = d.at("metadata.scanFinishedOn").moment()
		until, p = a.judgeReport(d, c)
	case d.is(predicate.TypeVulns), d.is(predicate.TypeVulns01):
		stated = d.at("metadata.scanFinishedOn").moment()
		until, p = a.judgeScan(d, c)
	case d.is(predicate.TypeVSA):
		stated = d.at("timeVerified").moment()
		p = a.judgeSummary(d, c)
	case d.is(predicate.TypeTestResult):
		p = a.judgeTests(d)
	case d.isBill():
		p = a.judgeBill(d)
	case d.is(predicate.TypeOpenVEX):
		stated = d.at("timestamp").moment()
	}
	if p == nil {
		p = a.judgeMembers(d)
	}
	if p != nil {
		return time.Time{}, p
	}
	ends, p := a.judgeAge(stated, c)
	return earlier(until, ends), p
}

// judgeAge compares the time that a statement states with the clock. A time that can
// be read must not lie in the future, whether an age is asked for or not.
func (a attestation) judgeAge(stated moment, c *circumstances) (time.Time, *problem) {
	switch {
	case stated.err != nil && a.MaxAge == 0:
		return time.Time{}, nil
	case stated.err != nil:
		return time.Time{}, problemf(ReasonPredicate, "its age cannot be told: %v", stated.err)
	case !stated.time.IsZero() && stated.time.After(c.now.Add(c.skew)):
		return time.Time{}, problemf(ReasonFuture, "%s is %s, in the future; the clock says %s", stated.path, utc(stated.time), utc(c.now))
	case a.MaxAge == 0:
		return time.Time{}, nil
	case stated.time.IsZero():
		return time.Time{}, problemf(ReasonStale, "it does not say how old it is")
	}
	ends := stated.time.Add(time.Duration(a.MaxAge))
	if !c.now.Before(ends) {
		return time.Time{}, problemf(ReasonStale, "%s is %s, the policy wants it at most %s ago", stated.path, utc(stated.time), time.Duration(a.MaxAge))
	}
	return ends, nil
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
