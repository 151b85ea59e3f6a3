package verify_test

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// now is the time of all judgements here.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// says is a predicate in exactly this text, whether it is what its type says or
// not.
type says struct{ uri, text string }

func (s says) PredicateType() string { return s.uri }
func (s says) RawPredicate() []byte  { return []byte(s.text) }

const (
	someBuilder = "https://ci.example/builder"
	someCommit  = "0123456789abcdef0123456789abcdef01234567"
)

func provenanceBy(builder string, change ...string) says {
	text := fmt.Sprintf(`{"buildDefinition":{"buildType":"https://ci.example/v1","externalParameters":{"target":"app","n":1},
"resolvedDependencies":[{"uri":"git+https://git.example/team/app@refs/heads/main","digest":{"gitCommit":%q}}]},
"runDetails":{"builder":{"id":%q},"metadata":{"finishedOn":"2026-11-22T12:00:00Z"}}}`, someCommit, builder)
	return says{predicate.TypeProvenance, strings.NewReplacer(change...).Replace(text)}
}

func scanWith(severity, finished string) says {
	return says{predicate.TypeVulns, fmt.Sprintf(`{"scanner":{"uri":"https://scanner.example","result":[{"id":"CVE-2026-0001","severity":[{"method":"nvd","score":%q}]}]},
"metadata":{"scanStartedOn":%[2]q,"scanFinishedOn":%[2]q}}`, severity, finished)}
}

const recently = "2026-11-22T12:00:00Z"

const cycloneDX = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[
{"type":"library","name":"left-pad","purl":"pkg:npm/left-pad@1.3.0","licenses":[{"license":{"id":"WTFPL"}}],
 "components":[{"type":"library","name":"inner","group":"org","licenses":[{"expression":"MIT AND (agpl-3.0-only OR Apache-2.0)"}]}]}]}`

const spdx = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"app","documentNamespace":"https://sbom.example/app",
"creationInfo":{"creators":["Tool: t"],"created":"2026-03-01T10:05:00Z"},"packages":[{"name":"left-pad","SPDXID":"SPDXRef-1","downloadLocation":"NOASSERTION",
"licenseConcluded":"GPL-3.0-or-later WITH Classpath-exception-2.0","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/left-pad@1.3.0?x=y"}]}]}`

func vsa(change ...string) says {
	return says{predicate.TypeVSA, strings.NewReplacer(change...).Replace(`{"verifier":{"id":"https://verifier.example"},"timeVerified":"2026-11-22T12:00:00Z",
"resourceUri":"oci://registry.example/team/app","policy":{"uri":"https://policy.example","digest":{"sha256":"` + strings.Repeat("ab", 32) + `"}},
"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_3"]}`)}
}

func vex(status string) says {
	return says{predicate.TypeOpenVEX, fmt.Sprintf(`{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vex.example/1","author":"a","timestamp":%q,"version":1,
"statements":[{"vulnerability":{"name":"GHSA-x","aliases":["CVE-2026-0001"]},"products":[{"@id":"pkg:oci/app"}],"status":%q,"justification":"component_not_present","action_statement":"x"}]}`, recently, status)}
}

// required judges an image about which the statements were made by role c
// ("builder" of policyText) with one requirement.
func required(t *testing.T, requirement string, statements ...says) (*verify.Result, error) {
	t.Helper()
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	for _, s := range statements {
		state(t, w, w.image, s, c)
	}
	return w.judged(strings.Replace(policyText, "signature: {by: release}", requirement, 1), now, a, b, c)
}

