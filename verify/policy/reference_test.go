package policy_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/dev/fielddocs"
	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// With -update the reference is written:
//
//	go test ./verify/policy -run Reference -update
var update = flag.Bool("update", false, "write examples/policy/REFERENCE.md")

const referenceFile = "../../examples/policy/REFERENCE.md"

const referenceHead = `# Policy reference

Every field of a policy file. The file is strict YAML or JSON: unknown and repeated fields,
anchors, aliases, tags and fields without a value are errors, with line and column.

    hallmark policy check policy.yaml
    hallmark policy schema > policy.schema.json

The first command checks a file, the second prints a JSON Schema for editors. An editor with
yaml-language-server reads it if the file begins with:

    # yaml-language-server: $schema=policy.schema.json

A policy is tested by recorded images, as those in [tests](tests) are:

    hallmark policy test examples/policy

Whole policies:
[one key](single-key.yaml), [a registry of many teams](registry.yaml), [teams with files of their own](teams/policy.yaml)
and [separate duties](production.yaml).

A pattern is a registry's host and path segments. ` + "`*`" + ` is one whole segment, ` + "`**`" + ` any number of them,
at the end at least one: ` + "`registry.example/team/**`" + ` does not match ` + "`registry.example/team-evil/app`" + `. Names are
normalised first: ` + "`nginx` is `index.docker.io/library/nginx`" + `.

Times are RFC 3339 (` + "`2027-01-31T00:00:00Z`" + `), durations are like ` + "`168h` or `5m`" + `. An example shows the part of
a file that holds the field.
`

// referenceSections are the types of a policy file, in the order of the reference.
var referenceSections = []struct {
	title string
	of    reflect.Type
}{
	{"The file", reflect.TypeFor[policy.Policy]()},
	{"keys", reflect.TypeFor[policy.Key]()},
	{"roles", reflect.TypeFor[policy.Role]()},
	{"identities", reflect.TypeFor[policy.Identity]()},
	{"timestamps", reflect.TypeFor[policy.Timestamps]()},
	{"denyDigests", reflect.TypeFor[policy.DeniedDigest]()},
	{"exemptions", reflect.TypeFor[policy.Exemption]()},
	{"limits", reflect.TypeFor[policy.Limits]()},
	{"teams", reflect.TypeFor[policy.Team]()},
	{"rules", reflect.TypeFor[policy.Rule]()},
	{"require", reflect.TypeFor[policy.Requirement]()},
	{"signature", reflect.TypeFor[policy.SignatureRequirement]()},
	{"attestation", reflect.TypeFor[policy.AttestationRequirement]()},
	{"attestation: where", reflect.TypeFor[policy.MemberCondition]()},
	{"attestation: provenance", reflect.TypeFor[policy.ProvenanceConditions]()},
	{"attestation: vulnerability scans", reflect.TypeFor[policy.ScanConditions]()},
	{"attestation: accept", reflect.TypeFor[policy.AcceptedVulnerability]()},
	{"attestation: bills of materials and tests", reflect.TypeFor[policy.DocumentConditions]()},
	{"attestation: verification summaries", reflect.TypeFor[policy.VSAConditions]()},
	{"attestation: in-toto links", reflect.TypeFor[policy.LinkConditions]()},
	{"config", reflect.TypeFor[policy.ConfigRequirement]()},
}

// exemptExample is an exemption, with the rule that it is about.
const exemptExample = "requirements:\n  scanned: {attestation: {type: vuln, by: scanner, maxSeverity: high}}\nrules:\n  - images: [registry.example/team/**]\n    require:\n      - signature: {by: release}\n      - use: scanned\nexemptions:\n  - images: [registry.example/team/app]\n    digests: [\"sha256:" + zeros + "\"]\n    requirement: scanned\n    reason: the scanner cannot read this image; see TICKET-7\n    by: jane@acme.example\n    until: 2027-01-31T00:00:00Z"

