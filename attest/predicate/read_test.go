package predicate_test

import (
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
)

func TestReadPredicatePassesOverWhatIsNotNeeded(t *testing.T) {
	const provenance = `{"buildDefinition":{"buildType":"https://b.example","externalParameters":{},"resolvedDependencies":[{"uri":"git+https://g.example","name":7}]},"runDetails":{"builder":{"id":"https://ci.example"},"byproducts":7,"metadata":{"invocationID":[]}}}`
	all := []string{"buildDefinition.resolvedDependencies[].name", "runDetails.byproducts", "runDetails.metadata.invocationId"}
	d, err := predicate.Read("slsaprovenance1", []byte(provenance), all...)
	if err != nil {
		t.Fatal(err)
	}
	p := d.Value().(*predicate.Provenance)
	if p.RunDetails.Builder.ID != "https://ci.example" || len(p.BuildDefinition.ResolvedDependencies) != 1 || p.RunDetails.Byproducts != nil || string(d.RawPredicate()) != provenance {
		t.Errorf("%+v", p)
	}
	for i := range all {
		some := append(append([]string{}, all[:i]...), all[i+1:]...)
		if _, err := predicate.Read("slsaprovenance1", []byte(provenance), some...); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("without %s: %v", all[i], err)
		}
	}
	if _, err := predicate.Parse("slsaprovenance1", []byte(provenance)); !errors.Is(err, predicate.ErrInvalid) {
		t.Errorf("all of it: %v", err)
	}
	for text, passOver := range map[string][]string{
		`{"result":"PASSED"}`:                           {"configuration"}, // it is required
		`{"Result":"PASSED","configuration":[]}`:        nil,
		`{"result":"PASSED","Configuration":[]}`:        {"url"},
		`{"result":"PASSED","configuration":7}`:         {"configurations", "config"},
		`{"result":"PASSED","configuration":[{"x":1}]}`: {"configuration[].uri"},
	} {
		if _, err := predicate.Read("testresult", []byte(text), passOver...); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := predicate.Read("testresult", []byte(`{"result":"PASSED","configuration":[7],"URL":7}`), "configuration", "url"); err != nil {
		t.Error(err)
	}
}

// FuzzReadPredicate passes over every part of what Parse takes: then it is
// taken too, and says the same of the rest.
func FuzzReadPredicate(f *testing.F) {
	f.Add("testresult", "url", []byte(`{"result":"PASSED","configuration":[],"url":"https://t.example"}`))
	for _, path := range []string{"", "a", "runDetails", "scanner.result[].annotations", "metadata", "[]", "x[", "components"} {
		f.Add("slsaprovenance1", path, []byte(`{"buildDefinition":{"buildType":"https://b.example","externalParameters":{}},"runDetails":{"builder":{"id":"https://ci.example"}}}`))
		f.Add("cyclonedx", path, []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{},"components":[{}]}`))
		f.Add("vulns", path, []byte(`{"scanner":{"uri":"https://s.example","result":[{"id":"x","severity":[]}]},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`))
	}
	f.Fuzz(func(t *testing.T, kind, path string, data []byte) {
		strict, err := predicate.Read(kind, data)
		read, passed := predicate.Read(kind, data, path)
		if err == nil && (passed != nil || read.PredicateType() != strict.PredicateType()) {
			t.Errorf("%s without %q: %v", kind, path, passed)
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
