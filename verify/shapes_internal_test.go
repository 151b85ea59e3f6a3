package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// deniedCase is a statement that a requirement denies.
type deniedCase struct {
	uri, text string
	q         policy.AttestationRequirement
}

const shapedTime = "2026-11-22T12:00:00Z"

// deniedCases are documents of each format with conditions that deny them.
func deniedCases() map[string]deniedCase {
	scans := policy.ScanConditions{MaxSeverity: "low"}
	bills := policy.DocumentConditions{DenyPackages: []string{"pkg:npm/evil", "team/s"}, DenyLicenses: []string{"GPL-3.0-only"}}
	licenses := policy.DocumentConditions{DenyLicenses: bills.DenyLicenses}
	packages := policy.DocumentConditions{DenyPackages: bills.DenyPackages}
	builder := policy.ProvenanceConditions{Builder: []string{"https://ci.example/b"}}
	provenance := func(more policy.ProvenanceConditions) policy.AttestationRequirement {
		more.Builder = builder.Builder
		return policy.AttestationRequirement{Type: "slsaprovenance", ProvenanceConditions: more}
	}
	cosign := func(report string) string {
		return fmt.Sprintf(`{"invocation":{},"scanner":{"uri":"x","result":%s},"metadata":{"scanStartedOn":%[2]q,"scanFinishedOn":%[2]q}}`, report, shapedTime)
	}
	cdx := func(component string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"component":{"type":"container","name":"a"}},"components":[{"type":"library","name":"x",` + component + `}]}`
	}
	spdx := func(p string) string {
		return `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"app","documentNamespace":"https://sbom.example/app","creationInfo":{"creators":["Tool: t"],"created":"2026-03-01T10:05:00Z"},` + p + `}`
	}
	v1 := func(parameters, dependencies string) string {
		return `{"buildDefinition":{"buildType":"https://b.example","externalParameters":` + parameters + `,"resolvedDependencies":` + dependencies + `},"runDetails":{"builder":{"id":"https://ci.example/b"},"metadata":{"finishedOn":"` + shapedTime + `"}}}`
	}
	return map[string]deniedCase{
		"cyclonedx licence":    {predicate.TypeCycloneDX, cdx(`"licenses":[{"license":{"id":"GPL-3.0-only"}}]`), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: licenses}},
		"cyclonedx name":       {predicate.TypeCycloneDX, cdx(`"licenses":[{"license":{"name":"GPL-3.0-only"}}]`), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: licenses}},
		"cyclonedx expression": {predicate.TypeCycloneDX, cdx(`"licenses":[{"expression":"MIT AND GPL-3.0-only"}]`), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: licenses}},
		"cyclonedx evidence":   {predicate.TypeCycloneDX, cdx(`"evidence":{"licenses":[{"license":{"id":"GPL-3.0-only"}}]}`), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: licenses}},
		"cyclonedx nested":     {predicate.TypeCycloneDX, cdx(`"components":[{"name":"y","components":[{"name":"z","licenses":[{"license":{"id":"GPL-3.0-only"}}]}]}]`), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: bills}},
		"cyclonedx purl":       {predicate.TypeCycloneDX, cdx(`"purl":"pkg:npm/evil@1"`), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: packages}},
		"cyclonedx group":      {predicate.TypeCycloneDX, strings.Replace(cdx(`"version":"1"`), `"components":`, `"services":[{"group":"team","name":"s"}],"components":`, 1), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: packages}},
		"cyclonedx itself":     {predicate.TypeCycloneDX, strings.Replace(cdx(`"version":"1"`), `"name":"a"`, `"name":"a","purl":"pkg:npm/evil@1","licenses":[{"license":{"id":"GPL-3.0-only"}}]`, 1), policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: bills}},
		"spdx concluded":       {predicate.TypeSPDX, spdx(`"packages":[{"name":"x","licenseConcluded":"GPL-3.0-only"}]`), policy.AttestationRequirement{Type: "spdx", DocumentConditions: licenses}},
		"spdx from files":      {predicate.TypeSPDX, spdx(`"packages":[{"name":"x","licenseInfoFromFiles":["GPL-3.0-only"]}]`), policy.AttestationRequirement{Type: "spdx", DocumentConditions: licenses}},
		"spdx file":            {predicate.TypeSPDX, spdx(`"files":[{"fileName":"x","licenseInfoInFiles":["GPL-3.0-only"]}]`), policy.AttestationRequirement{Type: "spdx", DocumentConditions: licenses}},
		"spdx snippet":         {predicate.TypeSPDX, spdx(`"snippets":[{"name":"x","licenseInfoInSnippets":["GPL-3.0-only"]}]`), policy.AttestationRequirement{Type: "spdx", DocumentConditions: licenses}},
		"spdx extracted":       {predicate.TypeSPDX, spdx(`"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-1","name":"GPL-3.0-only"}]`), policy.AttestationRequirement{Type: "spdx", DocumentConditions: licenses}},
		"spdx purl":            {predicate.TypeSPDX, spdx(`"packages":[{"name":"x","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/evil@1"}]}]`), policy.AttestationRequirement{Type: "spdx", DocumentConditions: packages}},
		"vulns":                {predicate.TypeVulns, fmt.Sprintf(`{"scanner":{"uri":"https://s.example","result":[{"id":"CVE-1","severity":[{"method":"nvd","score":"high"}]}]},"metadata":{"scanStartedOn":%[1]q,"scanFinishedOn":%[1]q}}`, shapedTime), policy.AttestationRequirement{Type: "vulns", ScanConditions: scans}},
		"vulns v0.1":           {predicate.TypeVulns01, fmt.Sprintf(`{"scanner":{"uri":"https://s.example","result":[{"vulnerability":{"id":"CVE-1","severity":[{"method":"nvd","score":"high"}]}}]},"metadata":{"scanStartedOn":%[1]q,"scanFinishedOn":%[1]q}}`, shapedTime), policy.AttestationRequirement{Type: "vulns", ScanConditions: scans}},
		"vuln, Trivy":          {predicate.TypeCosignVuln, cosign(`{"SchemaVersion":2,"ArtifactName":"app","ArtifactType":"container_image","Results":[{"Target":"x","Vulnerabilities":[{"VulnerabilityID":"CVE-1","PkgName":"p","Severity":"HIGH"}]}]}`), policy.AttestationRequirement{Type: "vuln", ScanConditions: scans}},
		"vuln, Trivy, left out": {predicate.TypeCosignVuln, cosign(`{"SchemaVersion":2,"ArtifactName":"app","Results":[{"ExperimentalModifiedFindings":[{"Type":"vulnerability","Finding":{"VulnerabilityID":"CVE-1","Severity":"HIGH"}}]}]}`),
			policy.AttestationRequirement{Type: "vuln", ScanConditions: scans}},
		"vuln, Grype": {predicate.TypeCosignVuln, cosign(`{"matches":[{"vulnerability":{"id":"CVE-1","severity":"High","fix":{"versions":[]}},"artifact":{"name":"p"}}],"descriptor":{"name":"grype","version":"0.74.0"}}`),
			policy.AttestationRequirement{Type: "vuln", ScanConditions: scans}},
		"vuln, SARIF": {predicate.TypeCosignVuln, cosign(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":[{"id":"CVE-1","properties":{"security-severity":"9.8","tags":["HIGH"]}}]}},"results":[{"ruleId":"CVE-1","ruleIndex":0,"level":"error"}]}]}`),
			policy.AttestationRequirement{Type: "vuln", ScanConditions: scans}},
		"vsa": {predicate.TypeVSA, `{"verifier":{"id":"https://v.example"},"timeVerified":"` + shapedTime + `","resourceUri":"oci://registry.example/team/app","policy":{"uri":"https://p.example"},"verificationResult":"FAILED","verifiedLevels":["FAILED"]}`,
			policy.AttestationRequirement{Type: "vsa", VSAConditions: policy.VSAConditions{Verifier: []string{"https://v.example"}}}},
		"vsa, level": {predicate.TypeVSA, `{"verifier":{"id":"https://v.example"},"timeVerified":"` + shapedTime + `","resourceUri":"oci://registry.example/team/app","policy":{"uri":"https://p.example"},"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_1"]}`,
			policy.AttestationRequirement{Type: "vsa", VSAConditions: policy.VSAConditions{Verifier: []string{"https://v.example"}, VerifiedLevels: []string{"SLSA_BUILD_LEVEL_2"}}}},
		"testresult":        {predicate.TypeTestResult, `{"result":"FAILED","configuration":[{"uri":"https://t.example"}],"failedTests":["x"]}`, policy.AttestationRequirement{Type: "testresult"}},
		"absent parameter":  {predicate.TypeProvenance, v1(`{"evil":1}`, `[]`), provenance(policy.ProvenanceConditions{AbsentParameters: []string{"evil"}})},
		"unknown parameter": {predicate.TypeProvenance, v1(`{"evil":1}`, `[]`), provenance(policy.ProvenanceConditions{OnlyKnownParameters: true, KnownParameters: []string{"good"}})},
		"v0.2 parameter": {predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/b"},"buildType":"https://b.example","invocation":{"parameters":{"evil":1}}}`,
			provenance(policy.ProvenanceConditions{AbsentParameters: []string{"evil"}})},
		"source": {predicate.TypeProvenance, v1(`{}`, `[{"uri":"git+https://g.example/good","annotations":{"buildSource":true}},{"uri":"git+https://g.example/evil","annotations":{"buildSource":true}}]`),
			provenance(policy.ProvenanceConditions{Source: []string{"git+https://g.example/good"}})},
		"built before": {predicate.TypeProvenance, v1(`{}`, `[]`), provenance(policy.ProvenanceConditions{BuiltAfter: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)})},
		"too old":      {predicate.TypeOpenVEX, `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vex.example/1","author":"a","timestamp":"2026-01-01T00:00:00Z","version":1,"statements":[{"vulnerability":{"name":"x"},"status":"fixed"}]}`, policy.AttestationRequirement{Type: "openvex", MaxAge: policy.Duration(time.Hour)}},
	}
}

