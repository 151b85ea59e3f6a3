package predicate_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
)

func summary(t *testing.T, typ string, data []byte) string {
	t.Helper()
	lines, err := predicate.Summarize(typ, data, scan.Count)
	if err != nil {
		t.Error(err)
	}
	return shown(lines)
}

func shown(lines []predicate.SummaryLine) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Name + ": " + l.Value + "\n")
	}
	return b.String()
}

func TestSummaries(t *testing.T) {
	for _, s := range samples() {
		want, err := os.ReadFile(filepath.Join("testdata", "predicates", s.file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(t, s.typ, read(t, s.file)); got != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", s.file, got, want)
		}
	}
	other := bytes.Replace(read(t, "vuln"), []byte("SchemaVersion"), []byte("OtherVersion"), 1)
	if got := summary(t, "vuln", other); !strings.Contains(got, "findings: not counted") {
		t.Errorf("a report of a scanner that is not known:\n%s", got)
	}
	if got := summary(t, "https://example.com/own/v1", []byte(`{"a":1,"b":{"c":2}}`)); got != "fields: 2\n" {
		t.Errorf("a type of one's own:\n%s", got)
	}
}

// Most members matter to nobody who verifies. A summary leaves out what it cannot read,
// and gives no alarm.
func TestSummariesOfWhatIsNotValidShowWhatIsThere(t *testing.T) {
	for _, c := range []struct{ typ, text, want string }{
		{"slsaprovenance", `{"builder":{"id":""},"buildType":"https://mobyproject.org/buildkit@v1","materials":[{"uri":"https://git.example/app.git#main","digest":{"sha1":"` + strings.Repeat("0a", 20) + `"}}],"metadata":{"buildInvocationID":"x1"}}`,
			"build type: https://mobyproject.org/buildkit@v1\ninvocation: x1\ndependencies: 1\n"},
		{"slsaprovenance1", `{"buildDefinition":{"resolvedDependencies":[{"uri":"git+https://git.example/app@main","digest":{"gitCommit":"` + strings.Repeat("0a", 20) + `"}},{"uri":"git+https://git.example/b"}]}}`,
			"source: git+https://git.example/app@main\ncommit: " + strings.Repeat("0a", 20) + "\nsource: git+https://git.example/b\ndependencies: 2\n"},
		{"vsa", `{"verificationResult":"MAYBE"}`, "result: MAYBE\n"},
		{"spdx", `{"spdxVersion":"SPDX-2.3","name":"app","packages":[{},{}]}`, "format: SPDX 2.3\nname: app\npackages: 2\n"},
		{"cyclonedx", `{"bomFormat":"CycloneDX","components":7}`, "format: CycloneDX\ncomponents: 0\n"},
		{"openvex", `{"statements":[{"status":"fixed"},{"status":"odd"},7]}`, "statements: 1: 1 fixed\n"},
		{"vulns", `{"scanner":{"uri":"x","result":[{"id":""}]}}`, "scanner: x\nfindings: 1: 1 of unknown severity\n"},
		{"link", `{"name":"build","materials":[]}`, "step: build\nmaterials: 0\nproducts: 0\n"},
		{"release", `{"purl":"app"}`, "purl: app\n"},
		{"testresult", `{}`, "tests: 0\n"},
		{"custom", `{}`, ""},
		{"slsaprovenance1", `{"buildDefinition":[],"runDetails":{"builder":{"id":"b","version":7},"metadata":{"invocationId":7,"startedOn":"","finishedOn":"2026-01-01T00:00:00Z"},"byproducts":7}}`, "builder: b\nfinished: 2026-01-01T00:00:00Z\ndependencies: 0\n"},
		{"slsaprovenance", `{"buildType":"x","invocation":{"configSource":{"uri":"https://g.example/a","digest":{"sha256":"` + strings.Repeat("0a", 20) + `","x":1e400}}},"materials":[7,{"uri":8}]}`,
			"build type: x\nsource: https://g.example/a\ncommit: " + strings.Repeat("0a", 20) + "\ndependencies: 2\n"},
		{"vuln", `{"invocation":7,"scanner":{"uri":"x","version":{},"db":[]},"metadata":7}`, "scanner: x\n"},
		{"vulns", `{"scanner":{"uri":"x","result":[7,{"id":"a","severity":[{"method":"nvd","score":"low"}]}]}}`, "scanner: x\nfindings: 2: 1 of unknown severity, 1 low\n"},
		{"spdx", `{"Data":"{\"spdxVersion\":\"SPDX-2.3\",\"name\":\"app\"}","Timestamp":""}`, "format: SPDX 2.3\nname: app\npackages: 0\n"},
		{"cyclonedx", `{"Data":{"specVersion":"1.4","components":[7]}}`, "format: CycloneDX 1.4\ncomponents: 1\n"},
	} {
		lines, err := predicate.Summarize(c.typ, []byte(c.text), scan.Count)
		if got := shown(lines); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.typ, got, c.want)
		}
		if err != nil {
			t.Errorf("%s: %v", c.typ, err)
		}
	}
	for typ, text := range map[string]string{
		"spdx": `{"bomFormat":"CycloneDX","name":"app"}`, "slsaprovenance1": `{"buildType":"x","runDetails":{"builder":{"id":"b"}}}`, "vsa": `{"payloadType":"x","payload":"","verifier":{"id":"v"}}`,
	} {
		lines, err := predicate.Summarize(typ, []byte(text), scan.Count)
		if len(lines) == 0 || !errors.Is(err, predicate.ErrInvalid) || !strings.Contains(err.Error(), "looks like") {
			t.Errorf("%s of another type: %v, %v", typ, lines, err)
		}
	}
	for typ, text := range map[string]string{"vsa": "[]", "spdx": "", "https://example.com/own/v1": "1"} {
		if lines, err := predicate.Summarize(typ, []byte(text), scan.Count); !errors.Is(err, predicate.ErrInvalid) || len(lines) > 0 {
			t.Errorf("%s: %v, %v", typ, lines, err)
		}
	}
	if _, err := predicate.Summarize("nonsense", []byte("{}"), scan.Count); !errors.Is(err, predicate.ErrType) {
		t.Errorf("unknown type: %v", err)
	}
}

