package verify_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

// reported is cosign's predicate of a scan an hour ago, with a scanner's own
// report in it.
func reported(report string) says {
	return says{predicate.TypeCosignVuln, `{"invocation":{},"scanner":{"uri":"x","result":` + report + `},"metadata":{"scanStartedOn":"2026-11-23T11:00:00Z","scanFinishedOn":"2026-11-23T11:00:00Z"}}`}
}

func trivyReport(more string) string { return `{"SchemaVersion":2,` + more + `}` }

func grypeReport(more string) string {
	return `{"descriptor":{"name":"grype","version":"0.9"},` + more + `}`
}

func sarifReport(run string) string {
	return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[{"id":"CVE-1","defaultConfiguration":{"level":"note"}}]}},` + run + `}]}`
}

func TestAttack_E15_OldForeignOrHidingReportsAreDenied(t *testing.T) {
	const (
		critical = `{"VulnerabilityID":"CVE-1","Severity":"CRITICAL"}`
		ignored  = `"ArtifactName":"a","Results":[{"ExperimentalModifiedFindings":[{"Type":"vulnerability","Status":"ignored","Finding":` + critical + `}]}]`
	)
	other := "sha256:" + strings.Repeat("6", 64)
	for name, c := range map[string]struct {
		report string
		reason verify.Reason // empty: allowed
	}{
		"recent, Trivy":               {trivyReport(`"ArtifactName":"a","ArtifactType":"container_image","CreatedAt":"2026-11-23T10:00:00Z","Results":[]`), ""},
		"recent, Grype":               {`{"descriptor":{"name":"grype","version":"0.9","timestamp":"2026-11-23T10:00:00Z"},"source":{"type":"image"},"matches":[]}`, ""},
		"re-dated, Trivy":             {trivyReport(`"ArtifactName":"a","CreatedAt":"2020-01-01T00:00:00Z","Results":[]`), verify.ReasonStale},
		"re-dated, Grype":             {`{"descriptor":{"name":"grype","version":"0.9","timestamp":"2020-01-01T00:00:00Z"},"source":{},"matches":[]}`, verify.ReasonStale},
		"re-dated, SARIF":             {sarifReport(`"invocations":[{"executionSuccessful":true,"endTimeUtc":"2020-01-01T00:00:00Z"}],"results":[]`), verify.ReasonStale},
		"re-dated, SARIF without end": {sarifReport(`"invocations":[{"executionSuccessful":true,"startTimeUtc":"2020-01-01T00:00:00Z"}],"results":[]`), verify.ReasonStale},
		"of the future":               {trivyReport(`"ArtifactName":"a","CreatedAt":"2026-11-24T00:00:00Z","Results":[]`), verify.ReasonFuture},
		"other digest, Trivy":         {trivyReport(`"ArtifactName":"registry.example/team/app@` + other + `","Results":[]`), verify.ReasonUnreadScan},
		"other digest and tag":        {trivyReport(`"ArtifactName":"registry.example/team/app:v1@` + other + `","Results":[]`), verify.ReasonUnreadScan},
		"other digest, Grype":         {grypeReport(`"source":{"type":"image","target":{"userInput":"registry.example/team/app@` + other + `"}},"matches":[]`), verify.ReasonUnreadScan},
		"other digest, SARIF":         {sarifReport(`"properties":{"imageName":"registry.example/team/app@` + other + `"},"results":[]`), verify.ReasonUnreadScan},
		"no image, Trivy":             {trivyReport(`"ArtifactName":"/etc","ArtifactType":"filesystem","Results":[]`), verify.ReasonUnreadScan},
		"no image, Grype":             {grypeReport(`"source":{"type":"directory","target":"/etc"},"matches":[]`), verify.ReasonUnreadScan},
		"Trivy, results":              {trivyReport(`"ArtifactName":"a","results":[{"Vulnerabilities":[` + critical + `]}]`), verify.ReasonUnreadScan},
		"Trivy, vulnerabilities":      {trivyReport(`"ArtifactName":"a","Results":[{"vulnerabilities":[` + critical + `]}]`), verify.ReasonUnreadScan},
		"Trivy, by .trivyignore":      {trivyReport(ignored), verify.ReasonVulnerable},
		"Trivy, of another kind":      {trivyReport(strings.Replace(ignored, `"vulnerability"`, `"secret"`, 1)), ""},
		"Grype, by .grype.yaml":       {grypeReport(`"source":{},"matches":[],"ignoredMatches":[{"vulnerability":{"id":"CVE-1","severity":"Critical"}}]`), verify.ReasonVulnerable},
		"SARIF, suppressed":           {sarifReport(`"results":[{"ruleId":"CVE-1","level":"error","suppressions":[{"kind":"inSource"}]}]`), verify.ReasonVulnerable},
		"SARIF, results in a file":    {sarifReport(`"results":[],"externalPropertyFileReferences":{"results":[{"location":{"uri":"r.json"},"itemCount":5}]}`), verify.ReasonUnreadScan},
		"SARIF, results in the log":   {strings.Replace(sarifReport(`"results":[]`), `"runs"`, `"inlineExternalProperties":[{"results":[{"ruleId":"CVE-1","level":"error"}]}],"runs"`, 1), verify.ReasonUnreadScan},
		"SARIF, level of the rule":    {sarifReport(`"results":[{"ruleId":"CVE-1"}]`), ""},
		"SARIF, level of the run":     {sarifReport(`"invocations":[{"executionSuccessful":true,"ruleConfigurationOverrides":[{"descriptor":{"id":"CVE-1"},"configuration":{"level":"error"}}]}],"results":[{"ruleId":"CVE-1"}]`), verify.ReasonVulnerable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := required(t, "attestation: {type: vuln, by: builder, maxSeverity: low, maxAge: 24h}", reported(c.report))
			wantReason(t, err, c.reason)
		})
	}
	accepted := "attestation: {type: vuln, by: builder, maxSeverity: low, accept: [{id: CVE-1, until: 2026-12-01T00:00:00Z, reason: x}]}"
	_, err := required(t, accepted, reported(trivyReport(ignored)))
	wantReason(t, err, "")
}

// wantReason wants a denial for one reason, or none where that is empty.
func wantReason(t *testing.T, err error, reason verify.Reason) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Errorf("%v", err)
		}
		return
	}
	if denial, ok := err.(*verify.Error); !ok || denial.Reason != reason {
		t.Errorf("%v, want %s", err, reason)
	}
}

// The decision ends when the older of both times is too old.
func TestAReportIsAsOldAsItSaysItself(t *testing.T) {
	report := trivyReport(`"ArtifactName":"a","CreatedAt":"2026-11-22T18:00:00Z","Results":[]`)
	result, err := required(t, "attestation: {type: vuln, by: builder, maxSeverity: low, maxAge: 24h}", reported(report))
	if err != nil {
		t.Fatal(err)
	}
	if got := result.ValidUntil.UTC().Format("2006-01-02T15:04:05Z"); got != "2026-11-23T18:00:00Z" {
		t.Errorf("valid until %s", got)
	}
}

func TestAttack_E15_AScoreOfZeroIsNotKnown(t *testing.T) {
	scored := func(ratings string) says {
		return says{predicate.TypeVulns, `{"scanner":{"uri":"https://s.example","result":[{"id":"CVE-1","severity":[` + ratings + `]}]},"metadata":{"scanStartedOn":"` + recently + `","scanFinishedOn":"` + recently + `"}}`}
	}
	for ratings, reason := range map[string]verify.Reason{
		`{"method":"cvss_score","score":"0.0"}`:                                 verify.ReasonVulnerable,
		`{"method":"cvss_score","score":"0"}`:                                   verify.ReasonVulnerable,
		`{"method":"cvss_score","score":"0.1"}`:                                 "",
		`{"method":"cvss_score","score":"0.0"},{"method":"nvd","score":"low"}`:  "",
		`{"method":"cvss_score","score":"0.0"},{"method":"nvd","score":"high"}`: verify.ReasonVulnerable,
	} {
		_, err := required(t, "attestation: {type: vulns, by: builder, maxSeverity: low}", scored(ratings))
		wantReason(t, err, reason)
	}
}
