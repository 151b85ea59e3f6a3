package verify_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/verify"
)

// rated is a scan of one finding that has these ratings.
func rated(ratings string) says {
	return says{predicate.TypeVulns, `{"scanner":{"uri":"pkg:x/y","result":[{"id":"CVE-1","severity":[` + ratings + `]}]},"metadata":{"scanStartedOn":"2026-01-01T00:00:00Z","scanFinishedOn":"2026-01-01T00:00:00Z"}}`}
}

// A rating that cannot be read may be the worst one.
func TestAttack_E23_ARatingThatCannotBeReadIsNotOutweighed(t *testing.T) {
	const low, vector = `{"method":"nvd","score":"low"}`, `{"method":"cvss_vector","score":"CVSS:`
	for _, rating := range []string{
		`{"method":"vendor","score":"SEVERE"}`, `{"method":"vendor","score":"critical "}`, `{"method":"nvd","score":"9.8"}`, `{"method":"cvss_score","score":"11"}`, `{"method":"cvss_score","score":"9,8"}`,
		vector + `3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"}`, vector + `3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P"}`,
		vector + `3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N/MAV:N"}`, vector + `3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N/A:H"}`, vector + `3.1/AV:P"}`, vector + `4.0/AV:P"}`,
		`{"method":"x","score":"unknown"}`, `{"method":"level","score":"error"}`, `{"method":"level","score":"fatal"}`, `{"method":"x","score":"1e1"}`, `{"method":"x","score":"-1"}`, `{"method":"nvd","score":"10.0.0"}`,
	} {
		for _, ratings := range []string{low + "," + rating, rating + "," + low} {
			_, err := required(t, "attestation: {type: vulns, by: builder, maxSeverity: low}", rated(ratings))
			t.Log(ratings)
			wantReason(t, err, verify.ReasonVulnerable)
		}
	}
	for _, rating := range []string{
		`{"method":"CVSS_V3","score":"0.0"}`, `{"method":"nvd","score":"3.9"}`, `{"method":"epss","score":"0.9"}`, `{"method":"level","score":"note"}`, `{"method":"x","score":"LOW"}`,
		vector + `3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}`,
	} {
		if _, err := required(t, "attestation: {type: vulns, by: builder, maxSeverity: low}", rated(low+","+rating)); err != nil {
			t.Errorf("%s: %v", rating, err)
		}
	}
}

// What this library writes of a report is as bad as the report, and no worse.
func TestAttack_E23_RatingsOfAReportAreReadAsTheyWere(t *testing.T) {
	for _, c := range []struct{ level, score, limit string }{
		{"warning", "", "medium"}, {"note", "", "low"}, {"note", `"security-severity":"3.9"`, "low"}, {"warning", `"security-severity":6.5`, "medium"}, {"error", `"security-severity":"7.0"`, "high"},
	} {
		text := fmt.Sprintf(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","informationUri":"https://t.example"}},"results":[{"ruleId":"CVE-1","level":%q,"properties":{%s}}]}]}`, c.level, c.score)
		report, err := scan.Read([]byte(text), scan.Options{FinishedOn: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		vulns, err := report.Vulns()
		if err != nil {
			t.Fatal(err)
		}
		if s, known := vulns.Scanner.Result[0].Severity(); !known || s.String() != c.limit {
			t.Errorf("%+v: %s, %v: %+v", c, s, known, vulns.Scanner.Result[0].Ratings)
		}
	}
}

// Findings beside the results of a Trivy report cannot be read.
func TestAttack_E23_FindingsInAnotherPlaceOfAReportCannotBeRead(t *testing.T) {
	const finding = `[{"VulnerabilityID":"CVE-1","Severity":"CRITICAL"}]`
	report := func(more string) says {
		return says{predicate.TypeCosignVuln, fmt.Sprintf(`{"invocation":{},"scanner":{"uri":"x","result":{"SchemaVersion":2,"ArtifactName":"x"%s}},"metadata":{"scanStartedOn":%[2]q,"scanFinishedOn":%[2]q}}`, more, "2026-01-01T00:00:00Z")}
	}
	const condition = "attestation: {type: vuln, by: builder, maxSeverity: low}"
	for _, more := range []string{
		`"Vulnerabilities":` + finding, `"Resources":[{"Results":[{"Vulnerabilities":` + finding + `}]}]`, `"vulnerabilities":` + finding, `"Findings":` + finding, `"Results":[],"Vulnerabilities":` + finding,
		`"Results":[{"Target":"x","Results":[{"Vulnerabilities":` + finding + `}]}]`, `"Results":[{"Findings":` + finding + `}]`, `"Results":null`, `"Report":{"Results":[{"Vulnerabilities":` + finding + `}]}`,
	} {
		_, err := required(t, condition, report(","+more))
		t.Log(more)
		wantReason(t, err, verify.ReasonUnreadScan)
	}
	// Trivy writes no results where it found nothing to scan.
	for _, more := range []string{
		"", `,"Trivy":{"Version":"0.69.0"},"ReportID":"x","ArtifactID":"y","CreatedAt":"2026-01-01T00:00:00Z","ArtifactType":"container_image","Metadata":{"Size":1,"OS":{"Family":"alpine"},"ImageConfig":{}}`, `,"Results":[]`,
		`,"Results":[{"Target":"x","Class":"os-pkgs","Type":"alpine","Packages":[],"MisconfSummary":{},"Misconfigurations":[],"Secrets":[],"Licenses":[],"CustomResources":[]}]`,
	} {
		if _, err := required(t, condition, report(more)); err != nil {
			t.Errorf("%s: %v", more, err)
		}
	}
}
