package scan_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
	"github.com/hallmark-oci/hallmark/internal/dev/processor"
)

// sarifRun is a log of one run with rules, and more members of the run.
func sarifRun(rules, run string) string {
	return `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[` + rules + `]}},` + run + `}]}`
}

func TestAttack_E6_SARIFIsReadInBoundedTime(t *testing.T) {
	var rules strings.Builder // more than eight, which makes the map hash
	for i := range 20 {
		fmt.Fprintf(&rules, `,{"id":"r%d"}`, i)
	}
	for name, report := range map[string]string{
		"one ID":         sarifRun(manyOf(`{"id":"a"}`, 8000), `"results":[`+manyOf(`{"ruleId":"a"}`, 8000)+`]`),
		"slashes":        sarifRun(rules.String()[1:], `"results":[{"ruleId":"a`+strings.Repeat("/", 400_000)+`"}]`),
		"slashes, inner": sarifRun(rules.String()[1:], `"results":[{"rule":{"id":"a`+strings.Repeat("/", 400_000)+`"}}]`),
		"ID of a rule":   sarifRun(`{"id":"`+strings.Repeat("a", 1025)+`"}`, `"results":[]`),
	} {
		start := processor.Time()
		_, err := scan.Read([]byte(report), scan.Options{})
		if !errors.Is(err, scan.ErrInvalid) || processor.Time()-start > 2*time.Second {
			t.Errorf("%s: %v after %v for %d kB, want ErrScan at once", name, err, processor.Time()-start, len(report)/1000)
		}
	}
}

func TestSARIFRulesUpToTheBoundsAreFound(t *testing.T) {
	note := `"defaultConfiguration":{"level":"note"}`
	for name, c := range map[string]struct {
		report string
		want   predicate.Severity
	}{
		"16 rules of one ID": {sarifRun(manyOf(`{"id":"a",`+note+`}`, 15)+`,{"id":"a","defaultConfiguration":{"level":"warning"}}`, `"results":[{"ruleId":"a"}]`), predicate.SeverityMedium},
		"longest ID":         {sarifRun(`{"id":"`+strings.Repeat("a", 1024)+`",`+note+`}`, `"results":[{"ruleId":"`+strings.Repeat("a", 1024)+`"}]`), predicate.SeverityLow},
		"8 levels below":     {sarifRun(`{"id":"a",`+note+`}`, `"results":[{"ruleId":"a/1/2/3/4/5/6/7/8"}]`), predicate.SeverityLow},
		"9 levels below":     {sarifRun(`{"id":"a",`+note+`}`, `"results":[{"ruleId":"a/1/2/3/4/5/6/7/8/9"}]`), predicate.SeverityCritical},
	} {
		r, err := scan.Read([]byte(c.report), scan.Options{})
		if err != nil || len(r.Findings) != 1 || r.Findings[0].Severity != c.want {
			t.Errorf("%s: %v, %v; want one finding that is %s", name, r, err, c.want)
		}
	}
}

func manyOf(one string, n int) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }

func TestAttack_E15_TheWorstLevelThatARunGivesARuleCounts(t *testing.T) {
	const rules = `{"id":"a","defaultConfiguration":{"level":"note"}},{"id":"b","defaultConfiguration":{"level":"warning"}}`
	override := func(descriptor, level string) string {
		return `{"descriptor":{` + descriptor + `},"configuration":{"level":"` + level + `"}}`
	}
	for name, c := range map[string]struct {
		overrides string
		want      predicate.Severity
		rated     bool
	}{
		"none":               {``, predicate.SeverityLow, true},
		"worse":              {override(`"id":"a"`, "warning"), predicate.SeverityMedium, true},
		"worst":              {override(`"id":"a"`, "error"), predicate.SeverityCritical, true},
		"by index":           {override(`"index":0`, "error"), predicate.SeverityCritical, true},
		"better":             {override(`"id":"a"`, "none"), predicate.SeverityLow, true},
		"of several":         {override(`"id":"a"`, "error") + "," + override(`"id":"a"`, "note"), predicate.SeverityCritical, true},
		"unknown":            {override(`"id":"a"`, "Error"), predicate.SeverityCritical, false},
		"of another rule":    {override(`"id":"b"`, "error"), predicate.SeverityLow, true},
		"of another's index": {override(`"index":1`, "error"), predicate.SeverityLow, true},
	} {
		r, err := scan.Read([]byte(sarifRun(rules, `"invocations":[{"ruleConfigurationOverrides":[`+c.overrides+`]}],"results":[{"ruleId":"a/1"}]`)), scan.Options{})
		if err != nil || len(r.Findings) != 1 || r.Findings[0].Severity != c.want || r.Findings[0].Rated != c.rated {
			t.Errorf("%s: %+v, %v; want %s, rated %v", name, r, err, c.want, c.rated)
		}
	}
}

func TestSARIFWithEmptyListsOfWhatIsElsewhereIsRead(t *testing.T) {
	file := `{"version":"2.1.0","inlineExternalProperties":[],"runs":[{"tool":{"driver":{"name":"t"}},"externalPropertyFileReferences":null,"results":[]}]}`
	if _, err := scan.Read([]byte(file), scan.Options{}); err != nil {
		t.Error(err)
	}
}