// referenceExamples hold a field each, by type and field. What begins with "- images" are
// rules, with "- " requirements of one rule; all else are members of the file.
var referenceExamples = map[string]string{
	"Policy.version":      "version: 1",
	"Policy.serial":       "serial: 7",
	"Policy.expires":      "expires: 2099-01-31T00:00:00Z",
	"Policy.keys":         "keys:\n  release: {file: release.pub}\n  builder: {file: builder.pub}\n  scanner: {file: scanner.pub}",
	"Policy.roles":        "roles:\n  release: {keys: [release]}\n  builder: {keys: [builder]}\n  scanner: {keys: [scanner]}",
	"Policy.identities":   "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}}",
	"Policy.timestamps":   "timestamps:\n  clock: {authority: sigstore, settings: {instance: public-good}}",
	"Policy.builders":     "builders:\n  https://ci.example/builder: 3",
	"Policy.denyDigests":  "denyDigests:\n  - {digest: \"sha256:" + zeros + "\", reason: CVE-2026-1234}",
	"Policy.clockSkew":    "clockSkew: 1m",
	"Policy.files":        "files: [{signature: {by: release}}]",
	"Policy.limits":       "limits: {maxPayloadBytes: 67108864}",
	"Policy.requirements": "requirements:\n  released: {signature: {by: release}}",
	"Policy.exemptions":   exemptExample,
	"Policy.teams":        "teams:\n  payments: {file: payments/policy.yaml, images: [registry.example/payments/**]}",
	"Policy.rules":        "rules:\n  - images: [registry.example/team/**]\n    require:\n      - signature: {by: release}",

	"Key.pem":          "keys:\n  release:\n    pem: |\nPEM",
	"Key.file":         "keys:\n  release: {file: release.pub}",
	"Key.notBefore":    "keys:\n  release: {file: release.pub, notBefore: 2026-01-01T00:00:00Z}",
	"Key.notAfter":     "keys:\n  release: {file: release.pub, notAfter: 2099-01-31T00:00:00Z}",
	"Key.revoked":      "keys:\n  release: {file: release.pub, revoked: 2026-05-01T00:00:00Z}",
	"Key.standsBefore": "timestamps:\n  clock: {authority: sigstore, settings: {instance: public-good}}\nkeys:\n  release: {file: release.pub, revoked: 2026-05-01T00:00:00Z, standsBefore: true}",
	"Key.logged":       "timestamps:\n  log: {authority: sigstore, settings: {instance: public-good}}\nkeys:\n  release: {file: release.pub, logged: true}",

	"Role.keys":       "roles:\n  release: {keys: [release]}",
	"Role.identities": "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}}\nroles:\n  release: {identities: [ci]}",
	"Role.threshold":  "roles:\n  release: {keys: [release, builder, scanner], threshold: 2}",

	"Identity.authority":    "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}}",
	"Identity.settings":     "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}}",
	"Identity.revoked":      "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}, revoked: 2026-05-01T00:00:00Z}",
	"Identity.notAfter":     "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}, notAfter: 2099-01-31T00:00:00Z}",
	"Identity.standsBefore": "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}, revoked: 2026-05-01T00:00:00Z, standsBefore: true}",

	"Timestamps.authority": "timestamps:\n  clock: {authority: sigstore, settings: {instance: public-good}}",
	"Timestamps.settings":  "timestamps:\n  clock: {authority: sigstore, settings: {instance: public-good}}",

	"Team.file":      "teams:\n  payments: {file: payments/policy.yaml, images: [registry.example/payments/**]}",
	"Team.images":    "teams:\n  payments: {file: payments/policy.yaml, images: [registry.example/payments/**, registry.example/shared/ledger]}",
	"Team.mayUse":    "teams:\n  payments: {file: payments/policy.yaml, images: [registry.example/payments/**], mayUse: [builder]}",
	"Team.mayExempt": "teams:\n  payments: {file: payments/policy.yaml, images: [registry.example/payments/**], mayExempt: true}",

	"DeniedDigest.digest": "denyDigests:\n  - {digest: \"sha256:" + zeros + "\", reason: CVE-2026-1234}",
	"DeniedDigest.reason": "denyDigests:\n  - {digest: \"sha256:" + zeros + "\", reason: CVE-2026-1234}",

	"Exemption.images":       exemptExample,
	"Exemption.digests":      exemptExample,
	"Exemption.requirement":  exemptExample,
	"Exemption.reason":       exemptExample,
	"Exemption.by":           exemptExample,
	"Exemption.until":        exemptExample,
	"Limits.maxItems":        "limits: {maxItems: 1000}",
	"Limits.maxReferrers":    "limits: {maxReferrers: 1000}",
	"Limits.maxPayloadBytes": "limits: {maxPayloadBytes: 67108864}",
	"Limits.maxTotalBytes":   "limits: {maxTotalBytes: 268435456}",

	"Rule.images":             "- images: [registry.example/team/**, registry.example/base/*]\n  require:\n    - signature: {by: release}",
	"Rule.evidenceRepository": "- images: [registry.example/team/**]\n  evidenceRepository: registry.example/signatures\n  require:\n    - signature: {by: release}",
	"Rule.deny":               "- images: [registry.example/legacy]\n  deny: true\n  reason: retired; use registry.example/app",
	"Rule.reason":             "- images: [registry.example/legacy]\n  deny: true\n  reason: retired; use registry.example/app",
	"Rule.mode":               "- images: [registry.example/incoming/**]\n  mode: warn\n  require:\n    - signature: {by: release}",
	"Rule.separateDuties":     "- images: [registry.example/team/**]\n  separateDuties: true\n  require:\n    - signature: {by: release}\n    - attestation: {type: spdx, by: builder}",
	"Rule.require":            "- images: [registry.example/team/**]\n  require:\n    - signature: {by: release}\n    - config: {nonRoot: true}",

	"Requirement.signature":   "- signature: {by: release}",
	"Requirement.attestation": "- attestation: {type: spdx, by: builder}",
	"Requirement.config":      "- config: {nonRoot: true, noSecrets: true}",
	"Requirement.anyOf":       "- anyOf:\n    - signature: {by: release}\n    - signature: {by: builder}",
	"Requirement.allOf":       "- anyOf:\n    - signature: {by: release}\n    - allOf:\n        - signature: {by: builder}\n        - signature: {by: scanner}",

	"Requirement.use": "requirements:\n  released: {signature: {by: release}}\nrules:\n  - images: [registry.example/team/**]\n    require:\n      - use: released",

	"SignatureRequirement.by":             "- signature: {by: release}",
	"SignatureRequirement.annotations":    "- signature: {by: release, annotations: {stage: production}}",
	"SignatureRequirement.maxAge":         certified("signature: {by: ci, maxAge: 2160h}"),
	"SignatureRequirement.sameRepository": "- signature: {by: release, sameRepository: true}",

	"AttestationRequirement.type":             "- attestation: {type: cyclonedx, by: builder}",
	"AttestationRequirement.by":               "- attestation: {type: cyclonedx, by: builder}",
	"AttestationRequirement.where":            "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /ticket/state, equals: approved}]}",
	"AttestationRequirement.acceptAnyContent": "- attestation: {type: \"https://example.com/approval/v1\", by: release, acceptAnyContent: true}",
	"AttestationRequirement.maxAge":           "- attestation: {type: vuln, by: scanner, maxSeverity: high, maxAge: 168h}",
	"AttestationRequirement.maxAgeFrom":       certified("attestation: {type: spdx, by: ci, maxAge: 2160h, maxAgeFrom: signature}"),

	"AttestationRequirement.cel": "- attestation: {type: \"https://example.com/approval/v1\", by: release, cel: [\"predicate.approved == true && predicate.risk < 3.5\"]}",
	"MemberCondition.pointer":    "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /ticket/state, equals: approved}]}",
	"MemberCondition.equals":     "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /approved, equals: true}]}",
	"MemberCondition.in":         "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /ticket/state, in: [approved, released]}]}",
	"MemberCondition.present":    "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /ticket, present: true}]}",
	"MemberCondition.absent":     "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /objections, absent: true}]}",
	"MemberCondition.atMost":     "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /risk, atMost: 3.5}]}",
	"MemberCondition.atLeast":    "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /reviewers, atLeast: 2}]}",
	"MemberCondition.before":     "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /approvedOn, before: 2027-01-31T00:00:00Z}]}",
	"MemberCondition.after":      "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /approvedOn, after: 2026-01-31T00:00:00Z}]}",
	"MemberCondition.matches":    "- attestation: {type: \"https://example.com/approval/v1\", by: release, where: [{pointer: /ticket/url, matches: [\"https://tickets.example/**\"]}]}",

	"ProvenanceConditions.builder":             provenance(""),
	"ProvenanceConditions.minLevel":            "builders:\n  https://ci.example/builder: 3\nrules:\n  - images: [registry.example/team/**]\n    require:\n      - attestation:\n          type: slsaprovenance\n          by: builder\n          builder: [https://ci.example/builder]\n          minLevel: 2",
	"ProvenanceConditions.source":              provenance("source: [git+https://git.example/team/app, \"git+https://git.example/libraries/*\"]"),
	"ProvenanceConditions.ref":                 provenance("ref: [refs/heads/main, \"refs/tags/*\"]"),
	"ProvenanceConditions.commit":              provenance("commit: [0123456789abcdef0123456789abcdef01234567]"),
	"ProvenanceConditions.buildType":           provenance("buildType: [https://ci.example/workflow/v1]"),
	"ProvenanceConditions.parameters":          provenance("parameters: {workflow: release.yaml}"),
	"ProvenanceConditions.absentParameters":    provenance("absentParameters: [debug]"),
	"ProvenanceConditions.knownParameters":     provenance("onlyKnownParameters: true\n    knownParameters: [workflow, version]"),
	"ProvenanceConditions.onlyKnownParameters": provenance("parameters: {workflow: release.yaml}\n    onlyKnownParameters: true"),
	"ProvenanceConditions.builtAfter":          provenance("builtAfter: 2026-01-01T00:00:00Z"),

	"ProvenanceConditions.boundToCertificate": certified("attestation:\n          type: slsaprovenance\n          by: ci\n          builder: [https://git.example/team/app/build.yml@refs/heads/main]\n          source: [git+https://git.example/team/app]\n          boundToCertificate: true"),

	"ScanConditions.maxSeverity": "- attestation: {type: vuln, by: scanner, maxSeverity: medium}",
	"ScanConditions.accept":      "- attestation:\n    type: vuln\n    by: scanner\n    maxSeverity: medium\n    accept:\n      - {id: CVE-2026-1234, until: 2099-01-01T00:00:00Z, reason: not reachable}",
	"ScanConditions.vexBy":       "- attestation: {type: vuln, by: scanner, maxSeverity: medium, vexBy: release}",
	"ScanConditions.vexMaxAge":   "- attestation: {type: vuln, by: scanner, maxSeverity: medium, vexBy: release, vexMaxAge: 720h}",

	"AcceptedVulnerability.id":     accepted,
	"AcceptedVulnerability.until":  accepted,
	"AcceptedVulnerability.reason": accepted,

	"DocumentConditions.denyPackages": "- attestation: {type: cyclonedx, by: builder, denyPackages: [pkg:npm/left-pad, event-stream]}",
	"DocumentConditions.denyLicenses": "- attestation: {type: spdx, by: builder, denyLicenses: [AGPL-3.0-only, AGPL-3.0-or-later]}",
	"DocumentConditions.result":       "- attestation: {type: testresult, by: builder, result: [PASSED, WARNED]}",

	"VSAConditions.verifier":       "- attestation: {type: vsa, by: release, verifier: [https://verifier.example]}",
	"VSAConditions.resource":       "- attestation: {type: vsa, by: release, verifier: [https://verifier.example], resource: [pkg:oci/app]}",
	"VSAConditions.verifiedLevels": "- attestation: {type: vsa, by: release, verifier: [https://verifier.example], verifiedLevels: [SLSA_BUILD_LEVEL_3]}",
	"VSAConditions.policyUri":      "- attestation: {type: vsa, by: release, verifier: [https://verifier.example], policyUri: https://policy.example/v1}",
	"VSAConditions.policyDigest":   "- attestation:\n    type: vsa\n    by: release\n    verifier: [https://verifier.example]\n    policyDigest: sha256:" + zeros,

	"LinkConditions.layout": "- attestation: {type: intoto, by: release, layout: layout.json}",

	"ConfigRequirement.nonRoot":           "- config: {nonRoot: true}",
	"ConfigRequirement.noSecrets":         "- config: {noSecrets: true}",
	"ConfigRequirement.noPrivilegedPorts": "- config: {noPrivilegedPorts: true}",
	"ConfigRequirement.createdWithin":     "- config: {createdWithin: 2160h}",
	"ConfigRequirement.baseImages":        "- config: {baseImages: [registry.example/base/*, \"sha256:" + zeros + "\"]}",
	"ConfigRequirement.platforms":         "- config: {platforms: [linux/amd64, linux/arm64]}",
	"ConfigRequirement.labels":            "- config: {labels: {team: web}}",
	"ConfigRequirement.annotations":       "- config: {annotations: {org.opencontainers.image.vendor: Example}}",
	"ConfigRequirement.minVersion":        "- config: {minVersion: 1.4.0}",
	"ConfigRequirement.cel":               "- config: {cel: [\"!has(config.config.Entrypoint)\"]}",
}

