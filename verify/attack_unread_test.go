package verify_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/verify"
)

const byBuilder = "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]"

// oddities are values that no member of provenance has by its specification.
var oddities = []string{
	`null`, `true`, `""`, `" "`, `"text"`, `"käse löffel"`, `"git@host:a.git"`, `7`, `-0.0`, `1e400`, `18446744073709551616`, `123456789012345678901234567890`, `"12"`,
	`[]`, `{}`, `[null]`, `[[]]`, `{"":""}`, `{"sha256":"` + someCommit + `"}`, `{"sha1":{}}`, `[{"name":"only"}]`, `[{"uri":"docker.io/library/alpine"}]`, `"0001-01-01T00:00:00Z"`, `"2026-11-22T12:00:00+05:30"`,
}

// v1Of and v02Of are provenance with a good builder, of which a member at a path is odd.
func v1Of(t *testing.T, path, value string) says {
	return says{predicate.TypeProvenance, withMember(t, `{"buildDefinition":{},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`, path, value)}
}

func v02Of(t *testing.T, path, value string) says {
	return says{predicate.TypeProvenance02, withMember(t, `{"builder":{"id":"https://ci.example/builder"}}`, path, value)}
}

// withMember puts a value at a path into a document.
func withMember(t *testing.T, document, path, value string) string {
	t.Helper()
	root := map[string]any{}
	if err := json.Unmarshal([]byte(document), &root); err != nil {
		t.Fatal(err)
	}
	object, names := root, strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, there := object[name].(map[string]any)
		if !there {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[names[len(names)-1]] = json.RawMessage(value)
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatalf("%s at %s: %v", value, path, err)
	}
	return string(text)
}

func TestAttack_E23_NoFormOfAnUnreadMemberSinksAStatement(t *testing.T) {
	race.Skip(t, "one goroutine judges")
	var all []says
	for _, odd := range oddities {
		for _, path := range []string{
			"buildDefinition.buildType", "buildDefinition.externalParameters", "buildDefinition.internalParameters", "buildDefinition.resolvedDependencies", "runDetails.metadata", "runDetails.byproducts",
			"runDetails.metadata.invocationId", "runDetails.metadata.invocationID", "runDetails.metadata.startedOn", "runDetails.metadata.finishedOn", "runDetails.builder.version", "runDetails.builder.builderDependencies", "other",
		} {
			all = append(all, v1Of(t, path, odd))
		}
		for _, path := range []string{
			"buildType", "invocation", "invocation.configSource", "invocation.configSource.uri", "invocation.configSource.digest", "invocation.parameters", "invocation.environment", "buildConfig", "metadata",
			"metadata.buildInvocationId", "metadata.buildInvocationID", "metadata.buildStartedOn", "metadata.buildFinishedOn", "metadata.completeness", "metadata.reproducible", "materials", "other",
		} {
			all = append(all, v02Of(t, path, odd))
		}
	}
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	text := strings.Replace(policyText, "signature: {by: release}", byBuilder+"}", 1)
	for _, s := range all {
		w.image = w.push()
		state(t, w, w.image, s, c)
		if _, err := w.judged(text, now, a, b, c); err != nil {
			t.Errorf("%s\n%v", s.text, err)
		}
	}
}