// state attaches a statement that its type's own validation might refuse.
func state(t testing.TB, w *world, image name.Digest, s says, by person) {
	t.Helper()
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[%s],"predicate":%s}`, s.uri, about(image), s.text)
	w.attach(image, bundleItem(t, "application/vnd.in-toto+json", payload, by))
}

func TestAttack_E13_E14_E15_E16_E17_T9_EveryConditionIsKept(t *testing.T) {
	race.Skip(t, "one goroutine judges")
	provenance := func(more string) string {
		return "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]" + more + "}"
	}
	scanned := func(more string) string { return "attestation: {type: vulns, by: builder" + more + "}" }
	good := provenanceBy(someBuilder)
	for label, c := range map[string]struct {
		require    string
		statements []says
		reason     verify.Reason // empty: allowed
	}{
		"provenance present":                   {provenance(""), []says{good}, ""},
		"provenance absent":                    {provenance(""), nil, verify.ReasonNoAttestation},
		"provenance malformed":                 {provenance(""), []says{{predicate.TypeProvenance, `{"buildDefinition":{}}`}}, verify.ReasonPredicate},
		"good beside malformed":                {provenance(""), []says{{predicate.TypeProvenance, `{}`}, good}, ""},
		"E16 builder a prefix":                 {provenance(""), []says{provenanceBy("https://ci.example/build")}, verify.ReasonBuilder},
		"E16 builder longer":                   {provenance(""), []says{provenanceBy("https://ci.example/builder2")}, verify.ReasonBuilder},
		"E16 builder with a slash":             {provenance(""), []says{provenanceBy("https://ci.example/builder/")}, verify.ReasonBuilder},
		"E16 builder in other case":            {provenance(""), []says{provenanceBy("https://ci.example/Builder")}, verify.ReasonBuilder},
		"E16 builder encoded":                  {provenance(""), []says{provenanceBy("https://ci.example/%62uilder")}, verify.ReasonBuilder},
		"E16 builder homoglyph":                {provenance(""), []says{provenanceBy("https://ci.ex\u0430mple/builder")}, verify.ReasonPredicate},
		"source":                               {provenance(", source: [git+https://git.example/team/app]"), []says{good}, ""},
		"E16 other source":                     {provenance(", source: [git+https://git.example/team/other]"), []says{good}, verify.ReasonSource},
		"E16 source with .git":                 {provenance(", source: [git+https://git.example/team/app]"), []says{provenanceBy(someBuilder, "team/app@", "team/app.git@")}, verify.ReasonSource},
		"E16 source with login":                {provenance(", source: [git+https://git.example/team/app]"), []says{provenanceBy(someBuilder, "https://git.example", "https://x@git.example")}, verify.ReasonSource},
		"E16 source by other scheme":           {provenance(", source: [git+https://git.example/team/app]"), []says{provenanceBy(someBuilder, "git+https:", "git+http:")}, verify.ReasonSource},
		"no source":                            {provenance(", source: [git+https://git.example/team/app]"), []says{provenanceBy(someBuilder, "git+https://git.example/team/app@refs/heads/main", "pkg:x/y", "gitCommit", "sha1")}, verify.ReasonSource},
		"ref":                                  {provenance(", ref: [refs/heads/main]"), []says{good}, ""},
		"other ref":                            {provenance(", ref: [refs/heads/release]"), []says{good}, verify.ReasonSource},
		"commit":                               {provenance(", commit: [" + someCommit + "]"), []says{good}, ""},
		"other commit":                         {provenance(", commit: [\"" + strings.Repeat("0", 40) + "\"]"), []says{good}, verify.ReasonSource},
		"build type":                           {provenance(", buildType: [https://ci.example/v1]"), []says{good}, ""},
		"other build type":                     {provenance(", buildType: [https://ci.example/v2]"), []says{good}, verify.ReasonBuildType},
		"parameter":                            {provenance(", parameters: {target: app, n: 1}"), []says{good}, ""},
		"E17 parameter of other value":         {provenance(", parameters: {target: app2}"), []says{good}, verify.ReasonParameters},
		"E17 parameter of other type":          {provenance(", parameters: {n: \"1\"}"), []says{good}, verify.ReasonParameters},
		"E17 parameter missing":                {provenance(", parameters: {x: 1}"), []says{good}, verify.ReasonParameters},
		"E17 parameter that must not be":       {provenance(", absentParameters: [target]"), []says{good}, verify.ReasonParameters},
		"absent parameter":                     {provenance(", absentParameters: [source]"), []says{good}, ""},
		"E17 unknown parameter":                {provenance(", onlyKnownParameters: true, knownParameters: [target]"), []says{good}, verify.ReasonParameters},
		"known parameters":                     {provenance(", onlyKnownParameters: true, knownParameters: [target], parameters: {n: 1}"), []says{good}, ""},
		"level":                                {provenance(", minLevel: 3"), []says{good}, ""},
		"level too low":                        {strings.Replace(provenance(", minLevel: 4"), someBuilder, someBuilder+", https://best.example", 1), []says{good}, verify.ReasonBuilder},
		"age":                                  {provenance(", maxAge: 25h"), []says{good}, ""},
		"E14 too old":                          {provenance(", maxAge: 23h"), []says{good}, verify.ReasonStale},
		"E14 without a time":                   {provenance(", maxAge: 23h"), []says{provenanceBy(someBuilder, "finishedOn", "other")}, verify.ReasonStale},
		"E14 from the future":                  {provenance(""), []says{provenanceBy(someBuilder, "2026-11-22", "2026-11-24")}, verify.ReasonFuture},
		"E14 at the skew":                      {provenance(", maxAge: 1h"), []says{provenanceBy(someBuilder, "2026-11-22T12:00:00Z", "2026-11-23T12:05:00Z")}, ""},
		"E14 past the skew":                    {provenance(""), []says{provenanceBy(someBuilder, "2026-11-22T12:00:00Z", "2026-11-23T12:05:01Z")}, verify.ReasonFuture},
		"E13 built after":                      {provenance(", builtAfter: 2026-11-01T00:00:00Z"), []says{good}, ""},
		"E13 built before":                     {provenance(", builtAfter: 2026-11-23T00:00:00Z"), []says{good}, verify.ReasonStale},
		"provenance of v0.2":                   {provenance(", source: [git+https://git.example/team/app], ref: [refs/heads/main]"), []says{{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"https://ci.example/v1","invocation":{"configSource":{"uri":"git+https://git.example/team/app@refs/heads/main","digest":{"sha1":"` + someCommit + `"},"entryPoint":"x"}}}`}}, ""},
		"age of provenance of v0.2":            {provenance(", maxAge: 24h"), []says{v02(`{"buildStartedOn":"2026-11-01T00:00:00Z","buildFinishedOn":"2026-11-23T11:00:00Z"}`)}, ""},
		"stale provenance of v0.2":             {provenance(", maxAge: 24h"), []says{v02(`{"buildStartedOn":"2026-11-01T00:00:00Z","buildFinishedOn":"2026-11-02T00:00:00Z"}`)}, verify.ReasonStale},
		"v0.2 that only began":                 {provenance(", maxAge: 24h"), []says{v02(`{"buildStartedOn":"2026-11-23T11:00:00Z"}`)}, ""},
		"slsaprovenance1 is not v0.2":          {"attestation: {type: slsaprovenance1, by: builder, builder: [https://ci.example/builder]}", []says{{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"https://ci.example/v1"}`}}, verify.ReasonNoAttestation},
		"scan below":                           {scanned(", maxSeverity: medium"), []says{scanWith("low", recently)}, ""},
		"scan at":                              {scanned(", maxSeverity: medium"), []says{scanWith("medium", recently)}, ""},
		"scan above":                           {scanned(", maxSeverity: medium"), []says{scanWith("high", recently)}, verify.ReasonVulnerable},
		"scan, nothing accepted":               {scanned(", maxSeverity: none"), []says{scanWith("low", recently)}, verify.ReasonVulnerable},
		"E15 unknown severity":                 {scanned(", maxSeverity: high"), []says{scanWith("spicy", recently)}, verify.ReasonVulnerable},
		"E15 severity spelt otherwise":         {scanned(", maxSeverity: high"), []says{scanWith("CRITICAL", recently)}, verify.ReasonVulnerable},
		"E15 scan too old":                     {scanned(", maxSeverity: high, maxAge: 1h"), []says{scanWith("low", recently)}, verify.ReasonStale},
		"E15 scan re-dated":                    {scanned(", maxSeverity: high, maxAge: 1h"), []says{scanWith("low", "2026-12-22T12:00:00Z")}, verify.ReasonFuture},
		"accepted":                             {scanned(", maxSeverity: low, accept: [{id: CVE-2026-0001, until: 2026-12-01T00:00:00Z, reason: x}]"), []says{scanWith("high", recently)}, ""},
		"accepted until yesterday":             {scanned(", maxSeverity: low, accept: [{id: CVE-2026-0001, until: 2026-11-22T00:00:00Z, reason: x}]"), []says{scanWith("high", recently)}, verify.ReasonVulnerable},
		"another accepted":                     {scanned(", maxSeverity: low, accept: [{id: CVE-2026-0002, until: 2026-12-01T00:00:00Z, reason: x}]"), []says{scanWith("high", recently)}, verify.ReasonVulnerable},
		"VEX after the scan":                   {scanned(", maxSeverity: low, vexBy: builder"), []says{scanWith("high", recently), vex("not_affected")}, ""},
		"VEX before the scan":                  {scanned(", maxSeverity: low, vexBy: builder"), []says{vex("fixed"), scanWith("high", recently)}, ""},
		"VEX says affected":                    {scanned(", maxSeverity: low, vexBy: builder"), []says{vex("affected"), scanWith("high", recently)}, verify.ReasonVulnerable},
		"VEX of two minds":                     {scanned(", maxSeverity: low, vexBy: builder"), []says{vex("affected"), vex("not_affected"), scanWith("high", recently)}, verify.ReasonVulnerable},
		"VEX of a role not believed":           {scanned(", maxSeverity: low, vexBy: release"), []says{vex("not_affected"), scanWith("high", recently)}, verify.ReasonVulnerable},
		"VEX that was not asked for":           {scanned(", maxSeverity: low"), []says{vex("not_affected"), scanWith("high", recently)}, verify.ReasonVulnerable},
		"cosign's scan":                        {"attestation: {type: vuln, by: builder, maxSeverity: low}", []says{{predicate.TypeCosignVuln, `{"invocation":{},"scanner":{"uri":"x","result":{"SchemaVersion":2,"ArtifactName":"app","Results":[]}},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`}}, ""},
		"E15 cosign's scan of another image":   {"attestation: {type: vuln, by: builder, maxSeverity: low}", []says{{predicate.TypeCosignVuln, `{"invocation":{},"scanner":{"uri":"x","result":{"SchemaVersion":2,"ArtifactName":"app","Metadata":{"RepoDigests":["registry.example/team/app@sha256:` + strings.Repeat("0", 64) + `"]},"Results":[]}},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`}}, verify.ReasonUnreadScan},
		"E15 cosign's scan, not readable":      {"attestation: {type: vuln, by: builder, maxSeverity: low}", []says{{predicate.TypeCosignVuln, `{"invocation":{},"scanner":{"uri":"x","result":{"findings":0}},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`}}, verify.ReasonUnreadScan},
		"E15 cosign's scan without a report":   {"attestation: {type: vuln, by: builder, maxSeverity: low}", []says{{predicate.TypeCosignVuln, `{"invocation":{},"scanner":{"uri":"x"},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`}}, verify.ReasonUnreadScan},
		"SBOM":                                 {"attestation: {type: cyclonedx, by: builder}", []says{{predicate.TypeCycloneDX, cycloneDX}}, ""},
		"SBOM with version in its type":        {"attestation: {type: cyclonedx, by: builder}", []says{{predicate.TypeCycloneDX + "/v1.6", cycloneDX}}, ""},
		"SBOM that is none":                    {"attestation: {type: cyclonedx, by: builder}", []says{{predicate.TypeCycloneDX, spdx}}, verify.ReasonPredicate},
		"SBOM of the other type":               {"attestation: {type: cyclonedx, by: builder}", []says{{predicate.TypeSPDX, spdx}}, verify.ReasonNoAttestation},
		"denied package":                       {"attestation: {type: cyclonedx, by: builder, denyPackages: [pkg:npm/left-pad]}", []says{{predicate.TypeCycloneDX, cycloneDX}}, verify.ReasonDeniedPackage},
		"denied package by name":               {"attestation: {type: cyclonedx, by: builder, denyPackages: [org/inner]}", []says{{predicate.TypeCycloneDX, cycloneDX}}, verify.ReasonDeniedPackage},
		"other package":                        {"attestation: {type: cyclonedx, by: builder, denyPackages: [pkg:npm/left]}", []says{{predicate.TypeCycloneDX, cycloneDX}}, ""},
		"denied licence":                       {"attestation: {type: cyclonedx, by: builder, denyLicenses: [AGPL-3.0-only]}", []says{{predicate.TypeCycloneDX, cycloneDX}}, verify.ReasonDeniedLicense},
		"denied licence by ID":                 {"attestation: {type: cyclonedx, by: builder, denyLicenses: [WTFPL]}", []says{{predicate.TypeCycloneDX, cycloneDX}}, verify.ReasonDeniedLicense},
		"other licence":                        {"attestation: {type: cyclonedx, by: builder, denyLicenses: [AGPL]}", []says{{predicate.TypeCycloneDX, cycloneDX}}, ""},
		"denied package of SPDX":               {"attestation: {type: spdx, by: builder, denyPackages: [pkg:npm/left-pad]}", []says{{predicate.TypeSPDX, spdx}}, verify.ReasonDeniedPackage},
		"denied licence of SPDX":               {"attestation: {type: spdx, by: builder, denyLicenses: [gpl-3.0-OR-later]}", []says{{predicate.TypeSPDX, spdx}}, verify.ReasonDeniedLicense},
		"SPDX":                                 {"attestation: {type: spdxjson, by: builder, denyLicenses: [MIT]}", []says{{predicate.TypeSPDX, spdx}}, ""},
		"denied package before others":         {"attestation: {type: cyclonedx, by: builder, denyPackages: [pkg:npm/a]}", []says{{predicate.TypeCycloneDX, manyComponents}}, verify.ReasonDeniedPackage},
		"denied package within others":         {"attestation: {type: cyclonedx, by: builder, denyPackages: [inner]}", []says{{predicate.TypeCycloneDX, manyComponents}}, verify.ReasonDeniedPackage},
		"denied package with an empty group":   {"attestation: {type: cyclonedx, by: builder, denyPackages: [plain]}", []says{{predicate.TypeCycloneDX, manyComponents}}, verify.ReasonDeniedPackage},
		"denied package is the whole":          {"attestation: {type: cyclonedx, by: builder, denyPackages: [app]}", []says{{predicate.TypeCycloneDX, manyComponents}}, verify.ReasonDeniedPackage},
		"denied package of SPDX before others": {"attestation: {type: spdx, by: builder, denyPackages: [first]}", []says{{predicate.TypeSPDX, manyPackages}}, verify.ReasonDeniedPackage},
		"denied package of SPDX, the last":     {"attestation: {type: spdx, by: builder, denyPackages: [second]}", []says{{predicate.TypeSPDX, manyPackages}}, verify.ReasonDeniedPackage},
		"VSA of another track":                 {vsaRequired(", verifiedLevels: [SLSA_SOURCE_LEVEL_1]"), []says{vsa()}, verify.ReasonVerificationFailed},
		"VSA of a level of another form":       {vsaRequired(", verifiedLevels: [OTHER]"), []says{vsa()}, verify.ReasonVerificationFailed},
		"VSA of that level of another form":    {vsaRequired(", verifiedLevels: [OTHER]"), []says{vsa("SLSA_BUILD_LEVEL_3", "OTHER")}, ""},
		"dependency that is no source":         {provenance(", source: [https://git.example/team/app]"), []says{provenanceBy(someBuilder, "git+https://git.example/team/app@refs/heads/main", "https://git.example/team/app", "gitCommit", "sha1")}, verify.ReasonSource},
		"dependency without a name":            {provenance(", commit: [" + someCommit + "]"), []says{provenanceBy(someBuilder, "git+https://git.example/team/app@refs/heads/main", "")}, verify.ReasonSource},
		"login in the source is no ref":        {provenance(", ref: [refs/heads/main]"), []says{provenanceBy(someBuilder, "git+https://git.example/team/app@refs/heads/main", "git+ssh://git@refs/heads/main")}, verify.ReasonSource},
		"SPDX in a string":                     {"attestation: {type: spdx, by: builder, denyLicenses: [MIT]}", []says{{predicate.TypeSPDX, quoted(spdx)}}, ""},
		"denied licence of SPDX in a string":   {"attestation: {type: spdx, by: builder, denyLicenses: [GPL-3.0-or-later]}", []says{{predicate.TypeSPDX, quoted(spdx)}}, verify.ReasonDeniedLicense},
		"tests passed":                         {"attestation: {type: testresult, by: builder}", []says{{predicate.TypeTestResult, `{"result":"PASSED","configuration":[{"uri":"https://ci.example/t"}]}`}}, ""},
		"tests failed":                         {"attestation: {type: testresult, by: builder}", []says{{predicate.TypeTestResult, `{"result":"FAILED","configuration":[{"uri":"https://ci.example/t"}]}`}}, verify.ReasonTests},
		"tests warned, accepted":               {"attestation: {type: testresult, by: builder, result: [PASSED, WARNED]}", []says{{predicate.TypeTestResult, `{"result":"WARNED","configuration":[{"uri":"https://ci.example/t"}]}`}}, ""},
		"VSA":                                  {vsaRequired(""), []says{vsa()}, ""},
		"VSA of that very level":               {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_3]"), []says{vsa()}, ""},
		"VSA of a lower level wanted":          {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_2]"), []says{vsa()}, ""},
		"T9 VSA of another verifier":           {vsaRequired(""), []says{vsa("https://verifier.example", "https://evil.example")}, verify.ReasonVerifier},
		"T9 VSA of another resource":           {vsaRequired(""), []says{vsa("team/app", "team/app2")}, verify.ReasonResource},
		"T9 VSA that says FAILED":              {vsaRequired(""), []says{vsa(`"PASSED"`, `"FAILED"`, `"SLSA_BUILD_LEVEL_3"`, `"FAILED"`)}, verify.ReasonVerificationFailed},
		"T9 VSA of too low a level":            {vsaRequired(", verifiedLevels: [SLSA_BUILD_LEVEL_4]"), []says{vsa()}, verify.ReasonVerificationFailed},
		"T9 VSA stale":                         {vsaRequired(", maxAge: 1h"), []says{vsa()}, verify.ReasonStale},
		"T9 VSA of another policy":             {vsaRequired(", policyUri: https://policy.example/2"), []says{vsa()}, verify.ReasonVerifiedPolicy},
		"T9 VSA of another policy digest":      {vsaRequired(", policyDigest: \"sha256:" + strings.Repeat("cd", 32) + "\""), []says{vsa()}, verify.ReasonVerifiedPolicy},
		"VSA of the policy digest":             {vsaRequired(", policyDigest: \"sha256:" + strings.Repeat("ab", 32) + "\""), []says{vsa()}, ""},
		"VSA of a resource that is named":      {vsaRequired(", resource: [\"https://elsewhere.example\"]"), []says{vsa("oci://registry.example/team/app", "https://elsewhere.example")}, ""},
		"SPDX 3 is present":                    {"attestation: {type: spdx, by: builder}", []says{spdx3}, ""},
		"denied package of SPDX 3":             {"attestation: {type: spdx, by: builder, denyPackages: [left-pad]}", []says{spdx3}, verify.ReasonPredicate},
		"denied licence of SPDX 3":             {"attestation: {type: spdx, by: builder, denyLicenses: [MIT]}", []says{spdx3}, verify.ReasonPredicate},
		"denied package, another purl behind":  {"attestation: {type: spdx, by: builder, denyPackages: [pkg:npm/left-pad]}", []says{twoPurls}, verify.ReasonDeniedPackage},
		"E17 parameters that are a list":       {provenance(", onlyKnownParameters: true"), []says{listedParameters}, verify.ReasonParameters},
		"E17 absent from a list":               {provenance(", absentParameters: [evil]"), []says{listedParameters}, verify.ReasonParameters},
		"a list that no condition reads":       {provenance(""), []says{listedParameters}, ""},
		"denied package, scoped, escaped":      {`attestation: {type: spdx, by: builder, denyPackages: ["pkg:npm/@evil/core"]}`, []says{spdxWith("pkg:npm/left-pad@1.3.0?x=y", "pkg:npm/%40evil/core@1.0.0")}, verify.ReasonDeniedPackage},
		"denied package, escaped in policy":    {`attestation: {type: spdx, by: builder, denyPackages: ["pkg:npm/%40evil/core"]}`, []says{spdxWith("pkg:npm/left-pad@1.3.0?x=y", "pkg:npm/@evil/core")}, verify.ReasonDeniedPackage},
		"denied package, type in capitals":     {`attestation: {type: spdx, by: builder, denyPackages: ["pkg:npm/left-pad"]}`, []says{spdxWith("pkg:npm/left-pad@1.3.0?x=y", "pkg:NPM/left-pad@1.3.0")}, verify.ReasonDeniedPackage},
		"denied package behind a group":        {`attestation: {type: cyclonedx, by: builder, denyPackages: [inner]}`, []says{{predicate.TypeCycloneDX, cycloneDX}}, verify.ReasonDeniedPackage},
		"denied licence behind a line's end":   {`attestation: {type: spdx, by: builder, denyLicenses: [AGPL-3.0-only]}`, []says{spdxWith("GPL-3.0-or-later WITH Classpath-exception-2.0", `MIT AND\nAGPL-3.0-only`)}, verify.ReasonDeniedLicense},
		"E16 branch that is called as a ref":   {provenance(", ref: [refs/heads/main]"), []says{provenanceBy(someBuilder, "@refs/heads/main", "@refs/heads/evil@refs/heads/main")}, verify.ReasonSource},
		"E16 branch with an @":                 {provenance(", ref: [\"refs/heads/v1@next\"], source: [git+https://git.example/team/app]"), []says{provenanceBy(someBuilder, "@refs/heads/main", "@refs/heads/v1@next")}, ""},
		"parameter beyond what floats hold":    {provenance(", parameters: {n: 9007199254740993}"), []says{provenanceBy(someBuilder, `"n":1`, `"n":9007199254740992`)}, verify.ReasonParameters},
		"parameter of that size":               {provenance(", parameters: {n: 9007199254740993}"), []says{provenanceBy(someBuilder, `"n":1`, `"n":9007199254740993`)}, ""},
		"age of a build that only began":       {provenance(", maxAge: 25h"), []says{provenanceBy(someBuilder, "finishedOn", "startedOn")}, ""},
		"source among the materials of v0.2":   {provenance(", source: [git+https://git.example/team/app]"), []says{v02(`{},"materials":[{"uri":"pkg:docker/x"},{"uri":"git+https://git.example/team/app@refs/heads/main","digest":{"sha1":"` + someCommit + `"}}]`)}, ""},
		"E16 source among later materials":     {provenance(", source: [git+https://git.example/team/app]"), []says{v02(`{},"materials":[{"uri":"git+https://git.example/evil"},{"uri":"git+https://git.example/team/app"}]`)}, verify.ReasonSource},
		"E15 cosign's scan that found one":     {cosignScan, []says{cosignVuln("HIGH")}, verify.ReasonVulnerable},
		"cosign's scan that found a lesser":    {cosignScan, []says{cosignVuln("LOW")}, ""},
		"denied package that is no URL":        {`attestation: {type: spdx, by: builder, denyPackages: ["pkg:generic/100%"]}`, []says{spdxWith("pkg:npm/left-pad@1.3.0?x=y", "pkg:generic/100%@1")}, verify.ReasonDeniedPackage},
		"denied package in too much to read":   {`attestation: {type: cyclonedx, by: builder, denyPackages: [other]}`, []says{{predicate.TypeCycloneDX, tooManyValues}}, verify.ReasonPredicate},
		"too much to read, nothing denied":     {`attestation: {type: cyclonedx, by: builder}`, []says{{predicate.TypeCycloneDX, tooManyValues}}, ""},
		"any other type":                       {"attestation: {type: https://example.com/own, by: builder, acceptAnyContent: true}", []says{{"https://example.com/own", "{}"}}, ""},
		"any other type, longer":               {"attestation: {type: https://example.com/own, by: builder, acceptAnyContent: true}", []says{{"https://example.com/own/v1", "{}"}}, verify.ReasonNoAttestation},
	} {
		t.Run(label, func(t *testing.T) {
			res, err := required(t, c.require+levels, c.statements...)
			if c.reason == "" {
				if err != nil || len(res.Statements) == 0 {
					t.Errorf("%v", err)
				}
				return
			}
			denial, ok := err.(*verify.Error)
			if !ok || res != nil || denial.Reason != c.reason {
				t.Errorf("%v, %v; want %s", res, err, c.reason)
			}
		})
	}
}

// Documents whose parts a condition cannot read are not taken to have none.
var (
	spdx3 = says{predicate.TypeSPDX, `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
{"type":"CreationInfo","@id":"_:c","created":"2026-03-01T10:05:00Z"},{"type":"SpdxDocument","spdxId":"urn:d","name":"app"},
{"type":"software_Package","spdxId":"urn:p","name":"left-pad","software_packageUrl":"pkg:npm/left-pad@1.3.0"}]}`}
	twoPurls = says{predicate.TypeSPDX, strings.Replace(spdx, `"referenceLocator":"pkg:npm/left-pad@1.3.0?x=y"}`,
		`"referenceLocator":"pkg:npm/left-pad@1.3.0"},{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/other@1"}`, 1)}
	listedParameters = says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"https://ci.example/v1","invocation":{"parameters":["--source=git+https://evil.example/x","evil"]}}`}
)

const cosignScan = "attestation: {type: vuln, by: builder, maxSeverity: low}"

// cosignVuln is cosign's predicate of a scan that found one thing.
func cosignVuln(severity string) says {
	return says{predicate.TypeCosignVuln, fmt.Sprintf(`{"invocation":{},"scanner":{"uri":"x","result":{"SchemaVersion":2,"ArtifactName":"app","Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-2026-0001","Severity":%q}]}]}},