const (
	zeros    = "0000000000000000000000000000000000000000000000000000000000000000"
	accepted = "- attestation:\n    type: vuln\n    by: scanner\n    maxSeverity: medium\n    accept:\n      - {id: CVE-2026-1234, until: 2099-01-01T00:00:00Z, reason: not reachable}"
)

// certified is a file whose one requirement is met by an identity.
func certified(requirement string) string {
	return "identities:\n  ci: {authority: sigstore, settings: {issuer: https://ci.example, uri: https://ci.example/team/app}}\nroles:\n  ci: {identities: [ci]}\nrules:\n  - images: [registry.example/team/**]\n    require:\n      - " + requirement
}

// provenance is a requirement of provenance with one more condition.
func provenance(condition string) string {
	text := "- attestation:\n    type: slsaprovenance\n    by: builder\n    builder: [https://ci.example/builder]"
	if condition != "" {
		text += "\n    " + condition
	}
	return text
}

// referenceBase is the policy around an example.
const referenceBase = `version: 1
keys: {release: {file: release.pub}, builder: {file: builder.pub}, scanner: {file: scanner.pub}}
roles: {release: {keys: [release]}, builder: {keys: [builder]}, scanner: {keys: [scanner]}}
rules: [{images: [registry.example/app], require: [{signature: {by: release}}]}]
`

