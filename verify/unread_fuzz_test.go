package verify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// meetingCase is a predicate that meets a requirement. read are the paths of its members
// that the requirement reads, [] for any element of a list; whatever stands in another
// member, the requirement is met.
type meetingCase struct {
	uri, text string
	q         policy.AttestationRequirement
	read      []string
}

// meetingCases are predicates of each type, with all members that their formats have.
func meetingCases() []meetingCase {
	const builder, commit = "https://ci.example/b", "0123456789abcdef0123456789abcdef01234567"
	provenance := func(more policy.ProvenanceConditions) policy.AttestationRequirement {
		more.Builder = []string{builder}
		return policy.AttestationRequirement{Type: "slsaprovenance", ProvenanceConditions: more}
	}
	v1 := fmt.Sprintf(`{"buildDefinition":{"buildType":"https://b.example","externalParameters":{"a":1,"b":{"c":[2]}},"internalParameters":{"x":[1]},
"resolvedDependencies":[{"uri":"git+https://g.example/a@refs/heads/main","digest":{"gitCommit":%q},"name":"n","mediaType":"m","content":"YQ==","downloadLocation":"https://d.example"},{"uri":"docker.io/library/alpine","digest":{"sha256":"ab"}},{"name":"x"}]},
"runDetails":{"builder":{"id":%q,"version":{"a":"1"},"builderDependencies":[{"uri":"x:y"}]},"metadata":{"invocationId":"i","startedOn":%q,"finishedOn":%q},"byproducts":[{"name":"log"}]}}`, commit, builder, shapedTime, shapedTime)
	v02 := fmt.Sprintf(`{"builder":{"id":%q},"buildType":"tekton.dev/v1beta1/TaskRun","invocation":{"configSource":{"uri":"git+https://g.example/a","digest":{"sha1":%q},"entryPoint":"e"},"parameters":{"a":1},"environment":{"x":[1]}},
"buildConfig":{"steps":[1]},"metadata":{"buildInvocationID":"i","buildStartedOn":%q,"buildFinishedOn":%q,"completeness":{"materials":true},"reproducible":false},"materials":[{"uri":"git@host:a.git","digest":{"sha1":"x"}}]}`, builder, commit, shapedTime, shapedTime)
	const ids1, ids02, times1, times02 = "runDetails.builder.id", "builder.id", "runDetails.metadata.finishedOn", "metadata.buildFinishedOn"
	source := policy.ProvenanceConditions{Source: []string{"git+https://g.example/a"}, Commit: []string{commit}}
	parameters := policy.ProvenanceConditions{Parameters: map[string]any{"a": int64(1)}, AbsentParameters: []string{"evil"}}
	const vsa = `{"verifier":{"id":"https://v.example","version":{"a":"1"}},"timeVerified":"` + shapedTime + `","resourceUri":"oci://registry.example/team/app","policy":{"uri":"https://p.example","digest":{"sha256":"ab"},"name":"n"},
"inputAttestations":[{"uri":"x:y","digest":{"sha256":"ab"}}],"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_3"],"dependencyLevels":{"SLSA_BUILD_LEVEL_1":1},"slsaVersion":"1.0"}`
	const cdx = `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"x","version":1,"metadata":{"timestamp":"` + shapedTime + `","component":{"name":"a"}},"components":[{"type":"library","name":"x","purl":"pkg:npm/x@1","licenses":[{"license":{"id":"MIT"}}],"hashes":[1]}],"dependencies":[1]}`
	const spdx = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"app-1","documentNamespace":"app-1","creationInfo":{"created":"x","creators":["Tool: t"]},"packages":[{"name":"x","SPDXID":"a","versionInfo":"1","licenseConcluded":"MIT"}],"relationships":[1]}`
	bills := policy.DocumentConditions{DenyPackages: []string{"pkg:npm/evil"}}
	verifier := policy.VSAConditions{Verifier: []string{"https://v.example"}}
	return []meetingCase{
		{predicate.TypeProvenance, v1, provenance(policy.ProvenanceConditions{}), []string{ids1, times1}},
		{predicate.TypeProvenance, v1, provenance(source), []string{ids1, times1, "buildDefinition.buildType", "buildDefinition.resolvedDependencies[].uri", "buildDefinition.resolvedDependencies[].digest.gitCommit"}},
		{predicate.TypeProvenance, v1, provenance(parameters), []string{ids1, times1, "buildDefinition.externalParameters.a"}},
		{predicate.TypeProvenance02, v02, provenance(policy.ProvenanceConditions{}), []string{ids02, times02}},
		{predicate.TypeProvenance02, v02, provenance(source), []string{ids02, times02, "buildType", "invocation.configSource.uri", "invocation.configSource.digest.sha1"}},
		{predicate.TypeVSA, vsa, policy.AttestationRequirement{Type: "vsa", VSAConditions: verifier}, []string{"verifier.id", "timeVerified", "resourceUri", "verificationResult", "verifiedLevels[]"}},
		{predicate.TypeTestResult, `{"result":"PASSED","configuration":[{"uri":"x:y"}],"url":"https://t.example","passedTests":["a"]}`, policy.AttestationRequirement{Type: "testresult"}, []string{"result"}},
		{predicate.TypeCycloneDX, cdx, policy.AttestationRequirement{Type: "cyclonedx"}, []string{"bomFormat"}},
		{predicate.TypeCycloneDX, cdx, policy.AttestationRequirement{Type: "cyclonedx", DocumentConditions: bills}, []string{"bomFormat", "specVersion", "metadata.component.name", "components[].name", "components[].purl"}},
		{predicate.TypeSPDX, spdx, policy.AttestationRequirement{Type: "spdx"}, []string{"spdxVersion"}},
		{predicate.TypeSPDX, spdx, policy.AttestationRequirement{Type: "spdx", DocumentConditions: bills}, []string{"spdxVersion", "packages[].name"}},
		{predicate.TypeVulns, `{"scanner":{"uri":"x","version":"1","db":{"uri":"y"},"result":[{"id":"CVE-1","severity":[{"method":"nvd","score":"low"}],"annotations":[{"a":1}]}]},"metadata":{"scanStartedOn":"` + shapedTime + `","scanFinishedOn":"` + shapedTime + `"}}`,
			policy.AttestationRequirement{Type: "vulns", ScanConditions: policy.ScanConditions{MaxSeverity: "low"}},
			[]string{"scanner.result[].id", "scanner.result[].severity[].method", "scanner.result[].severity[].score", "metadata.scanFinishedOn"}},
		{predicate.TypeCosignVuln, `{"invocation":{"parameters":[1],"uri":"","event_id":"","builder.id":""},"scanner":{"uri":"","version":"","db":{"uri":""},"result":{"SchemaVersion":2,"ArtifactName":"app","Results":[]}},"metadata":{"scanStartedOn":"` + shapedTime + `","scanFinishedOn":"` + shapedTime + `"}}`,
			policy.AttestationRequirement{Type: "vuln", ScanConditions: policy.ScanConditions{MaxSeverity: "low"}},
			[]string{"scanner.result.SchemaVersion", "scanner.result.ArtifactName", "scanner.result.Results", "metadata.scanFinishedOn"}},
		{predicate.TypeOpenVEX, `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"a","timestamp":"` + shapedTime + `","version":1,"statements":[{"vulnerability":{"name":"x"},"status":"fixed"}]}`, policy.AttestationRequirement{Type: "openvex"}, []string{"@context", "timestamp"}},
		{predicate.TypeLink, `{"_type":"link","name":"n","materials":{"a":{"sha256":"ab"}},"products":{},"byproducts":{},"command":[],"environment":{}}`, policy.AttestationRequirement{Type: "link", AcceptAnyContent: true}, nil},
	}
}

// reads reports whether the requirement reads the member at a path, or one inside of it.
func (c meetingCase) reads(path string) bool {
	path = strings.NewReplacer("[0]", "[]", "[1]", "[]", "[2]", "[]").Replace(path)
	return path == "" || slices.ContainsFunc(c.read, func(read string) bool {
		return strings.HasPrefix(read+".", path+".") || strings.HasPrefix(read, path+"[") || strings.HasPrefix(path, read+".") || strings.HasPrefix(path, read+"[")
	})
}

func (c meetingCase) judge(t *testing.T, text string) *problem {
	t.Helper()
	image, err := name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	// As a verifier has it: out of a statement.
	payload := fmt.Sprintf(`{"_type":%q,"subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":%s}`, intoto.StatementV1, strings.Repeat("ab", 32), c.uri, text)
	s, err := intoto.Parse([]byte(payload))
	if err != nil {
		return &problem{reason: ReasonMalformed, detail: err.Error()}
	}
	_, p := newAttestation(&c.q).judge(&statement{c.uri, s.Predicate}, &circumstances{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), skew: time.Minute, image: image})
	return p
}

// withValue is the document with a value in the place of a number; the path is empty where
// a condition reads that place.
func (c meetingCase) withValue(t *testing.T, at int, with string) (path, text string) {
	t.Helper()
	all := places(t, c.text)
	p := all[at%len(all)]
	if c.reads(p.path) {
		return "", ""
	}
	made, err := json.Marshal(replaced(parsed(t, c.text), p.steps, json.RawMessage(with)))
	if err != nil {
		return "", ""
	}
	return p.path, string(made)
}

func TestAttack_E23_OtherMembersMayBeAnything(t *testing.T) {
	for _, c := range meetingCases() {
		if p := c.judge(t, c.text); p != nil {
			t.Errorf("%s: %s\n%s", c.q.Type, p.detail, c.text)
			continue
		}
		for at := range places(t, c.text) {
			for _, with := range []string{`null`, `7`, `1e400`, `99999999999999999999`, `""`, `"x"`, `[]`, `{}`, `[null]`, `{"":[]}`, `true`, `"0001-01-01T00:00:00Z"`, `[{"uri":7}]`} {
				path, text := c.withValue(t, at, with)
				if p := c.judge(t, text); path != "" && p != nil {
					t.Errorf("%s with %s as %s: %s", c.q.Type, with, path, p.detail)
				}
			}
		}
	}
}

func TestJudge_AStatementWithoutAPredicateMeetsNothing(t *testing.T) {
	for _, c := range meetingCases() {
		if _, p := newAttestation(&c.q).judge(&statement{c.uri, nil}, &circumstances{}); p == nil || p.reason != ReasonPredicate || !strings.Contains(p.detail, "no predicate") {
			t.Errorf("%s: %+v", c.q.Type, p)
		}
	}
}

// FuzzUnreadMembers puts any JSON where no condition reads.
func FuzzUnreadMembers(f *testing.F) {
	f.Add(0, 0, `{"a":[1e400]}`)
	for n := range meetingCases() {
		for at, with := range []string{`null`, `1e400`, `[[[]]]`, `{"a":{"b":"c"}}`, `-0.0`, `"\ud83d\ude00"`, `123456789012345678901234567890`, `""`} {
			f.Add(n, 3*at, with)
		}
	}
	cases := meetingCases()
	f.Fuzz(func(t *testing.T, n, at int, with string) {
		if n < 0 || at < 0 || len(with) > 1000 {
			return
		}
		if _, err := strictjson.ParseOthers([]byte(with), 1); err != nil {
			return // what is always refused
		}
		c := cases[n%len(cases)]
		path, text := c.withValue(t, at, with)
		if path == "" || strings.Count(with, "[")+strings.Count(with, "{") > 40 {
			return
		}
		if p := c.judge(t, text); p != nil {
			t.Errorf("%s with %s as %s: %s\n%s", c.q.Type, with, path, p.detail, text)
		}
	})
}
