package verify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Whatever a trusted key has signed, each kind of requirement judges it without
// failing, and the same each time.
func FuzzConditions(f *testing.F) {
	f.Add(0, `{"buildDefinition":{"buildType":"https://b.example","externalParameters":{}},"runDetails":{"builder":{"id":"https://ci.example"}}}`)
	for i, text := range []string{
		`{"builder":{"id":"https://ci.example"},"buildType":"https://b.example"}`,
		`{"builder":{"id":"https://ci.example"},"buildType":"https://b.example","invocation":{},"metadata":{},"materials":[{}]}`,
		`{"scanner":{"uri":"https://s.example","result":[{"id":"CVE-1","severity":[{"method":"nvd","score":"high"}]}]},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`,
		`{"invocation":{"uri":"","event_id":"","builder.id":""},"scanner":{"uri":"x","version":"","db":{"uri":"","version":""},"result":{"Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-1","Severity":"HIGH"}]}]}},"metadata":{"scanStartedOn":"2026-11-22T12:00:00Z","scanFinishedOn":"2026-11-22T12:00:00Z"}}`,
		`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"component":{"type":"container","name":"a"}},"components":[{"type":"library","name":"denied"}]}`,
		`{"spdxVersion":"SPDX-2.3","packages":[{"name":"denied","SPDXID":"SPDXRef-1"},{"licenseConcluded":"(MIT AND"}]}`,
		`{"verifier":{"id":"https://v.example"},"timeVerified":"2026-11-22T12:00:00Z","resourceUri":"oci://registry.example/team/app","policy":{"uri":"https://p.example"},"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_3"]}`,
		`{"result":"PASSED","configuration":[{"uri":"https://t.example"}]}`, `null`, `[]`, `"text"`,
	} {
		f.Add(i, text)
	}
	image, err := name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32))
	if err != nil {
		f.Fatal(err)
	}
	requirements := []policy.AttestationRequirement{
		{Type: "slsaprovenance", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{"https://ci.example"}, Source: []string{"git+https://g.example"}, Ref: []string{"r"}, Commit: []string{strings.Repeat("a", 40)},
			Parameters: map[string]any{"a": "b"}, AbsentParameters: []string{"c"}, OnlyKnownParameters: true, BuiltAfter: time.Unix(1, 0)}, MaxAge: policy.Duration(time.Hour)},
		{Type: "vulns", ScanConditions: policy.ScanConditions{MaxSeverity: "low", Accept: []policy.AcceptedVulnerability{{ID: "CVE-1", Until: time.Unix(1, 0), Reason: "x"}}}, MaxAge: policy.Duration(time.Hour)},
		{Type: "vuln", ScanConditions: policy.ScanConditions{MaxSeverity: "none"}},
		{Type: "cyclonedx", DocumentConditions: policy.DocumentConditions{DenyPackages: []string{"denied", "pkg:npm/x"}, DenyLicenses: []string{"MIT"}}, MaxAge: policy.Duration(time.Hour)},
		{Type: "spdx", DocumentConditions: policy.DocumentConditions{DenyPackages: []string{"denied"}, DenyLicenses: []string{"MIT"}}},
		{Type: "vsa", VSAConditions: policy.VSAConditions{Verifier: []string{"https://v.example"}, VerifiedLevels: []string{"SLSA_BUILD_LEVEL_2"}, PolicyURI: "https://p.example", PolicyDigest: "sha256:" + strings.Repeat("0", 64)}},
		{Type: "testresult", DocumentConditions: policy.DocumentConditions{Result: []string{"PASSED"}}},
		{Type: "openvex"}, {Type: "https://example.com/own", AcceptAnyContent: true},
		{Type: "https://example.com/own", Where: []policy.MemberCondition{{Pointer: "/a/0/~1", Absent: true}, {Pointer: "/b", AtMost: json.RawMessage("1e5")}, {Pointer: "/c", Before: time.Unix(1, 0)}, {Pointer: "/d", Matches: []string{"*/**"}}, {Pointer: "/e", Equals: json.RawMessage(`"x"`)}}},
	}
	f.Fuzz(func(t *testing.T, _ int, text string) {
		for _, q := range requirements {
			for _, uri := range q.PredicateTypes() {
				c := &circumstances{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), skew: time.Minute, image: image, builders: map[string]int{"https://ci.example": 3}}
				c.excused, _, _ = harmless([]vexDocument{{text: []byte(text)}}, newAttestation(&q), c.now, c.skew)
				s := &statement{predicateType: uri, predicate: []byte(text)}
				_, first := newAttestation(&q).judge(s, c)
				_, second := newAttestation(&q).judge(s, c)
				if (first == nil) != (second == nil) || first != nil && first.reason != second.reason {
					t.Fatalf("%s: %v, then %v", uri, first, second)
				}
			}
		}
	})
}

// Whatever an image's config says, it is judged without failing.
func FuzzConfig(f *testing.F) {
	f.Add(`{"config":{"User":"0","Env":["A=b"],"ExposedPorts":{"80/tcp":{}}},"history":[{"created_by":"x"}],"created":"2026-01-01T00:00:00Z"}`)
	f.Add(`{"config":null,"history":null}`)
	q := configuration{ConfigRequirement: &policy.ConfigRequirement{NonRoot: true, NoSecrets: true, NoPrivilegedPorts: true, CreatedWithin: policy.Duration(time.Hour), BaseImages: []string{"registry.example/base"}, MinVersion: "1.0.0", Platforms: []string{"linux/amd64"}}}
	f.Fuzz(func(_ *testing.T, config string) {
		view, err := parseImage([]byte(`{"schemaVersion":2,"annotations":{"org.opencontainers.image.base.name":"x"}}`), []byte(config))
		if err == nil {
			_, _ = q.judge(view, &circumstances{now: time.Unix(1<<30, 0), skew: time.Minute})
		}
	})
}