"metadata":{"scanStartedOn":%[2]q,"scanFinishedOn":%[2]q}}`, severity, recently)}
}

// tooManyValues is a bill of materials of more values than a condition reads.
var tooManyValues = strings.Replace(cycloneDX, `"version":1`, `"version":1,"x":[`+strings.Repeat("1,", 1<<20)+`1]`, 1)

// levels follow a requirement: what the builder is trusted to reach.
const levels = "\nbuilders: {\"https://ci.example/builder\": 3, \"https://best.example\": 4}"

func vsaRequired(more string) string {
	return "attestation: {type: vsa, by: builder, verifier: [https://verifier.example]" + more + "}"
}

func spdxWith(old, new string) says {
	return says{predicate.TypeSPDX, strings.Replace(spdx, old, new, 1)}
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // a string always can
	return string(text)
}

// v02 is provenance of the old version.
func v02(metadata string) says {
	return says{predicate.TypeProvenance02, `{"builder":{"id":"https://ci.example/builder"},"buildType":"https://ci.example/v1","metadata":` + metadata + `}`}
}

const manyComponents = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"component":{"type":"container","name":"app"}},"components":[
{"type":"library","name":"a","purl":"pkg:npm/a@1"},{"type":"library","name":"outer","components":[{"type":"library","name":"inner"},{"type":"library","name":"beside"}]},
{"type":"library","name":"plain","group":""},{"type":"library","name":"z"}]}`