// The cases of public reports, each with the conditions that the document meets.
func TestAttack_E23_ReportedDocumentsCount(t *testing.T) {
	const times = `{"buildStartedOn":%q,"buildFinishedOn":%q}`
	bill := func(uri, text string) says { return says{uri, text} }
	scanAt := func(when string) says {
		return says{predicate.TypeCosignVuln, `{"invocation":{},"scanner":{"uri":"x","result":{"SchemaVersion":2,"ArtifactName":"app","CreatedAt":7,"Results":[]}},"metadata":{"scanStartedOn":` + when + `,"scanFinishedOn":` + when + `}}`}
	}
	for label, c := range map[string]struct {
		require string
		s       says
	}{
		"build type without scheme":      {byBuilder + ", buildType: [tekton.dev/v1beta1/TaskRun]}", v02Of(t, "buildType", `"tekton.dev/v1beta1/TaskRun"`)},
		"build type with a space":        {byBuilder + `, buildType: ["Käse, fein"]}`, v02Of(t, "buildType", `"Käse, fein"`)},
		"dependency without scheme":      {byBuilder + ", source: [git+https://git.example/a]}", v1Of(t, "buildDefinition", `{"buildType":"x","resolvedDependencies":[{"uri":"git+https://git.example/a","digest":{"gitCommit":"x","sha256":7}},{"uri":"gcr.io/cloud-builders/docker@sha256:ab","digest":{"sha256":"ab"}},{"name":"only"}]}`)},
		"material by scp":                {byBuilder + "}", v02Of(t, "materials", `[{"uri":"git@host:a.git","digest":{"sha1":""}},{"uri":"docker.io/library/alpine","digest":{}},{"uri":"https://a.example/ä b"},{"digest":null}]`)},
		"finish before start":            {byBuilder + ", builtAfter: 2026-11-01T00:00:00Z}", v02Of(t, "metadata", fmt.Sprintf(times, "2026-11-22T12:00:00Z", "2026-11-21T12:00:00Z"))},
		"empty times":                    {byBuilder + "}", v02Of(t, "metadata", fmt.Sprintf(times, "", ""))},
		"times with offsets":             {byBuilder + ", maxAge: 24h}", v02Of(t, "metadata", fmt.Sprintf(times, "2026-11-22T14:58:00+01:00", "2026-11-22T15:00:00.5+01:00"))},
		"zero finish, real start":        {byBuilder + ", maxAge: 48h}", v02Of(t, "metadata", fmt.Sprintf(times, "2026-11-22T12:00:00Z", "0001-01-01T00:00:00Z"))},
		"parameter beside a huge number": {byBuilder + ", parameters: {a: 1}, absentParameters: [c]}", v02Of(t, "invocation", `{"parameters":{"a":1,"b":1e400},"environment":7}`)},
		"SPDX without namespace":         {"attestation: {type: spdx, by: builder, denyPackages: [evil], denyLicenses: [MIT]}", bill(predicate.TypeSPDX, strings.Replace(spdx, `"documentNamespace":"https://sbom.example/app",`, ``, 1))},
		"SPDX namespace of a name":       {"attestation: {type: spdx, by: builder, denyPackages: [evil], denyLicenses: [MIT]}", bill(predicate.TypeSPDX, strings.Replace(spdx, `https://sbom.example/app`, `postgresql-15.3.0`, 1))},
		"SPDX of 2.1":                    {"attestation: {type: spdx, by: builder}", bill(predicate.TypeSPDX, strings.Replace(spdx, `SPDX-2.3`, `SPDX-2.1`, 1))},
		"SPDX packages without members":  {"attestation: {type: spdx, by: builder}", bill(predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3","packages":[{},{"name":7},null]}`)},
		"SPDX, denying, without SPDXID":  {"attestation: {type: spdx, by: builder, denyPackages: [evil]}", bill(predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3","packages":[{"name":"a"}]}`)},
		"serialNumber without urn":       {"attestation: {type: cyclonedx, by: builder, denyPackages: [evil]}", cdxWith(`"version":"1"`, `,"serialNumber":"3e671687-395b-41f5-a30f-a58921a69b79"`)},
		"components null":                {"attestation: {type: cyclonedx, by: builder}", bill(predicate.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.4","version":1,"components":null}`)},
		"Data, an object":                {"attestation: {type: cyclonedx, by: builder, denyPackages: [evil]}", bill(predicate.TypeCycloneDX, `{"Data":`+cycloneDX+`}`)},
		"Data, a string":                 {"attestation: {type: spdx, by: builder, denyPackages: [evil]}", bill(predicate.TypeSPDX, `{"Data":`+quoted(spdx)+`,"Timestamp":7}`)},
		"scan with zero times":           {cosignScan, scanAt(`"0001-01-01T00:00:00Z"`)},
		"scan with empty times":          {cosignScan, scanAt(`""`)},
		"scan without times":             {cosignScan, says{predicate.TypeCosignVuln, `{"scanner":{"result":{"SchemaVersion":2,"ArtifactName":"app","Results":[]}}}`}},
		"findings without times":         {"attestation: {type: vulns, by: builder, maxSeverity: low}", says{predicate.TypeVulns, `{"scanner":{"result":[{"id":"CVE-1","severity":[{"method":"nvd","score":"low"}]}]},"metadata":null}`}},
		"VSA of a machine image":         {strings.Replace(vsaRequired(""), "by: builder", `by: builder, resource: ["gce_image://images/x:1"]`, 1), vsa("oci://registry.example/team/app", "gce_image://images/x:1", `"https://policy.example"`, `7`, `"2026-11-22T12:00:00Z"`, `""`)},
		"VSA without policy and time":    {vsaRequired(""), says{predicate.TypeVSA, `{"verifier":{"id":"https://verifier.example"},"resourceUri":"oci://registry.example/team/app","verificationResult":"PASSED"}`}},
		"VSA of odd levels":              {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_2]"), vsa(`["SLSA_BUILD_LEVEL_3"]`, `["SLSA_BUILD_LEVEL_3","SLSA_ODD","BCID_L1"]`)},
		"no invocation, no parameter":    {byBuilder + ", absentParameters: [evil]}", v02Of(t, "x", `1`)},
		"test result alone":              {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":"PASSED"}`}},
		"OpenVEX of context alone":       {"attestation: {type: openvex, by: builder}", says{predicate.TypeOpenVEX, `{"@context":"https://openvex.dev/ns"}`}},
		"link, as it is":                 {"attestation: {type: link, by: builder, acceptAnyContent: true}", says{predicate.TypeLink, `{"_type":7,"materials":null,"n":1e400}`}},
		"scai":                           {"attestation: {type: https://in-toto.io/attestation/scai/v0.3, by: builder, acceptAnyContent: true}", says{"https://in-toto.io/attestation/scai/v0.3", `{"attributes":7}`}},
		"custom":                         {"attestation: {type: custom, by: builder, acceptAnyContent: true}", says{predicate.TypeCustom, `{"Data":[1e400],"Timestamp":""}`}},
	} {
		if _, err := required(t, c.require, c.s); err != nil {
			t.Errorf("%s: %v\n%s", label, err, c.s.text)
		}
	}
}

// A condition fails by what it reads, and says what it found and what it wanted.
func TestAttack_E23_AConditionNamesTheMemberThatItCannotRead(t *testing.T) {
	const wantsBuilder = `the policy wants "https://ci.example/builder"`
	builder := func(value string) says {
		return says{predicate.TypeProvenance02, `{"builder":{"id":` + value + `},"buildType":"x"}`}
	}
	for label, c := range map[string]struct {
		require string
		s       says
		reason  verify.Reason
		words   string
	}{
		"builder empty":              {byBuilder + "}", builder(`""`), verify.ReasonBuilder, `builder.id is "", ` + wantsBuilder},
		"builder another":            {byBuilder + "}", builder(`"https://evil.example"`), verify.ReasonBuilder, `builder.id is "https://evil.example", ` + wantsBuilder},
		"builder null":               {byBuilder + "}", builder(`null`), verify.ReasonPredicate, "builder.id is null, want a string"},
		"builder a list":             {byBuilder + "}", builder(`["https://ci.example/builder"]`), verify.ReasonPredicate, "builder.id is a list, want a string"},
		"builder an object":          {byBuilder + "}", builder(`{"id":"https://ci.example/builder"}`), verify.ReasonPredicate, "builder.id is an object, want a string"},
		"builder a number":           {byBuilder + "}", builder(`7`), verify.ReasonPredicate, "builder.id is the number 7, want a string"},
		"builder missing":            {byBuilder + "}", says{predicate.TypeProvenance02, `{"builder":{}}`}, verify.ReasonPredicate, "builder.id is missing, want a string"},
		"builder itself a string":    {byBuilder + "}", says{predicate.TypeProvenance02, `{"builder":"https://ci.example/builder"}`}, verify.ReasonPredicate, `builder is a string, want an object`},
		"builder in a list":          {byBuilder + "}", says{predicate.TypeProvenance02, `{"builder":[{"id":"https://ci.example/builder"}]}`}, verify.ReasonPredicate, `builder is a list, want an object`},
		"builder with a space":       {byBuilder + "}", builder(`"https://ci.example/builder "`), verify.ReasonPredicate, "want an absolute URI"},
		"runDetails a list":          {byBuilder + "}", says{predicate.TypeProvenance, `{"runDetails":[{"builder":{"id":"https://ci.example/builder"}}]}`}, verify.ReasonPredicate, "runDetails is a list, want an object"},
		"builder in another place":   {byBuilder + "}", says{predicate.TypeProvenance, `{"buildDefinition":{"builder":{"id":"https://ci.example/builder"}},"runDetails":{}}`}, verify.ReasonPredicate, "runDetails.builder.id is missing"},
		"builder of v0.2 in v1":      {byBuilder + "}", says{predicate.TypeProvenance, `{"builder":{"id":"https://ci.example/builder"}}`}, verify.ReasonPredicate, `"builder"`},
		"builders of both versions":  {byBuilder + "}", says{predicate.TypeProvenance, `{"builder":{"id":"https://evil.example"},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`}, verify.ReasonPredicate, `"builder"`},
		"builders of both, in v0.2":  {byBuilder + "}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"runDetails":{"builder":{"id":"https://evil.example"}}}`}, verify.ReasonPredicate, `"runDetails"`},
		"builder in other case":      {byBuilder + "}", says{predicate.TypeProvenance02, `{"Builder":{"id":"https://ci.example/builder"}}`}, verify.ReasonPredicate, `"Builder"`},
		"its id in other case":       {byBuilder + "}", says{predicate.TypeProvenance02, `{"builder":{"ID":"https://ci.example/builder"}}`}, verify.ReasonPredicate, `"ID"`},
		"an unread name, other case": {byBuilder + "}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"BuildType":"x"}`}, verify.ReasonPredicate, `"BuildType"`},
		"build type a list":          {byBuilder + ", buildType: [x]}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":["x"]}`}, verify.ReasonPredicate, "buildType is a list, want a string"},
		"build type, for a source":   {byBuilder + ", source: [git+https://g.example/a]}", v02Of(t, "buildType", `["https://mobyproject.org/buildkit@v1"]`), verify.ReasonPredicate, "buildType is a list, want a string"},
		"its URI a list":             {byBuilder + ", source: [git+https://g.example/a]}", v02Of(t, "invocation.configSource.uri", `["git+https://g.example/a"]`), verify.ReasonPredicate, "invocation.configSource.uri is not a string, but a list"},
		"BuildKit's parameters odd":  {byBuilder + ", source: [git+https://g.example/a]}", v1Of(t, "buildDefinition", `{"buildType":"https://mobyproject.org/buildkit@v1","externalParameters":[],"resolvedDependencies":[{"uri":"git+https://g.example/a","annotations":{"buildSource":true}}]}`), verify.ReasonSource, "does not say"},
		"verifier a list":            {vsaRequired(""), vsa(`"https://verifier.example"`, `["https://verifier.example"]`), verify.ReasonPredicate, "verifier.id is a list, want a string"},
		"result of the VSA a list":   {vsaRequired(""), vsa(`"PASSED"`, `["PASSED"]`), verify.ReasonPredicate, "verificationResult is a list, want a string"},
		"policy digest a list":       {vsaRequired(", policyDigest: \"sha256:" + strings.Repeat("ab", 32) + "\""), vsa(`"digest":{"sha256":"`, `"digest":{"sha256":["x"],"x":"`), verify.ReasonPredicate, "policy.digest.sha256 is a list, want a string"},
		"build type missing":         {byBuilder + ", buildType: [x]}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"}}`}, verify.ReasonPredicate, "buildType is missing, want a string"},
		"empty time, age wanted":     {byBuilder + ", maxAge: 48h}", v02Of(t, "metadata", `{"buildStartedOn":"2026-11-22T12:00:00Z","buildFinishedOn":""}`), verify.ReasonPredicate, `metadata.buildFinishedOn is "", want a time`},
		"time a number, age wanted":  {byBuilder + ", maxAge: 48h}", v02Of(t, "metadata", `{"buildFinishedOn":1795521600}`), verify.ReasonPredicate, `metadata.buildFinishedOn is the number 1795521600, want a time`},
		"metadata a list":            {byBuilder + ", builtAfter: 2026-11-01T00:00:00Z}", v02Of(t, "metadata", `[]`), verify.ReasonPredicate, "metadata is a list, want an object"},
		"metadata null, age wanted":  {byBuilder + ", maxAge: 48h}", v02Of(t, "metadata", `null`), verify.ReasonStale, "does not say how old"},
		"materials an object":        {byBuilder + ", source: [git+https://g.example/a]}", v02Of(t, "materials", `{"uri":"git+https://g.example/a"}`), verify.ReasonPredicate, "materials is not a list, but an object"},
		"material null":              {byBuilder + ", source: [git+https://g.example/a]}", v02Of(t, "materials", `[{"uri":"git+https://g.example/a"},null]`), verify.ReasonPredicate, "materials[1]"},
		"material URI in other case": {byBuilder + ", source: [git+https://g.example/a]}", v02Of(t, "materials", `[{"uri":"git+https://g.example/a"},{"URI":"git+https://evil.example"}]`), verify.ReasonPredicate, `"URI"`},
		"commit a list":              {byBuilder + ", commit: [" + someCommit + "]}", v02Of(t, "materials", `[{"uri":"git+https://g.example/a","digest":{"sha1":["`+someCommit+`"]}}]`), verify.ReasonPredicate, "materials[0].digest.sha1 is not a string, but a list"},
		"commit under sha512":        {byBuilder + ", commit: [" + someCommit + "]}", v02Of(t, "materials", `[{"uri":"git+https://g.example/a","digest":{"sha512":"`+someCommit+`"}}]`), verify.ReasonSource, `commit is ""`},
		"configSource beside":        {byBuilder + ", source: [git+https://g.example/a]}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"invocation":{"configSource":{"uri":"https://evil.example"}},"materials":[{"uri":"git+https://g.example/a"}]}`}, verify.ReasonSource, "https://evil.example"},
		"configSource a list":        {byBuilder + ", source: [git+https://g.example/a]}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"invocation":{"configSource":[]},"materials":[{"uri":"git+https://g.example/a"}]}`}, verify.ReasonPredicate, "invocation.configSource is a list, want an object"},
		"invocation a list":          {byBuilder + ", source: [git+https://g.example/a]}", says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"invocation":[],"materials":[{"uri":"git+https://g.example/a"}]}`}, verify.ReasonPredicate, "invocation is a list, want an object"},
		"parameter of 1e400":         {byBuilder + ", parameters: {a: 1}}", v02Of(t, "invocation", `{"parameters":{"a":1e400}}`), verify.ReasonParameters, `"a" is the number 1e400`},
		"parameters null":            {byBuilder + ", absentParameters: [a]}", v02Of(t, "invocation", `{"parameters":null}`), verify.ReasonParameters, "invocation.parameters is null, want an object"},
		"resource a list":            {vsaRequired(""), vsa(`"oci://registry.example/team/app"`, `["oci://registry.example/team/app"]`), verify.ReasonPredicate, "resourceUri is a list, want a string"},
		"two levels of a track":      {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_2]"), vsa(`["SLSA_BUILD_LEVEL_3"]`, `["SLSA_BUILD_LEVEL_1","SLSA_BUILD_LEVEL_3"]`), verify.ReasonPredicate, "two levels of the track SLSA_BUILD"},
		"level a number":             {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_2]"), vsa(`["SLSA_BUILD_LEVEL_3"]`, `["SLSA_BUILD_LEVEL_3",3]`), verify.ReasonPredicate, "verifiedLevels[1]"},
		"time of the VSA":            {vsaRequired(", maxAge: 48h"), vsa(`"2026-11-22T12:00:00Z"`, `""`), verify.ReasonPredicate, `timeVerified is ""`},
		"Data beside a bill":         {"attestation: {type: cyclonedx, by: builder, denyPackages: [evil]}", cdxWith(`"version":"1"`, `,"Data":{"bomFormat":"CycloneDX"}`), verify.ReasonPredicate, "second document"},
		"Data of two bills":          {"attestation: {type: cyclonedx, by: builder}", says{predicate.TypeCycloneDX, `{"Data":[` + cycloneDX + `]}`}, verify.ReasonPredicate, "bomFormat is missing"},
		"data in other case":         {"attestation: {type: cyclonedx, by: builder}", says{predicate.TypeCycloneDX, `{"data":` + cycloneDX + `}`}, verify.ReasonPredicate, "bomFormat is missing"},
		"Data of the other type":     {"attestation: {type: cyclonedx, by: builder}", says{predicate.TypeCycloneDX, `{"Data":` + spdx + `}`}, verify.ReasonPredicate, `"spdxVersion"`},
		"Data in Data":               {"attestation: {type: cyclonedx, by: builder}", says{predicate.TypeCycloneDX, `{"Data":{"Data":` + cycloneDX + `}}`}, verify.ReasonPredicate, "bomFormat is missing"},
		"evil in Data":               {"attestation: {type: cyclonedx, by: builder, denyPackages: [\"pkg:npm/left-pad\"]}", says{predicate.TypeCycloneDX, `{"Data":` + quoted(cycloneDX) + `}`}, verify.ReasonDeniedPackage, ""},
		"both formats at once":       {"attestation: {type: cyclonedx, by: builder}", says{predicate.TypeCycloneDX, strings.Replace(cycloneDX, `{"bomFormat"`, `{"spdxVersion":"SPDX-2.3","bomFormat"`, 1)}, verify.ReasonPredicate, `"spdxVersion"`},
		"a version to come":          {"attestation: {type: cyclonedx, by: builder, denyPackages: [evil]}", says{predicate.TypeCycloneDX, strings.Replace(cycloneDX, `"1.6"`, `"2.0"`, 1)}, verify.ReasonPredicate, `specVersion is "2.0"`},
		"tag-value, denying":         {"attestation: {type: spdx, by: builder, denyLicenses: [MIT]}", says{predicate.TypeSPDX, `"SPDXVersion: SPDX-2.3\n"`}, verify.ReasonPredicate, "tag-value"},
		"provenance in a string":     {byBuilder + "}", says{predicate.TypeProvenance02, quoted(`{"builder":{"id":"https://ci.example/builder"}}`)}, verify.ReasonPredicate, "the predicate is a string, want an object"},
		"time of the report":         {strings.Replace(cosignScan, "}", ", maxAge: 48h}", 1), reported(trivyReport(`"ArtifactName":"a","CreatedAt":7,"Results":[]`)), verify.ReasonPredicate, "CreatedAt"},
		"report in a list":           {cosignScan, says{predicate.TypeCosignVuln, `{"scanner":{"result":[` + trivyReport(`"ArtifactName":"a","Results":[]`) + `]}}`}, verify.ReasonPredicate, "scanner.result is a list, want an object"},
		"findings null":              {"attestation: {type: vulns, by: builder, maxSeverity: low}", says{predicate.TypeVulns, `{"scanner":{"result":null}}`}, verify.ReasonPredicate, "scanner.result is null, want a list"},
		"result of tests in a list":  {"attestation: {type: testresult, by: builder}", says{predicate.TypeTestResult, `{"result":["PASSED"]}`}, verify.ReasonPredicate, "result is a list, want a string"},
	} {
		t.Run(label, func(t *testing.T) { denied(t, c.require, c.s, c.reason, c.words) })
	}
}

// A list of more elements than are read is not an empty one.
func TestAttack_E23_AListTooLongToReadIsNotEmpty(t *testing.T) {
	if testing.Short() {
		t.Skip("parses lists of a million elements: not with -short")
	}
	evil := strings.Repeat(`{},`, 1<<20+1) + `{"uri":"git+https://evil.example/a"}]`
	const builder = `"builder":{"id":"https://ci.example/builder"}`
	for _, c := range []struct {
		require, uri, text, words string
	}{
		{"attestation: {type: vulns, by: builder, maxSeverity: low}", predicate.TypeVulns, `{"scanner":{"result":[` + evil + `}}`, "scanner.result cannot be read"},
		{byBuilder + ", source: [git+https://g.example/a]}", predicate.TypeProvenance02, `{` + builder + `,"materials":[` + evil + `}`, "materials cannot be read"},
		{
			byBuilder + ", source: [git+https://g.example/a]}", predicate.TypeProvenance,
			`{"runDetails":{` + builder + `},"buildDefinition":{"buildType":"x","resolvedDependencies":[{"uri":"git+https://g.example/a"},` + evil + `}}`, "buildDefinition.resolvedDependencies cannot be read",
		},
	} {
		_, err := required(t, c.require, says{c.uri, c.text})
		if wantReason(t, err, verify.ReasonPredicate); !strings.Contains(fmt.Sprint(err), c.words) {
			t.Errorf("%v, want %q in it", err, c.words)
		}
	}
	if _, err := required(t, byBuilder+"}", says{predicate.TypeProvenance02, `{` + builder + `,"materials":[` + evil + `}`}); err != nil {
		t.Error(err)
	}
}
