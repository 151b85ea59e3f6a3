package scan_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

const (
	scannedManifest = "sha256:1f3c2b1a0e9d8c7b6a5f4e3d2c1b0a9f8e7d6c5b4a39281706f5e4d3c2b1a0f9"
	scannedConfig   = "sha256:2e4d3c2b1a0f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a29180706f5e4d3c2b1"
	otherDigest     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
)

func scanFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "scan", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readScanFile(t testing.TB, name string) *scan.Report {
	t.Helper()
	r, err := scan.Read(scanFile(t, name), scan.Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

func TestScannerOutputIsRecognisedAndRead(t *testing.T) {
	scanned := scan.Target{
		Name: "registry.example/team/app:1.4.2", Type: "container_image",
		Digests: []string{scannedManifest}, ImageID: scannedConfig,
	}
	imageByGrype := scanned
	imageByGrype.Type, imageByGrype.Digests = "image", []string{scannedManifest, scannedManifest}
	for name, want := range map[string]struct {
		format     scan.Format
		scanner    scan.Tool
		db         scan.DB
		target     scan.Target
		counts     predicate.SeverityCounts
		suppressed int
		started    string
		finished   string
	}{
		"trivy.json": {
			scan.Trivy, scan.Tool{Name: "trivy", URI: "pkg:github/aquasecurity/trivy@0.69.1", Version: "0.69.1"}, scan.DB{}, scanned,
			predicate.SeverityCounts{Critical: 1, High: 1, Medium: 1, Low: 1, Unknown: 1}, 1, "", "2026-11-20T11:20:30.000000005Z",
		},
		"grype6.json": {
			scan.Grype, scan.Tool{Name: "grype", URI: "pkg:github/anchore/grype@0.104.0", Version: "0.104.0"},
			scan.DB{URI: "https://mirror.example/databases/v6/vulnerability-db_v6.1.2.tar.zst", Version: "v6.1.2", LastUpdate: time.Date(2026, 11, 20, 4, 7, 7, 0, time.UTC)}, imageByGrype,
			predicate.SeverityCounts{Critical: 2, High: 1, Negligible: 1, Unknown: 1}, 1, "", "2026-11-20T12:01:02.123456789Z",
		},
		"grype5.json": {
			scan.Grype, scan.Tool{Name: "grype", URI: "pkg:github/anchore/grype@0.74.1", Version: "0.74.1"},
			scan.DB{Version: "5", LastUpdate: time.Date(2024, 1, 18, 1, 25, 14, 0, time.UTC)}, scan.Target{Name: "./src", Type: "directory"},
			predicate.SeverityCounts{}, 0, "", "2024-01-18T10:00:00Z",
		},
		"trivy.sarif": {
			scan.SARIF, scan.Tool{Name: "trivy", URI: "https://github.com/aquasecurity/trivy", Version: "0.69.1"}, scan.DB{}, scanned,
			predicate.SeverityCounts{Critical: 1, Medium: 1, Unknown: 1}, 0, "", "",
		},
		"grype.sarif": {
			scan.SARIF, scan.Tool{Name: "grype", URI: "https://github.com/anchore/grype", Version: "0.104.0"}, scan.DB{}, scan.Target{},
			predicate.SeverityCounts{Critical: 2, Unknown: 1}, 0, "2026-11-20T12:00:00Z", "2026-11-20T12:00:30.5Z",
		},
	} {
		r := readScanFile(t, name)
		if r.Format != want.format || r.Scanner != want.scanner || r.DB != want.db || r.Suppressed != want.suppressed {
			t.Errorf("%s: %s, %+v, %+v, %d suppressed", name, r.Format, r.Scanner, r.DB, r.Suppressed)
		}
		if !reflect.DeepEqual(r.Target, want.target) {
			t.Errorf("%s: target %+v, want %+v", name, r.Target, want.target)
		}
		if c := r.Counts(); c != want.counts || c.Total() != len(r.Findings) {
			t.Errorf("%s: counts %+v of %d findings, want %+v", name, c, len(r.Findings), want.counts)
		}
		if text(r.StartedOn) != want.started || text(r.FinishedOn) != want.finished {
			t.Errorf("%s: from %v to %v", name, r.StartedOn, r.FinishedOn)
		}
	}
}

func text(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.RFC3339Nano)
}

func TestFindingsSayWhatTheScannerSaid(t *testing.T) {
	for name, want := range map[string]scan.Finding{
		"trivy.json": {
			ID: "CVE-2026-10003", Severity: predicate.SeverityHigh, Rated: true, Original: "HIGH", Method: "ghsa",
			Package: "golang.org/x/net", Version: "v0.50.0", PURL: "pkg:golang/golang.org/x/net@v0.50.0",
			FixedIn: []string{"0.57.0", "0.56.2"}, Sources: []string{"ghsa"},
		},
		"grype6.json": {
			ID: "GHSA-aaaa-bbbb-cccc", Original: "Unknown", Method: "github:language:go",
			Package: "example.org/mod", Version: "v1.0.0", FixedIn: []string{}, Sources: []string{"github:language:go"},
		},
		"trivy.sarif": {ID: "CVE-2026-10002", Original: "UNKNOWN", Method: "tag"},
		"grype.sarif": {ID: "CVE-2026-10005-tar", Original: "0.0", Method: "security-severity"},
	} {
		all := slices.DeleteFunc(readScanFile(t, name).Findings, func(f scan.Finding) bool { return f.Suppressed })
		if got := all[len(all)-1]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestAReportKnowsWhichImageItIsAbout(t *testing.T) {
	for _, name := range []string{"trivy.json", "grype6.json", "trivy.sarif"} {
		r := readScanFile(t, name)
		for digest, want := range map[string]bool{scannedManifest: true, scannedConfig: true, otherDigest: false, "": false} {
			if about, known := r.About(digest); about != want || !known {
				t.Errorf("%s about %q: %v, known %v", name, digest, about, known)
			}
		}
	}
	for name, knows := range map[string]bool{"grype5.json": true, "grype.sarif": false} { // a directory; nothing
		if about, known := readScanFile(t, name).About(scannedManifest); about || known != knows {
			t.Errorf("%s names no digest, but is about one: %v, %v", name, about, known)
		}
	}
}

func TestWhatTheFileSaysStandsAndOptionsFillGaps(t *testing.T) {
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	o := scan.Options{
		Scanner:   scan.Tool{Name: "mine", URI: "https://mine.example", Version: "9"},
		DB:        scan.DB{URI: "https://db.example", Version: "7", LastUpdate: at},
		StartedOn: at, FinishedOn: at.Add(time.Hour),
	}
	r, err := scan.Read(scanFile(t, "trivy.json"), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Scanner.Name != "trivy" || r.Scanner.Version != "0.69.1" || text(r.FinishedOn) != "2026-11-20T11:20:30.000000005Z" {
		t.Errorf("options changed what the file says: %+v, %v", r.Scanner, r.FinishedOn)
	}
	if r.DB.URI != o.DB.URI || r.DB.Version != "7" || !r.DB.LastUpdate.Equal(at) || text(r.StartedOn) != "2020-01-02T02:04:05Z" {
		t.Errorf("gaps were not filled: %+v, %v", r.DB, r.StartedOn)
	}
	o.StartedOn = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := scan.Read(scanFile(t, "trivy.json"), o); !errors.Is(err, scan.ErrInvalid) {
		t.Errorf("a scan that ended before it began: %v", err)
	}
}

func TestAttack_E15_SeveritiesSpeltOtherwiseCountAsCritical(t *testing.T) {
	for text, want := range map[string]predicate.Severity{
		"CRITICAL": predicate.SeverityCritical, "High": predicate.SeverityHigh, "important": predicate.SeverityHigh, "medium": predicate.SeverityMedium,
		"Moderate": predicate.SeverityMedium, "LOW": predicate.SeverityLow, "Negligible": predicate.SeverityNegligible, "none": predicate.SeverityNegligible,
	} {
		if s, known := predicate.ParseSeverity(text); s != want || !known {
			t.Errorf("%s: %v, %v", text, s, known)
		}
	}
	for _, text := range []string{"", "UNKNOWN", "unknown", "low ", " low", "lоw", "l\u200bow", "1", "0.0", "info", "Negligib1e", "unimportant", "low\x00", "lo\u212a"} {
		if s, known := predicate.ParseSeverity(text); s != predicate.SeverityCritical || known {
			t.Errorf("%q: %v, %v; want critical, because it is not known", text, s, known)
		}
		quoted := strconv.QuoteToASCII(text)
		if strings.Contains(quoted, `\x`) {
			continue
		}
		file := strings.Replace(string(scanFile(t, "trivy.json")), `"MEDIUM"`, quoted, 1)
		r, err := scan.Read([]byte(file), scan.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c := r.Counts(); c.Critical != 2 || c.Unknown != 2 || c.Medium != 0 {
			t.Errorf("%q in a file: %+v", text, c)
		}
	}
	var zero predicate.Severity
	if zero != predicate.SeverityCritical || predicate.SeverityCritical.WorseThan(zero) || !zero.WorseThan(predicate.SeverityHigh) {
		t.Error("the zero severity is not the worst")
	}
}

func TestSeveritiesHaveNamesThatAreReadAgain(t *testing.T) {
	for s, name := range []string{"critical", "high", "medium", "low", "negligible"} {
		if got := predicate.Severity(s).String(); got != name {
			t.Errorf("%q, want %q", got, name)
		}
		if again, known := predicate.ParseSeverity(name); again != predicate.Severity(s) || !known {
			t.Errorf("%s is read as %s, %v", name, again, known)
		}
	}
	// What is beyond the scale is the worst, not nothing.
	if got := predicate.Severity(99).String(); got != "critical" {
		t.Errorf("%q", got)
	}
}

func TestCountsAboveALimit(t *testing.T) {
	c := predicate.SeverityCounts{Critical: 1, High: 2, Medium: 4, Low: 8, Negligible: 16}
	for limit, want := range map[predicate.Severity]int{
		predicate.SeverityCritical: 0, predicate.SeverityHigh: 1, predicate.SeverityMedium: 3, predicate.SeverityLow: 7, predicate.SeverityNegligible: 15,
	} {
		if got := c.WorseThan(limit); got != want {
			t.Errorf("%d worse than %s, want %d", got, limit, want)
		}
	}
}

// sarif makes a file with one result.
func sarif(rule, result string) []byte {
	return []byte(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[` + rule + `]}},"results":[` + result + `]}]}`)
}

func TestSeverityInSARIFIsTheWorstThatIsSaid(t *testing.T) {
	const critical, high, medium, low = predicate.SeverityCritical, predicate.SeverityHigh, predicate.SeverityMedium, predicate.SeverityLow
	for _, c := range []struct {
		rule, result string
		want         predicate.Severity
		rated        bool
	}{
		{`{"id":"r","properties":{"security-severity":"9.0"}}`, `"ruleId":"r"`, critical, true},
		{`{"id":"r","properties":{"security-severity":7.0}}`, `"ruleId":"r"`, high, true},
		{`{"id":"r","properties":{"security-severity":"4.0"}}`, `"ruleId":"r"`, medium, true},
		{`{"id":"r","properties":{"security-severity":"3.9"}}`, `"ruleId":"r"`, low, true},
		{`{"id":"r","properties":{"security-severity":"3.9"}}`, `"ruleId":"r","level":"error"`, high, true},
		{`{"id":"r","properties":{"security-severity":"3.9"}}`, `"ruleId":"r","level":"warning"`, medium, true},
		{`{"id":"r","properties":{"security-severity":"9.9","tags":["LOW"]}}`, `"ruleId":"r","level":"note"`, critical, true},
		{`{"id":"r","properties":{"security-severity":"0.0","tags":["LOW"]}}`, `"ruleId":"r","level":"note"`, low, true},
		{`{"id":"r","properties":{"security-severity":"0.0"}}`, `"ruleId":"r","level":"note"`, critical, false},
		{`{"id":"r","properties":{"security-severity":"low","tags":["LOW"]}}`, `"ruleId":"r","level":"note"`, critical, false},
		{`{"id":"r","properties":{"security-severity":"-1"}}`, `"ruleId":"r"`, critical, false},
		{`{"id":"r","properties":{"security-severity":"NaN"}}`, `"ruleId":"r"`, critical, false},
		{`{"id":"r","properties":{"security-severity":"11"}}`, `"ruleId":"r"`, critical, false},
		{`{"id":"r","properties":{"tags":["unknown"]}}`, `"ruleId":"r","level":"note"`, critical, false},
		{`{"id":"r","defaultConfiguration":{"level":"note"}}`, `"ruleId":"r"`, low, true},
		{`{"id":"r","defaultConfiguration":{"level":"note"}}`, `"ruleId":"r","level":"error"`, critical, true},
		{`{"id":"r"}`, `"ruleId":"r","level":"warning"`, medium, true},
		{`{"id":"r"}`, `"ruleId":"r"`, critical, false},
		{`{"id":"r"}`, `"ruleId":"r","level":"none"`, critical, false},
		{`{"id":"r"}`, `"ruleId":"r","level":"Note"`, critical, false},
		{``, `"ruleId":"r","level":"note"`, low, true},
		{`{"id":"a"},{"id":"r","properties":{"security-severity":"3"}}`, `"ruleIndex":1`, low, true},
		{`{"id":"a","properties":{"security-severity":"3"}},{"id":"r","properties":{"security-severity":"8"}}`, `"ruleId":"r","ruleIndex":0`, high, true},
		{`{"id":"r","properties":{"security-severity":"3"}},{"id":"r","properties":{"security-severity":"8"}}`, `"ruleId":"r","ruleIndex":0`, high, true},
		{`{"id":"r","properties":{"security-severity":"3"}}`, `"ruleId":"r/sub/1"`, low, true},
		{`{"id":"r","properties":{"security-severity":"3"}}`, `"rule":{"id":"r"}`, low, true},
		{`{"id":"r","properties":{"security-severity":"3"}}`, `"ruleId":"r","properties":{"security-severity":"8"}`, high, true},
	} {
		r, err := scan.Read(sarif(c.rule, "{"+c.result+"}"), scan.Options{})
		if err != nil {
			t.Errorf("%s %s: %v", c.rule, c.result, err)
			continue
		}
		if f := r.Findings[0]; f.Severity != c.want || f.Rated != c.rated {
			t.Errorf("%s %s: %s, rated %v (%s %q); want %s, %v", c.rule, c.result, f.Severity, f.Rated, f.Method, f.Original, c.want, c.rated)
		}
	}
}

func TestResultsInSARIFThatReportNoProblem(t *testing.T) {
	for result, want := range map[string]int{
		`"ruleId":"r","kind":"pass"`:                            0,
		`"ruleId":"r","kind":"notApplicable","level":"none"`:    0,
		`"ruleId":"r","baselineState":"absent"`:                 0,
		`"ruleId":"r","kind":"pass","level":"error"`:            1,
		`"ruleId":"r","kind":"open"`:                            1,
		`"ruleId":"r","kind":"Pass"`:                            1,
		`"ruleId":"r","suppressions":[{"kind":"inSource"}]`:     1,
		`"ruleId":"r","baselineState":"unchanged","level":null`: 1,
	} {
		r, err := scan.Read(sarif(`{"id":"r"}`, "{"+result+"}"), scan.Options{})
		if err != nil || len(r.Findings) != want {
			t.Errorf("%s: %v, want %d findings", result, err, want)
		}
	}
}

func TestAScanOfSeveralInvocationsLastsFromTheFirstToTheLast(t *testing.T) {
	const early, late = `{"startTimeUtc":"2026-11-20T10:00:00Z","endTimeUtc":"2026-11-20T11:00:00Z"}`, `{"startTimeUtc":"2026-11-20T12:00:00Z","endTimeUtc":"2026-11-20T13:00:00Z"}`
	for _, invocations := range []string{early + "," + late, late + "," + early, early + ",{}," + late} {
		r, err := scan.Read([]byte(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"invocations":[`+invocations+`],"results":[]}]}`), scan.Options{})
		if err != nil || text(r.StartedOn) != "2026-11-20T10:00:00Z" || text(r.FinishedOn) != "2026-11-20T13:00:00Z" {
			t.Errorf("%s: %+v, %v", invocations, r, err)
		}
	}
}

