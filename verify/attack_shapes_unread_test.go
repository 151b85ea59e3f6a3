package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

// What no condition of the requirement reads is no reason to refuse a statement.
func TestAttack_E23_WhatNoConditionReadsMayBeOfAnyForm(t *testing.T) {
	const provenance = "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]}"
	v02 := func(more string) says {
		return says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"https://ci.example/v1",` + more + `}`}
	}
	scanned := func(more string) says {
		return says{predicate.TypeVulns, fmt.Sprintf(`{"scanner":{"uri":7,"version":[],"db":"x","result":[{"id":"CVE-1","severity":[{"method":"nvd","score":"low"}],"annotations":%s}]},"metadata":{"scanStartedOn":7,"scanFinishedOn":%q}}`, more, recently)}
	}
	cosign := func(report string) says {
		return says{predicate.TypeCosignVuln, fmt.Sprintf(`{"invocation":7,"scanner":{"uri":[],"version":{},"db":7,"result":%s},"metadata":{"scanStartedOn":[],"scanFinishedOn":%q}}`, report, recently)}
	}
	const vulnerable = `"VulnerabilityID":"CVE-1","Severity":"LOW","PkgName":7,"PkgIdentifier":[],"InstalledVersion":{},"FixedVersion":["1"],"SeveritySource":7,"DataSource":"x"`
	for label, c := range map[string]struct {
		require string
		s       says
	}{
		"provenance":             {provenance, provenanceBy(someBuilder, `"runDetails":{`, `"runDetails":{"byproducts":7,`)},
		"provenance, metadata":   {provenance, provenanceBy(someBuilder, `"metadata":{`, `"metadata":{"invocationID":7,`)},
		"provenance, inputs":     {provenance, says{predicate.TypeProvenance, `{"buildDefinition":{"buildType":"https://ci.example/v1","externalParameters":7,"internalParameters":[],"resolvedDependencies":{}},"runDetails":{"builder":{"id":"https://ci.example/builder","version":7,"builderDependencies":"x"}}}`}},
		"provenance v0.2":        {provenance, v02(`"invocation":7,"buildConfig":7,"materials":{},"metadata":{"buildInvocationID":7,"completeness":[],"reproducible":"yes"}`)},
		"vsa":                    {vsaRequired(""), vsa(`"policy":{`, `"inputAttestations":{},"dependencyLevels":[],"slsaVersion":1,"policy":{"annotations":7,`, `"uri":"https://policy.example"`, `"uri":7`)},
		"testresult":             {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":"PASSED","configuration":7,"url":[],"passedTests":"x","failedTests":{}}`}},
		"vulns":                  {"attestation: {type: vulns, by: builder, maxSeverity: low}", scanned(`"x"`)},
		"vuln, Trivy":            {cosignScan, cosign(`{"SchemaVersion":2,"ArtifactName":"app","Trivy":7,"Results":[{"Class":7,"Vulnerabilities":[{` + vulnerable + `}],"ExperimentalModifiedFindings":[{"Type":"vulnerability","Finding":{` + vulnerable + `}}]}]}`)},
		"vuln, Grype":            {cosignScan, cosign(`{"matches":[{"vulnerability":{"id":"CVE-1","severity":"Low","namespace":7,"fix":[]},"artifact":7}],"descriptor":{"name":"grype","version":"0.74.0","db":{"from":7,"built":[],"schemaVersion":{}}}}`)},
		"vuln, SARIF":            {cosignScan, cosign(`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","version":7,"informationUri":[]}},"results":[{"ruleId":"x","level":"note","message":7,"locations":{}}]}]}`)},
		"openvex":                {"attestation: {type: openvex, by: builder}", says{predicate.TypeOpenVEX, `{"@context":"https://openvex.dev/ns/v0.2.0","@id":7,"author":[],"timestamp":"` + recently + `","version":"one","statements":{}}`}},
		"spdx":                   {"attestation: {type: spdx, by: builder}", spdxWith(`"packages":[`, `"files":7,"snippets":"x","relationships":{},"packages":[`)},
		"spdx, itself":           {"attestation: {type: spdx, by: builder}", says{predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3","dataLicense":7,"SPDXID":[],"name":{},"documentNamespace":7,"creationInfo":"x","packages":{}}`}},
		"spdx, denying packages": {"attestation: {type: spdx, by: builder, denyPackages: [evil]}", spdxWith(`"creationInfo":{"creators":["Tool: t"],"created":"2026-03-01T10:05:00Z"}`, `"creationInfo":[]`)},
		"cyclonedx":              {"attestation: {type: cyclonedx, by: builder}", says{predicate.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","version":"1","serialNumber":7,"metadata":[],"components":{},"services":7,"dependencies":"x"}`}},
		"cyclonedx, denying":     {"attestation: {type: cyclonedx, by: builder, denyLicenses: [AGPL-3.0-only]}", cdxWith(`"version":7`, `,"serialNumber":7,"metadata":{"timestamp":7},"dependencies":{},"externalReferences":7`)},
	} {
		if _, err := required(t, c.require, c.s); err != nil {
			t.Errorf("%s: %v\n%s", label, err, c.s.text)
		}
	}
}

// What a condition does read must be of its form.
func TestAttack_E23_WhatAConditionReadsMustBeOfItsForm(t *testing.T) {
	provenance := func(more string) string {
		return "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]" + more + "}"
	}
	v1 := func(parameters, dependencies string) says {
		return says{predicate.TypeProvenance, `{"buildDefinition":{"buildType":"https://ci.example/v1","externalParameters":` + parameters + `,"resolvedDependencies":` + dependencies + `},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`}
	}
	buildKit := func(source string) says {
		s := v1(`{"configSource":`+source+`}`, `[{"uri":"git+https://git.example/team/app","annotations":{"buildSource":true}}]`)
		s.text = strings.Replace(s.text, "https://ci.example/v1", "https://mobyproject.org/buildkit@v1", 1)
		return s
	}
	const source = ", source: [git+https://git.example/team/app]"
	good, evil := `{"uri":"git+https://git.example/team/app","annotations":{"buildSource":true}}`, `{"uri":"git+https://git.example/evil","annotations":{"buildSource":`
	for label, c := range map[string]struct {
		require string
		s       says
		reason  verify.Reason
	}{
		"parameters":             {provenance(", absentParameters: [evil]"), v1(`["evil"]`, `[]`), verify.ReasonPredicate},
		"parameters, text":       {provenance(", onlyKnownParameters: true"), v1(`"evil"`, `[]`), verify.ReasonPredicate},
		"dependencies":           {provenance(source), v1(`{}`, `{"0":`+good+`}`), verify.ReasonPredicate},
		"dependency":             {provenance(source), v1(`{}`, `[[`+good+`]]`), verify.ReasonPredicate},
		"its digest":             {provenance(source), v1(`{}`, `[{"uri":"git+https://git.example/team/app","digest":"x"}]`), verify.ReasonPredicate},
		"its annotations":        {provenance(source), v1(`{}`, `[{"uri":"git+https://git.example/team/app","annotations":["buildSource"]}]`), verify.ReasonPredicate},
		"a mark that is text":    {provenance(source), v1(`{}`, `[`+good+`,`+evil+`"true"}}]`), verify.ReasonSource},
		"a mark that is 1":       {provenance(source), v1(`{}`, `[`+good+`,`+evil+`1}}]`), verify.ReasonSource},
		"a mark that is null":    {provenance(source), v1(`{}`, `[`+good+`,`+evil+`null}}]`), verify.ReasonSource},
		"a mark that is false":   {provenance(source), v1(`{}`, `[`+good+`,`+evil+`false}}]`), ""},
		"configSource":           {provenance(source), buildKit(`"git+https://git.example/evil"`), verify.ReasonSource},
		"configSource, a list":   {provenance(source), buildKit(`[{"uri":"git+https://git.example/evil"}]`), verify.ReasonSource},
		"configSource, its URI":  {provenance(source), buildKit(`{"uri":["git+https://git.example/evil"]}`), verify.ReasonSource},
		"configSource, good":     {provenance(source), buildKit(`{"uri":"git+https://git.example/team/app"}`), ""},
		"a time":                 {provenance(", maxAge: 24h"), provenanceBy(someBuilder, `"2026-11-22T12:00:00Z"`, `1795521600`), verify.ReasonPredicate},
		"other case":             {provenance(", absentParameters: [evil]"), says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"https://ci.example/v1","Invocation":{"parameters":{"evil":1}}}`}, verify.ReasonPredicate},
		"levels":                 {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_2]"), vsa(`["SLSA_BUILD_LEVEL_3"]`, `"SLSA_BUILD_LEVEL_3"`), verify.ReasonPredicate},
		"policy":                 {vsaRequired(", policyUri: https://policy.example"), vsa(`"uri":"https://policy.example"`, `"uri":["https://policy.example"]`), verify.ReasonPredicate},
		"result":                 {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":["PASSED"],"configuration":[]}`}, verify.ReasonPredicate},
		"severity, text":         {"attestation: {type: vulns, by: builder, maxSeverity: low}", says{predicate.TypeVulns, strings.Replace(scanWith("low", recently).text, `"severity":[`, `"severity":"low","x":[`, 1)}, verify.ReasonPredicate},
		"two forms of a finding": {"attestation: {type: vulns, by: builder, maxSeverity: low}", says{predicate.TypeVulns01, strings.Replace(scanWith("low", recently).text, `"result":[{`, `"result":[{"vulnerability":{"id":"CVE-1","severity":[{"method":"nvd","score":"critical"}]},`, 1)}, verify.ReasonPredicate},
		"level of SARIF": {cosignScan, says{predicate.TypeCosignVuln, fmt.Sprintf(`{"scanner":{"result":{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[{"ruleId":"x","level":"fatal","properties":{"tags":["LOW"]}}]}]}},"metadata":{"scanStartedOn":%[1]q,"scanFinishedOn":%[1]q}}`, recently)},
			verify.ReasonVulnerable},
		"score of SARIF": {cosignScan, says{predicate.TypeCosignVuln, fmt.Sprintf(`{"scanner":{"result":{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[{"ruleId":"x","level":"note","properties":{"security-severity":["9.8"]}}]}]}},"metadata":{"scanStartedOn":%[1]q,"scanFinishedOn":%[1]q}}`, recently)},
			verify.ReasonVulnerable},
	} {
		_, err := required(t, c.require, c.s)
		t.Log(label, err)
		wantReason(t, err, c.reason)
	}
}