func TestPolicyReference_IsWhatTheTypesSay(t *testing.T) {
	docs := referenceDocs(t)
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range referenceSections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.title, docs.Type(s.of))
		for _, f := range fielddocs.Fields(s.of) {
			comment, byDefault, err := docs.Field(s.of, f)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(&b, "\n### `%s`\n\n%s · %s\n\n%s\n\n```yaml\n%s\n```\n",
				jsonschema.NameOf(f), typeWords(f.Type), byDefault, comment, shown(referenceExamples[s.of.Name()+"."+jsonschema.NameOf(f)]))
		}
	}
	isWritten(t, referenceFile, []byte(b.String()))
}

// isWritten compares a file with what the types and their comments say, and with -update
// writes it.
func isWritten(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil { //nolint:gosec // it is published
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(written, want) {
		t.Errorf("%v: %s is not what the types and their comments say: go test ./verify/policy -run Reference -update", err, path)
	}
}

// The schema for editors takes its texts from this file: programs do not have the source.
func TestPolicyReference_DescriptionsAreTheComments(t *testing.T) {
	docs := referenceDocs(t)
	text, err := docs.JSON(referenceTypes()...)
	if err != nil {
		t.Fatal(err)
	}
	isWritten(t, "descriptions.json", text)
}

func referenceTypes() (all []reflect.Type) {
	for _, s := range referenceSections {
		all = append(all, s.of)
	}
	return all
}

// referenceDocs are the comments of the package.
func referenceDocs(t *testing.T) *fielddocs.Comments {
	t.Helper()
	docs, err := fielddocs.Read(".", referenceTypes()...)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestPolicyReference_HasEveryTypeOfAFile(t *testing.T) {
	has := make(map[reflect.Type]bool)
	for _, s := range referenceSections {
		has[s.of] = true
	}
	seen := make(map[reflect.Type]bool)
	var visit func(of reflect.Type)
	visit = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() || seen[of] {
			return
		}
		seen[of] = true
		if !has[of] {
			t.Errorf("the reference has no section on %s: add it to referenceSections", of.Name())
		}
		for i := range of.NumField() {
			if f := of.Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				visit(f.Type)
			}
		}
	}
	visit(reflect.TypeFor[policy.Policy]())
}