// removals are mutations that take away what is denied, in a form that the format
// allows: where it is, and with what.
func removals(label, path, with string) bool {
	return slices.Contains([]string{
		// One source that is said to be none is read from the other one alone.
		"source buildDefinition.resolvedDependencies[1].annotations null",
		// Go programs write null for a list of licences that is empty.
		"spdx from files packages[0].licenseInfoFromFiles null",
		"spdx file files[0].licenseInfoInFiles null",
		"spdx snippet snippets[0].licenseInfoInSnippets null",
		"spdx extracted hasExtractedLicensingInfos null",
	}, label+" "+path+" "+with)
}

func TestAttack_E23_NoOtherTypeOfAMemberEndsADenial(t *testing.T) {
	for label, c := range deniedCases() {
		if p := c.judge(t, c.text); p == nil {
			t.Errorf("%s: the document itself is not denied", label)
		}
		for i := range places(t, c.text) {
			for _, m := range otherTypes {
				path, text := mutated(t, c.text, i, m)
				if text == "" || removals(label, path, m) {
					continue
				}
				if p := c.judge(t, text); p == nil {
					t.Errorf("%s: with %s made %s it is allowed:\n%s", label, path, m, text)
				}
			}
		}
	}
}

// FuzzOtherTypes puts any JSON in place of a member. Only another value of the type
// that the member has may end a denial.
func FuzzOtherTypes(f *testing.F) {
	labels := make([]string, 0, 64)
	cases := deniedCases()
	for label := range cases {
		labels = append(labels, label)
	}
	slices.Sort(labels)
	f.Add(0, 0, "null")
	for n := range labels {
		for place := range 24 {
			f.Add(n, place, otherTypes[(n+place)%len(otherTypes)])
		}
	}
	f.Fuzz(func(t *testing.T, n, place int, with string) {
		var value any
		if n < 0 || place < 0 || json.Unmarshal([]byte(with), &value) != nil || len(with) > 1000 {
			return
		}
		label := labels[n%len(labels)]
		c := cases[label]
		path, text := mutated(t, c.text, place%len(places(t, c.text)), with)
		if text == "" || strings.Contains(with, "$") || removals(label, path, strings.TrimSpace(with)) {
			return
		}
		if p := c.judge(t, text); p == nil {
			t.Errorf("%s: with %s made %s it is allowed:\n%s", label, path, with, text)
		}
	})
}