// Whatever stands in a URL's query or before its host is not repeated, also where
// it cannot be taken apart.
func TestAReportRepeatsNoCredentialsOfItsTarget(t *testing.T) {
	for target, want := range map[string]string{
		"https://u:hunter2@git.example/app?token=hunter2#hunter2": "https://git.example/app",
		"https://u:hunter2@git.example:port/app":                  "",
		"https://u:hunter2@[::1/app":                              "",
		"registry.example/team/app:v1":                            "registry.example/team/app:v1",
	} {
		r, err := scan.Read([]byte(`{"SchemaVersion":2,"ArtifactName":`+strconv.Quote(target)+`,"Results":[]}`), scan.Options{})
		if err != nil || r.Target.Name != want {
			t.Errorf("%s: %+v, %v; want %q", target, r, err, want)
		}
	}
}

func TestRulesOfSARIFExtensions(t *testing.T) {
	file := `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"},"extensions":[{"name":"y","rules":[{"id":"r","properties":{"security-severity":"2"}}]}]},"results":[{"ruleId":"r"}]}]}`
	r, err := scan.Read([]byte(file), scan.Options{})
	if err != nil || r.Findings[0].Severity != predicate.SeverityLow {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestScannerOutputThatCannotBeReliedOnIsRefused(t *testing.T) {
	trivy, grype := string(scanFile(t, "trivy.json")), string(scanFile(t, "grype6.json"))
	replaced := func(in, old, text string) string {
		if !strings.Contains(in, old) {
			t.Fatalf("no %s to replace", old)
		}
		return strings.Replace(in, old, text, 1)
	}
	run := func(more string) string {
		return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[],` + more + `}]}`
	}
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"no JSON":                                {"# Trivy", strictjson.ErrSyntax},
		"empty":                                  {"", strictjson.ErrSyntax},
		"truncated":                              {trivy[:len(trivy)/2], strictjson.ErrSyntax},
		"two documents":                          {trivy + trivy, strictjson.ErrSyntax},
		"a key twice":                            {replaced(trivy, `"Severity": "MEDIUM"`, `"Severity": "MEDIUM", "Severity": "LOW"`), strictjson.ErrSyntax},
		"a key in another case":                  {replaced(trivy, `"Severity": "MEDIUM"`, `"Severity": "MEDIUM", "severity": "LOW"`), strictjson.ErrSyntax},
		"the findings twice":                     {replaced(grype, `"matches"`, `"matches": [], "matches"`), strictjson.ErrSyntax},
		"an SBOM":                                {`{"bomFormat":"CycloneDX","specVersion":"1.6"}`, scan.ErrFormat},
		"an object":                              {`{}`, scan.ErrFormat},
		"a number":                               {`7`, scan.ErrFormat},
		"two formats at once":                    {replaced(trivy, `"ReportID"`, `"matches":[],"descriptor":{"name":"grype"},"ReportID"`), scan.ErrFormat},
		"Trivy 3":                                {replaced(trivy, `"SchemaVersion": 2`, `"SchemaVersion": 3`), scan.ErrVersion},
		"Trivy two":                              {replaced(trivy, `"SchemaVersion": 2`, `"SchemaVersion": "2"`), scan.ErrVersion},
		"Trivy 1":                                {`[{"Target":"x","Vulnerabilities":null}]`, scan.ErrVersion},
		"Trivy of nothing":                       {`{"SchemaVersion":2}`, scan.ErrInvalid},
		"Trivy without ID":                       {replaced(trivy, `"VulnerabilityID": "CVE-2026-10001",`, ``), scan.ErrInvalid},
		"Trivy: results are no list":             {`{"SchemaVersion":2,"ArtifactName":"x","Results":{}}`, scan.ErrInvalid},
		"Trivy: a result is no object":           {`{"SchemaVersion":2,"ArtifactName":"x","Results":["y"]}`, scan.ErrInvalid},
		"Trivy: vulnerabilities no list":         {`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Vulnerabilities":{}}]}`, scan.ErrInvalid},
		"Trivy: a vulnerability no object":       {`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Vulnerabilities":["CVE"]}]}`, scan.ErrInvalid},
		"Trivy: a severity that is none":         {replaced(trivy, `"Severity": "MEDIUM"`, `"Severity": 2`), scan.ErrInvalid},
		"Trivy: no time":                         {replaced(trivy, `2026-11-20T12:20:30`, `yesterday`), scan.ErrInvalid},
		"Grype 1":                                {replaced(grype, `"0.104.0"`, `"1.0.0"`), scan.ErrVersion},
		"Grype v2":                               {replaced(grype, `"0.104.0"`, `"v2"`), scan.ErrVersion},
		"not by Grype":                           {replaced(grype, `"name": "grype"`, `"name": "gripe"`), scan.ErrFormat},
		"Grype: no list":                         {replaced(grype, `"matches": [`, `"matches": null, "x": [`), scan.ErrInvalid},
		"Grype: invalid database":                {replaced(grype, `"valid": true`, `"valid": false`), scan.ErrInvalid},
		"Grype: database error":                  {replaced(string(scanFile(t, "grype5.json")), `"error": null`, `"error": "outdated"`), scan.ErrInvalid},
		"Grype: no ID":                           {replaced(grype, `"id": "CVE-2026-10001",`, ``), scan.ErrInvalid},
		"Trivy: a head of another form":          {replaced(trivy, `"ArtifactName": "`, `"ArtifactName": 5, "x": "`), scan.ErrInvalid},
		"Trivy: metadata are no object":          {`{"SchemaVersion":2,"ArtifactName":"x","Metadata":[],"Results":[]}`, scan.ErrInvalid},
		"Trivy: what is modified no list":        {`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"ExperimentalModifiedFindings":{}}]}`, scan.ErrInvalid},
		"Trivy: a modified one no object":        {`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"ExperimentalModifiedFindings":[7]}]}`, scan.ErrInvalid},
		"Grype: no descriptor":                   {`{"matches":[],"descriptor":"grype"}`, scan.ErrInvalid},
		"Grype: no time":                         {`{"matches":[],"descriptor":{"name":"grype","timestamp":"yesterday"}}`, scan.ErrInvalid},
		"Grype: source no object":                {`{"matches":[],"source":7,"descriptor":{"name":"grype"}}`, scan.ErrInvalid},
		"Grype: target of another form":          {`{"matches":[],"source":{"type":"image","target":7},"descriptor":{"name":"grype"}}`, scan.ErrInvalid},
		"Grype: a match no object":               {`{"matches":["CVE"],"descriptor":{"name":"grype"}}`, scan.ErrInvalid},
		"Grype: what is ignored no list":         {`{"matches":[],"ignoredMatches":{},"descriptor":{"name":"grype"}}`, scan.ErrInvalid},
		"SARIF: a tool no object":                {`{"version":"2.1.0","runs":[{"tool":{"driver":"x"},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: properties no object":            {run(`"properties":7`), scan.ErrInvalid},
		"SARIF: invocations no list":             {run(`"invocations":{}`), scan.ErrInvalid},
		"SARIF: an invocation no object":         {run(`"invocations":[7]`), scan.ErrInvalid},
		"SARIF: no time of the start":            {run(`"invocations":[{"startTimeUtc":"yesterday"}]`), scan.ErrInvalid},
		"SARIF: no time of the end":              {run(`"invocations":[{"endTimeUtc":"yesterday"}]`), scan.ErrInvalid},
		"SARIF: a result no object":              {string(sarif(``, `7`)), scan.ErrInvalid},
		"SARIF: a rule no object":                {string(sarif(`7`, ``)), scan.ErrInvalid},
		"SARIF: rules no list":                   {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":{}}},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: extensions no list":              {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"},"extensions":{}},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: rules of one no list":            {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"},"extensions":[{"rules":7}]},"results":[]}]}`, scan.ErrInvalid},
		"SARIF 2.0.0":                            {`{"version":"2.0.0","runs":[]}`, scan.ErrVersion},
		"SARIF without runs":                     {`{"version":"2.1.0","runs":[]}`, scan.ErrInvalid},
		"SARIF: a run without a tool":            {`{"version":"2.1.0","runs":[{"results":[]}]}`, scan.ErrInvalid},
		"SARIF: no results":                      {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}}}]}`, scan.ErrInvalid},
		"SARIF: results null":                    {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":null}]}`, scan.ErrInvalid},
		"SARIF: failed":                          {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"invocations":[{"executionSuccessful":false}],"results":[]}]}`, scan.ErrInvalid},
		"SARIF: two tools":                       {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[]},{"tool":{"driver":{"name":"y"}},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: no ID":                           {string(sarif(``, `{"level":"note"}`)), scan.ErrInvalid},
		"Trivy: Results in another case":         {`{"SchemaVersion":2,"ArtifactName":"a","results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-1","Severity":"CRITICAL"}]}]}`, scan.ErrInvalid},
		"Trivy: Vulnerabilities in another case": {`{"SchemaVersion":2,"ArtifactName":"a","Results":[{"vulnerabilities":[{"VulnerabilityID":"CVE-1","Severity":"CRITICAL"}]}]}`, scan.ErrInvalid},
		"Trivy: a finding's ID in another case":  {`{"SchemaVersion":2,"ArtifactName":"a","Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-1","severity":"CRITICAL"}]}]}`, scan.ErrInvalid},
		"Trivy: a modified finding of nothing":   {`{"SchemaVersion":2,"ArtifactName":"a","Results":[{"ExperimentalModifiedFindings":[{"Type":"vulnerability"}]}]}`, scan.ErrInvalid},
		"Grype: ignoredMatches in another case":  {`{"descriptor":{"name":"grype"},"source":{},"matches":[],"IgnoredMatches":[]}`, scan.ErrInvalid},
		"SARIF: results in a file":               {sarifRun("", `"results":[],"externalPropertyFileReferences":{"results":[{"location":{"uri":"r.json"},"itemCount":5}]}`), scan.ErrInvalid},
		"SARIF: results in the log":              {`{"version":"2.1.0","inlineExternalProperties":[{"results":[{"ruleId":"CVE-1","level":"error"}]}],"runs":[{"tool":{"driver":{"name":"t"}},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: the same in another case":        {`{"version":"2.1.0","InlineExternalProperties":[{}],"runs":[{"tool":{"driver":{"name":"t"}},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: Invocations in another case":     {sarifRun("", `"results":[],"Invocations":[{"executionSuccessful":false}]`), scan.ErrInvalid},
		"SARIF: Rules in another case":           {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","Rules":[]}},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: Driver in another case":          {`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"},"Extensions":[]},"results":[]}]}`, scan.ErrInvalid},
		"SARIF: level of a rule without a name":  {sarifRun("", `"results":[],"invocations":[{"ruleConfigurationOverrides":[{"descriptor":{"index":3},"configuration":{"level":"error"}}]}]`), scan.ErrInvalid},
	} {
		r, err := scan.Read([]byte(c.file), scan.Options{})
		if r != nil || !errors.Is(err, scan.ErrInvalid) || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAFormatThatWasAskedForIsTheOnlyOne(t *testing.T) {
	for _, name := range []string{"trivy.json", "grype6.json", "trivy.sarif"} {
		for _, format := range []scan.Format{scan.Trivy, scan.Grype, scan.SARIF} {
			r, err := scan.Read(scanFile(t, name), scan.Options{Format: format})
			if match := readScanFile(t, name).Format == format; match != (err == nil) || err != nil && !errors.Is(err, scan.ErrFormat) {
				t.Errorf("%s as %s: %v, %v", name, format, r, err)
			}
		}
	}
	if _, err := scan.Read(scanFile(t, "trivy.json"), scan.Options{Format: "snyk"}); !errors.Is(err, scan.ErrFormat) {
		t.Errorf("an unknown format: %v", err)
	}
}

func TestVersionErrorsSayWhatIsKnown(t *testing.T) {
	_, err := scan.Read([]byte(`{"SchemaVersion":9,"ArtifactName":"x"}`), scan.Options{})
	if err == nil || !strings.Contains(err.Error(), "9") || !strings.Contains(err.Error(), "want 2") {
		t.Errorf("%v", err)
	}
}

// manyFindings is Trivy's output with n findings.
func manyFindings(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Target":"y","Vulnerabilities":[{"VulnerabilityID":"CVE-0"}`)
	for range n - 1 {
		b.WriteString(`,{"VulnerabilityID":"CVE-1","Severity":"LOW"}`)
	}
	b.WriteString(`]}]}`)
	return b.Bytes()
}

func TestScannerOutputIsBounded(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	if testing.Short() {
		t.Skip("parses many findings: not with -short")
	}
	if _, err := scan.Read(make([]byte, scan.MaxSize+1), scan.Options{}); !errors.Is(err, scan.ErrTooLarge) {
		t.Errorf("a file past the limit: %v", err)
	}
	if _, err := scan.Read(manyFindings(scan.MaxFindings+1), scan.Options{}); !errors.Is(err, scan.ErrTooLarge) {
		t.Errorf("findings past the limit: %v", err)
	}
	r, err := scan.Read(manyFindings(scan.MaxFindings), scan.Options{})
	if err != nil || r.Counts().Low != scan.MaxFindings-1 {
		t.Errorf("findings at the limit: %v", err)
	}
}

func FuzzReadScan(f *testing.F) {
	f.Add(scanFile(f, "trivy.json"))
	f.Add(scanFile(f, "grype5.json"))
	f.Add(scanFile(f, "grype6.json"))
	f.Add(scanFile(f, "trivy.sarif"))
	f.Add(scanFile(f, "grype.sarif"))
	f.Add(sarif(`{"id":"r","properties":{"security-severity":3}}`, `{"ruleIndex":-1},{"ruleId":"/","ruleIndex":9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := scan.Read(data, scan.Options{})
		if err != nil {
			if r != nil || !errors.Is(err, scan.ErrInvalid) && !errors.Is(err, scan.ErrTooLarge) {
				t.Fatalf("%v, %v", r, err)
			}
			return
		}
		c := r.Counts()
		if c.Total() != len(r.Findings) || c.Unknown > c.Critical {
			t.Fatalf("counts %+v of %d findings", c, len(r.Findings))
		}
		for _, finding := range r.Findings {
			if finding.ID == "" || !finding.Rated && finding.Severity != predicate.SeverityCritical {
				t.Fatalf("%+v", finding)
			}
		}
		for _, d := range r.Target.Digests {
			// A digest in the name and a type that is no image's weigh more.
			about, known := r.About(d)
			decided := r.Target.Type != "" || strings.Contains(r.Target.Name, "@")
			if !known || !about && !decided || len(d) != len(otherDigest) {
				t.Fatalf("digest %q", d)
			}
		}
	})
}

func TestReadScanForFindingsOnly(t *testing.T) {
	for format, text := range map[string]string{
		"trivy": `{"SchemaVersion":2,"ArtifactName":"a","Trivy":7,"Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-1","Severity":"LOW","PkgName":7,"DataSource":[]}]}]}`,
		"grype": `{"matches":[{"vulnerability":{"id":"CVE-1","severity":"Low","fix":7},"artifact":[]}],"descriptor":{"name":"grype","version":"0.99.0","db":{"built":7}}}`,
		"sarif": `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","version":7}},"results":[{"ruleId":"CVE-1","level":"note"}]}]}`,
	} {
		if _, err := scan.Read([]byte(text), scan.Options{}); !errors.Is(err, scan.ErrInvalid) {
			t.Errorf("%s, all of it: %v", format, err)
		}
		r, err := scan.Read([]byte(text), scan.Options{FindingsOnly: true})
		if err != nil || len(r.Findings) != 1 || r.Findings[0].ID != "CVE-1" || r.Findings[0].Severity != predicate.SeverityLow {
			t.Errorf("%s: %+v, %v", format, r, err)
		}
	}
}

func TestReadScanForFindingsOnly_KeepsTimesThatItCannotRead(t *testing.T) {
	for label, text := range map[string]string{
		"trivy":          `{"SchemaVersion":2,"ArtifactName":"a","CreatedAt":7,"Results":[]}`,
		"grype":          `{"matches":[],"descriptor":{"name":"grype","version":"0.99.0","timestamp":"yesterday"}}`,
		"sarif":          `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"invocations":[{"endTimeUtc":[]}],"results":[]}]}`,
		"sarif, ordered": `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"invocations":[{"startTimeUtc":"2026-02-01T00:00:00Z","endTimeUtc":"2026-01-01T00:00:00Z"}],"results":[]}]}`,
	} {
		if _, err := scan.Read([]byte(text), scan.Options{}); !errors.Is(err, scan.ErrInvalid) {
			t.Errorf("%s, all of it: %v", label, err)
		}
		if r, err := scan.Read([]byte(text), scan.Options{FindingsOnly: true}); err != nil || !errors.Is(r.UnreadTimes, scan.ErrInvalid) {
			t.Errorf("%s: %+v, %v", label, r, err)
		}
	}
	for label, text := range map[string]string{
		"trivy": `{"SchemaVersion":2,"ArtifactName":"a","createdAt":7,"Results":[]}`,
		"grype": `{"matches":[],"descriptor":{"name":"grype","version":"0.99.0","Timestamp":"yesterday"}}`,
		"sarif": `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"invocations":[{"EndTimeUtc":"2026-01-01T00:00:00Z"}],"results":[]}]}`,
	} {
		if _, err := scan.Read([]byte(text), scan.Options{FindingsOnly: true}); !errors.Is(err, scan.ErrInvalid) {
			t.Errorf("%s, a time in another case: %v", label, err)
		}
	}
}