func TestPolicyReference_EveryExampleSetsItsField(t *testing.T) {
	o := policy.ParseOptions{ReadFile: referenceFiles(t), Authorities: map[string]policy.Authority{"sigstore": anyAuthority{}, "cel": anyAuthority{}}}
	known := 0
	schema := editorSchema(t)
	for _, s := range referenceSections {
		for _, f := range fielddocs.Fields(s.of) {
			known++
			id := s.of.Name() + "." + jsonschema.NameOf(f)
			text := composed(t, referenceExamples[id])
			if err := jsonschema.Check(schema, plain(t, text)); err != nil {
				t.Errorf("%s: an editor underlines its example: %v", id, err)
			}
			p, err := policy.Parse(text, o)
			if err != nil {
				t.Errorf("%s: %v", id, err)
				continue
			}
			if _, err := p.Check(o.Authorities); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			if !isSet(reflect.ValueOf(p), s.of, f.Name) {
				t.Errorf("%s: its example does not set it", id)
			}
		}
	}
	if known != len(referenceExamples) {
		t.Errorf("%d fields, %d examples", known, len(referenceExamples))
	}
}

func typeWords(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t == reflect.TypeFor[policy.Duration]():
		return "duration"
	case t == reflect.TypeFor[json.RawMessage]():
		return "text, number, true or false"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWords(t.Elem())
	case reflect.Slice:
		return "list of " + typeWords(t.Elem())
	case reflect.Map:
		return "map of names to " + typeWords(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "number"
	case reflect.String:
		return "text"
	case reflect.Struct:
		for _, s := range referenceSections {
			if s.of == t {
				return "[" + s.title + "](#" + anchor(s.title) + ")"
			}
		}
	}
	return "any value"
}