func TestSummariesHoldNothingThatATerminalObeys(t *testing.T) {
	for typ, text := range map[string]string{
		"slsaprovenance1": `{"runDetails":{"builder":{"id":"x\u001b[2J\nbuilder: y"}},"buildDefinition":{"buildType":"` + strings.Repeat("é", 100_000) + `"}}`,
		"link":            `{"_type":"link","name":"\u202ename\u0000","command":["\u001b[2J","` + strings.Repeat("x", 100_000) + `"]}`,
		"cyclonedx":       `{"bomFormat":"CycloneDX","specVersion":"1.6\r","metadata":{"component":{"name":"` + strings.Repeat("n", 100_000) + `"}}}`,
	} {
		lines, _ := predicate.Summarize(typ, []byte(text), scan.Count)
		if len(lines) < 2 {
			t.Errorf("%s: too little is shown: %v", typ, lines)
		}
		for _, l := range lines {
			if len(l.Value) > 500 || !utf8.ValidString(l.Value) || strings.ContainsAny(l.Value, "\x00\x1b\r\n\u202e") {
				t.Errorf("%s: %s is %d bytes: %.100q", typ, l.Name, len(l.Value), l.Value)
			}
		}
	}
}

func TestAttack_E15_SeveritiesSpeltOtherwiseAreNotTakenLightly(t *testing.T) {
	for score, want := range map[string]predicate.Severity{
		"low": predicate.SeverityLow, "LOW": predicate.SeverityLow, "none": predicate.SeverityNegligible, "Moderate": predicate.SeverityMedium,
		"lоw": predicate.SeverityCritical, // a Cyrillic letter
		"":    predicate.SeverityCritical, "unknown": predicate.SeverityCritical, "low ": predicate.SeverityCritical, "-1": predicate.SeverityCritical,
		"0x1p-2": predicate.SeverityCritical, "NaN": predicate.SeverityCritical, "1e-9999": predicate.SeverityCritical, "11": predicate.SeverityCritical, "9.0": predicate.SeverityCritical,
		"6.9": predicate.SeverityMedium,
	} {
		f := predicate.VulnsFinding{ID: "x", Ratings: []predicate.VulnsRating{{Method: "CVSS_v3", Score: score}}}
		if got, _ := f.Severity(); got != want {
			t.Errorf("%q is %s, want %s", score, got, want)
		}
	}
	for _, r := range []predicate.VulnsRating{{Method: "epss", Score: "0.1"}, {Method: "cvss", Score: "11"}, {Method: "nvd", Score: "unknown"}} {
		f := predicate.VulnsFinding{Ratings: []predicate.VulnsRating{r}}
		if s, known := f.Severity(); s != predicate.SeverityCritical || known {
			t.Errorf("%+v is %s, known: %v", r, s, known)
		}
	}
	worst := predicate.VulnsFinding{Ratings: []predicate.VulnsRating{{Method: "a", Score: "low"}, {Method: "b", Score: "high"}, {Method: "c", Score: "medium"}}}
	if s, known := worst.Severity(); s != predicate.SeverityHigh || !known {
		t.Errorf("the worst of three ratings is %s", s)
	}
}
