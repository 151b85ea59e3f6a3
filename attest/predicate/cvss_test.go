package predicate_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// The scores of CVSS v3.1, "Examples", and of the calculator of FIRST.
func TestSeverity_OfCVSSVectors(t *testing.T) {
	for vector, want := range map[string]predicate.Severity{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H": predicate.SeverityCritical, // 10.0
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H": predicate.SeverityCritical, // 9.8
		"CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H": predicate.SeverityCritical, // 9.9
		"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N": predicate.SeverityHigh,     // 7.5
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N": predicate.SeverityMedium,   // 6.1
		"CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N": predicate.SeverityLow,      // 3.1
		"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H": predicate.SeverityHigh,     // 7.8
		"CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N": predicate.SeverityLow,      // 1.6
	} {
		f := predicate.VulnsFinding{Ratings: []predicate.VulnsRating{{Method: "nvd", Score: vector}}}
		if s, known := f.Severity(); s != want || !known {
			t.Errorf("%s: %s, %v; want %s", vector, s, known, want)
		}
	}
}

func FuzzSeverity(f *testing.F) {
	f.Add("cvss", "9.8")
	for _, score := range []string{"low", "11", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "CVSS:3.1/AV:N/AV:N", "error"} {
		f.Add("cvss", score)
		f.Add("level", score)
	}
	f.Fuzz(func(t *testing.T, method, score string) {
		with := predicate.VulnsFinding{Ratings: []predicate.VulnsRating{{Method: "nvd", Score: "medium"}, {Method: method, Score: score}}}
		if s, _ := with.Severity(); predicate.SeverityMedium.WorseThan(s) {
			t.Errorf("%q by %q made it %s", score, method, s)
		}
	})
}