func anchor(title string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

// shown is an example as it is printed.
func shown(example string) string {
	return strings.Replace(example, "PEM", "      -----BEGIN PUBLIC KEY-----\n      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE…\n      -----END PUBLIC KEY-----", 1)
}

// composed is an example in a whole policy.
func composed(t *testing.T, example string) []byte {
	t.Helper()
	if strings.HasSuffix(example, "PEM") {
		example = strings.TrimSuffix(example, "PEM") + "      " + strings.ReplaceAll(strings.TrimSpace(newPEM(t)), "\n", "\n      ")
	}
	switch {
	case strings.HasPrefix(example, "- images"):
		example = "rules:\n" + example
	case strings.HasPrefix(example, "- "):
		example = "rules:\n- images: [registry.example/team/**]\n  require:\n  " + strings.ReplaceAll(example, "\n", "\n  ")
	}
	var base, more map[string]any
	if err := errors.Join(yaml.Unmarshal([]byte(referenceBase), &base), yaml.Unmarshal([]byte(example), &more)); err != nil {
		t.Fatalf("%s: %v", example, err)
	}
	for name, value := range more {
		if both, ok := base[name].(map[string]any); ok {
			for k, v := range value.(map[string]any) {
				both[k] = v
			}
			continue
		}
		base[name] = value
	}
	text, err := yaml.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// referenceFiles are those that examples name.
func referenceFiles(t *testing.T) func(string, int64) ([]byte, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sign.New(key, sign.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := steps.SignLayout(t.Context(), steps.Layout{
		Expires: time.Now().Add(time.Hour),
		Steps:   []steps.Step{{Name: "build", Functionaries: []crypto.PublicKey{signer.Public()}, Products: []steps.Rule{steps.Allow("*")}}},
	}, signer)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"layout.json": layout}
	for _, name := range []string{"release.pub", "builder.pub", "scanner.pub", "payments/ci.pub"} {
		files[name] = []byte(newPEM(t))
	}
	files["payments/policy.yaml"] = []byte(strings.ReplaceAll(appsText, "apps/**", "payments/**"))
	return func(name string, _ int64) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return text, nil
	}
}

// isSet reports whether a value holds one of a type whose field is not zero.
func isSet(v reflect.Value, of reflect.Type, field string) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && isSet(v.Elem(), of, field)
	case reflect.Slice:
		for i := range v.Len() {
			if isSet(v.Index(i), of, field) {
				return true
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if isSet(v.MapIndex(k), of, field) {
				return true
			}
		}
	case reflect.Struct:
		if v.Type() == of {
			if !v.FieldByName(field).IsZero() {
				return true
			}
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && isSet(v.Field(i), of, field) {
				return true
			}
		}
	}
	return false
}

// anyAuthority takes any settings.
type anyAuthority struct{}

func (anyAuthority) Matcher(s map[string]any) (policy.Matcher, error) {
	return anyMatcher(fmt.Sprint(s)), nil
}

func (anyAuthority) TimeMatcher(s map[string]any) (policy.TimeMatcher, error) {
	return anyMatcher(fmt.Sprint(s)), nil
}

type anyMatcher string

func (m anyMatcher) ID() string { return string(m) }

func (anyMatcher) Signed(context.Context, policy.SignedEvidence) (policy.Recognized, error) {
	return policy.Recognized{}, errors.New("nothing is signed here")
}

func (anyMatcher) Seen(context.Context, policy.SignedEvidence) (time.Time, error) {
	return time.Time{}, errors.New("nothing is seen here")
}