func (c deniedCase) judge(t *testing.T, text string) *problem {
	t.Helper()
	image, err := name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	_, p := newAttestation(&c.q).judge(&statement{c.uri, []byte(text)}, &circumstances{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), skew: time.Minute, image: image})
	return p
}

// otherTypes are what is put in place of a member; $ is the member itself.
var otherTypes = []string{`[$]`, `{"x":$}`, `[[$]]`, `{"0":$,"id":$,"name":$}`, `[null,$]`, `7`, `-1`, `1.5`, `null`, `true`, `false`, `""`, `"text"`, `[]`, `{}`}

// place is a value in a document.
type place struct {
	path  string
	steps []any // names and numbers
	value any
}

// places are all values of a document.
func places(t *testing.T, text string) []place {
	t.Helper()
	return walk(place{value: parsed(t, text)})
}

func parsed(t *testing.T, text string) (document any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		t.Fatal(err)
	}
	return document
}

func walk(p place) []place {
	all := []place{p}
	below := func(step any, path string, value any) {
		all = append(all, walk(place{strings.TrimPrefix(p.path+path, "."), append(slices.Clone(p.steps), step), value})...)
	}
	switch x := p.value.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			below(k, "."+k, x[k])
		}
	case []any:
		for i, element := range x {
			below(i, fmt.Sprintf("[%d]", i), element)
		}
	}
	return all
}

// replaced is a copy of a document with another value in a place.
func replaced(v any, steps []any, with any) any {
	if len(steps) == 0 {
		return with
	}
	switch x := v.(type) {
	case map[string]any:
		x = maps.Clone(x)
		x[steps[0].(string)] = replaced(x[steps[0].(string)], steps[1:], with)
		return x
	case []any:
		x = slices.Clone(x)
		x[steps[0].(int)] = replaced(x[steps[0].(int)], steps[1:], with)
		return x
	}
	return v
}

// mutated puts something in place of a value; the text is empty where that would be
// another value of the same type.
func mutated(t *testing.T, document string, at int, with string) (path, text string) {
	t.Helper()
	p := places(t, document)[at]
	old, err := json.Marshal(p.value)
	if err != nil {
		t.Fatal(err)
	}
	value := parsed(t, strings.ReplaceAll(with, "$", string(old)))
	_, list := value.([]any)
	if sameKind(p.value, value) && !(list && strings.Contains(with, "$")) {
		return p.path, ""
	}
	made, err := json.Marshal(replaced(parsed(t, document), p.steps, value))
	if err != nil {
		t.Fatal(err)
	}
	return p.path, string(made)
}

func sameKind(a, b any) bool { return reflect.TypeOf(a) == reflect.TypeOf(b) }