const manyPackages = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"app","documentNamespace":"https://sbom.example/app",
"creationInfo":{"creators":["Tool: t"],"created":"2026-03-01T10:05:00Z"},"packages":[{"name":"first","SPDXID":"SPDXRef-1","downloadLocation":"NOASSERTION"},
{"name":"second","SPDXID":"SPDXRef-2","downloadLocation":"NOASSERTION"}]}`

// Of many findings some are told, and how many more there are.
func TestADenialForManyFindingsTellsSomeOfThem(t *testing.T) {
	for n, want := range map[int]string{
		1: "it has CVE-1 (high)",
		5: "it has CVE-1 (high), CVE-2 (high), CVE-3 (high), CVE-4 (high), CVE-5 (high)",
		7: "it has CVE-1 (high), CVE-2 (high), CVE-3 (high), CVE-4 (high), CVE-5 (high) and 2 more",
	} {
		var found []string
		for i := range n {
			found = append(found, fmt.Sprintf(`{"id":"CVE-%d","severity":[{"method":"nvd","score":"high"}]}`, i+1))
		}
		s := says{predicate.TypeVulns, fmt.Sprintf(`{"scanner":{"uri":"https://scanner.example","result":[%s]},"metadata":{"scanStartedOn":%[2]q,"scanFinishedOn":%[2]q}}`, strings.Join(found, ","), recently)}
		res, err := required(t, "attestation: {type: vulns, by: builder, maxSeverity: low}", s)
		if got := isDenied(t, res, err, verify.ReasonVulnerable).Detail; got != want {
			t.Errorf("%d findings: %q, want %q", n, got, want)
		}
	}
}

func TestAttack_T7_VEXCountsOnceItsThresholdSignedTheSame(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	text := strings.Replace(policyText, "signature: {by: release}", "attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: pair}", 1)
	state(t, w, w.image, scanWith("high", recently), c)
	state(t, w, w.image, vex("not_affected"), a)
	state(t, w, w.image, vex("not_affected"), a)
	state(t, w, w.image, vex("fixed"), b)
	state(t, w, w.image, vex("not_affected"), c)
	res, err := w.judged(text, now, a, b, c)
	if denial, ok := err.(*verify.Error); !ok || denial.Reason != verify.ReasonVulnerable {
		t.Fatalf("%+v, %v", res, err)
	}
	state(t, w, w.image, vex("not_affected"), b)
	if _, err = w.judged(text, now, a, b, c); err != nil {
		t.Error(err)
	}
}

// A decision ends with the shortest-lived thing it rests on: the key that has
// signed a VEX document, or owns a layout, is one.
func TestADecisionEndsWithTheKeysOfItsVEXDocuments(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	ends := now.Add(time.Minute)
	text := strings.Replace(policyText, signatureRequired, "attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: release}", 1)
	text = strings.Replace(text, "a: {file: a.pub}", "a: {file: a.pub, notAfter: "+ends.Format(time.RFC3339)+"}", 1)
	state(t, w, w.image, scanWith("high", recently), c)
	state(t, w, w.image, vex("not_affected"), a)
	res, err := w.judged(text, now, a, b, c)
	if err != nil || !res.ValidUntil.Equal(ends) {
		t.Fatalf("%+v, %v; want it to end with the key", res, err)
	}
	res, err = w.judged(text, ends.Add(time.Second), a, b, c)
	isDenied(t, res, err, verify.ReasonVulnerable)
}

func TestADecisionEndsWithTheOwnersOfItsLayout(t *testing.T) {
	ends := now.Add(time.Minute)
	l := newLayoutWorld(t, "a: {file: a.pub}", "a: {file: a.pub, notAfter: "+ends.Format(time.RFC3339)+"}")
	bundle := l.carry(l.link(l.builder, map[string]string{"image": strings.TrimPrefix(l.image.DigestStr(), "sha256:")}))
	if res, err := l.v.Bundles(context.Background(), l.image, bundle); err != nil || !res.ValidUntil.Equal(ends) {
		t.Errorf("%+v, %v; want it to end with the owner", res, err)
	}
}

func TestAttack_T10_LayoutsAreMetByTheirFunctionariesLinks(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	owner, b, c, builder, stranger := newPerson(t), newPerson(t), newPerson(t), newPerson(t), newPerson(t)
	layout, err := steps.SignLayout(ctx, steps.Layout{
		Expires: now.Add(24 * time.Hour),
		Steps:   []steps.Step{{Name: "build", Functionaries: []crypto.PublicKey{builder.Public()}, Products: []steps.Rule{steps.Allow("*")}}},
	}, owner)
	if err != nil {
		t.Fatal(err)
	}
	policyOf := func(release, third person) func(at time.Time) (*verify.Result, error) {
		return func(at time.Time) (*verify.Result, error) {
			t.Helper()
			text := strings.Replace(policyText, "signature: {by: release}", "attestation: {type: intoto, by: release, layout: layout.json}", 1)
			path := written(t, text, release, b, third)
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "layout.json"), layout, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := policy.Load(path, policy.ParseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v, err := verify.New(p, verify.Options{Now: func() time.Time { return at }})
			if err != nil {
				t.Fatal(err)
			}
			return v.Image(ctx, w.store, w.image)
		}
	}
	given := policyOf(owner, c)
	carry := func(by person, image string) {
		t.Helper()
		link, err := steps.SignLink(ctx, steps.Link{Name: "build", Products: steps.SHA256(map[string]string{"image": image})}, by)
		if err != nil {
			t.Fatal(err)
		}
		// Anybody may attach links: their own signatures count.
		if _, err := attest.Image(ctx, w.store, w.image, steps.LinkPredicate{Links: [][]byte{link}}, attest.Options{}, stranger); err != nil {
			t.Fatal(err)
		}
	}
	hex := strings.TrimPrefix(w.image.DigestStr(), "sha256:")
	w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning}}, builder)
	res, err := given(now)
	isDenied(t, res, err, verify.ReasonNoAttestation)
	carry(stranger, hex)
	res, err = given(now)
	isDenied(t, res, err, verify.ReasonLayout)
	carry(builder, strings.Repeat("0", 64))
	res, err = given(now)
	isDenied(t, res, err, verify.ReasonLayout)
	// Good links in a statement about another image.
	link, err := steps.SignLink(ctx, steps.Link{Name: "build", Products: steps.SHA256(map[string]string{"image": hex})}, builder)
	if err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(steps.LinkPredicate{Links: [][]byte{link}})
	if err != nil {
		t.Fatal(err)
	}
	w.attach(w.image, bundleItem(t, dsse.PayloadTypeInToto, fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[%s],"predicate":%s}`,
		steps.TypeLinkSet, about(w.repo.Digest("sha256:"+strings.Repeat("0", 64))), said), builder))
	res, err = given(now)
	if denial := isDenied(t, res, err, verify.ReasonLayout); !slices.ContainsFunc(denial.Evidence, func(e verify.Evidence) bool { return e.Reason == verify.ReasonWrongSubject }) {
		t.Errorf("%+v", denial.Evidence)
	}
	carry(builder, hex)
	if _, err = policyOf(c, owner)(now); err == nil {
		t.Error("the layout counts though its owner is not in the role")
	}
	if res, err = given(now); err != nil || !res.ValidUntil.Equal(now.Add(24*time.Hour)) {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = given(now.Add(25 * time.Hour))
	isDenied(t, res, err, verify.ReasonLayout)
}

func TestAPointerBelowWhatIsNotThereLeadsNowhere(t *testing.T) {
	const review = "https://acme.example/review/v1"
	res, err := required(t, "attestation: {type: "+review+", by: builder, where: [{pointer: /ticket/state/name, equals: done}]}", says{review, `{"other":1}`})
	isDenied(t, res, err, verify.ReasonMember, verify.ReasonMember)
}

func TestSummariesWithAnotherResultAreNotRead(t *testing.T) {
	res, err := required(t, vsaRequired(""), vsa(`"PASSED"`, `"WARNED"`))
	denied := isDenied(t, res, err, verify.ReasonPredicate)
	if !strings.Contains(denied.Detail, "PASSED or FAILED") {
		t.Error(denied.Detail)
	}
}
