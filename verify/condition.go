package verify

import (
	"cmp"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/uri"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// attestation judges statements by the conditions of a requirement.
type attestation struct {
	*policy.AttestationRequirement
	*origins
	cel expressions
}

// origins are the builders, sources and refs of a requirement. plainSources are the
// sources as certificates write them.
type origins struct{ builders, sources, plainSources, refs uri.List }

func newAttestation(q *policy.AttestationRequirement) *attestation {
	return &attestation{q, &origins{uri.Builders(q.Builder), uri.Sources(q.Source), uri.Sources(plainSources(q.Source)), uri.Refs(q.Ref)}, nil}
}

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
	if until = earlier(until, ends); p != nil || len(a.cel) == 0 {
		return until, p
	}
	ends, p = a.cel.judge(c, d.variables(c))
	return earlier(until, ends), p
}

// judgeAge compares the time that a statement states, or that of its signature, with the
// clock. A time that can be read must not lie in the future, whether an age is asked for or
// not.
func (a attestation) judgeAge(stated moment, c *circumstances) (time.Time, *problem) {
	if stated.err == nil {
		if p := c.past(stated); p != nil {
			return time.Time{}, p
		}
	}
	switch {
	case a.MaxAge == 0:
		return time.Time{}, nil
	case a.MaxAgeFrom == policy.AgeFromSignature:
		stated = c.signedAfter()
	}
	return c.withinAge(stated, a.MaxAge)
}

// signedAfter is when the signature existed at the earliest.
func (c *circumstances) signedAfter() moment {
	return moment{path: "the earliest time of its signature", time: c.signer.SignedAfter, missing: "it is not known when it was signed: a signature by a key has no such time"}
}

// past says that a time lies in the future; nil: it does not.
func (c *circumstances) past(m moment) *problem {
	if !m.time.IsZero() && m.time.After(c.now.Add(c.skew)) {
		return problemf(ReasonFuture, "%s is %s, in the future; the clock says %s", m.path, utc(m.time), utc(c.now))
	}
	return nil
}

// withinAge compares a time with the clock, and says until when it is not too long ago.
func (c *circumstances) withinAge(m moment, most policy.Duration) (until time.Time, p *problem) {
	switch p := c.past(m); {
	case m.err != nil:
		return time.Time{}, problemf(ReasonPredicate, "its age cannot be told: %v", m.err)
	case p != nil:
		return time.Time{}, p
	case m.time.IsZero():
		return time.Time{}, problemf(ReasonStale, "%s", cmp.Or(m.missing, "it does not say how old it is"))
	}
	until = m.time.Add(time.Duration(most))
	if !c.now.Before(until) {
		return time.Time{}, problemf(ReasonStale, "%s is %s, the policy wants it at most %s ago", m.path, utc(m.time), time.Duration(most))
	}
	return until, nil
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
