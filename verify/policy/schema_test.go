package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// editorSchema is the schema that editors read.
func editorSchema(t *testing.T) (schema map[string]any) {
	t.Helper()
	text, err := policy.SchemaWith(map[string]policy.Authority{"sigstore": sigstore.PolicyRoots()})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// plain is a YAML document as encoding/json decodes it.
func plain(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const schemaRequirement = "attestation: {type: vuln, by: release, maxSeverity: low}"

// schemaPolicy is a whole policy with one requirement.
func schemaPolicy(requirement string) string {
	return "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\nrules:\n  - images: [registry.example/team/**]\n    require:\n      - " + requirement + "\n"
}

// What the schema refuses, Parse and Check refuse too: an editor never underlines a good
// policy. Tests of interoperability hold a real editor's server to the same schema.
func TestSchema_AgreesWithCheckOnRequirements(t *testing.T) {
	schema, files := editorSchema(t), referenceFiles(t)
	for requirement, good := range map[string]bool{
		schemaRequirement: true,
		"attestation: {type: \"https://spdx.dev/Document/v2.3\", by: release}":                                                true,
		"attestation: {type: \"https://openvex.dev/ns/v0.2.0\", by: release, maxAge: 1h30m}":                                  true,
		"attestation: {type: \"https://cosign.sigstore.dev/attestation/vuln/v1\", by: release, maxSeverity: none}":            true,
		"attestation: {type: \"https://slsa.dev/provenance/v1\", by: release, builder: [\"https://b.example\"], minLevel: 0}": false,
		"attestation: {type: custom, by: release, acceptAnyContent: true}":                                                    true,
		"attestation: {type: release, by: release, where: [{pointer: /a, absent: true}]}":                                     true,
		"attestation: {type: intoto, by: release, layout: layout.json}":                                                       true,
		"attestation: {type: intoto, by: release, layout: layout.json, maxAge: 1h}":                                           false,
		"attestation: {type: custom, by: release, maxAge: 1h, acceptAnyContent: true}":                                        false,
		"attestation: {type: testresult, by: release, maxAge: 0.5h, result: [FAILED]}":                                        false,
		"attestation: {type: testresult, by: release, result: [FAILED]}":                                                      true,
		"attestation: {type: testresult, by: release, result: [OK]}":                                                          false,
		"attestation: {type: \"https://spdx.dev/Document/v2.3\", by: release, builder: [\"https://b.example\"]}":              false,
		"attestation: {type: vuln, by: release}":                                                                              false,
		"attestation: {type: vuln, by: release, maxSeverity: low, maxAge: 0s}":                                                false,
		"attestation: {type: vuln, by: release, maxSeverity: low, vexMaxAge: 1h}":                                             false,
		"attestation: {type: slsaprovenance, by: release}":                                                                    false,
		"attestation: {type: vsa, by: release}":                                                                               false,
		"attestation: {type: intoto, by: release}":                                                                            false,
		"attestation: {type: custom, by: release}":                                                                            false,
		"attestation: {type: unheard, by: release, acceptAnyContent: true}":                                                   false,
		"attestation: {type: spdx, by: release, maxAgeFrom: signature}":                                                       false,
		"attestation: {type: custom, by: release, where: [{pointer: /a}]}":                                                    false,
		"attestation: {type: custom, by: release, where: [{pointer: /a, absent: true, present: true}]}":                       false,
		"signature: {by: release}":           true,
		"signature: {}":                      false,
		"signature: {by: release, by2: x}":   false,
		"config: {}":                         false,
		"config: {platforms: [linux]}":       false,
		"config: {createdWithin: +1h2m3.5s}": true,
		"config: {createdWithin: 1d}":        false,
		"{signature: {by: release}, use: x}": false,
		"anyOf: []":                          false,
	} {
		text := schemaPolicy(requirement)
		shaped := jsonschema.Check(schema, plain(t, []byte(text)))
		p, err := policy.Parse([]byte(text), policy.ParseOptions{ReadFile: files})
		if err == nil {
			_, err = p.Check(nil)
		}
		if (shaped == nil) != good || (err == nil) != good {
			t.Errorf("%s: good is %v\n  the schema: %v\n  the check: %v", requirement, good, shaped, err)
		}
	}
}

func TestSchema_DescribesEveryField(t *testing.T) {
	schema := editorSchema(t)
	defs := schema["$defs"].(map[string]any)
	defs["the file"] = schema
	for name, def := range defs {
		for field, property := range def.(map[string]any)["properties"].(map[string]any) {
			if text, _ := property.(map[string]any)["description"].(string); len(text) < 20 || !strings.Contains(text, "\n\n") {
				t.Errorf("%s.%s: the description is %q, want its comment and default", name, field, text)
			}
		}
	}
	if len(defs) < 15 {
		t.Error(fmt.Sprint(len(defs), " types"))
	}
}
