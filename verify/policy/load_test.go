package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestAttack_T1_T2_T3_T4_T7_RefusedWithTheirPosition(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(policyText, old) {
			t.Fatalf("the policy does not hold %q", old)
		}
		return strings.Replace(policyText, old, new, 1)
	}
	for name, text := range map[string]struct{ text, at, says string }{
		"empty":                   {"", "", "empty"},
		"no version":              {change("version: 1\n", ""), "line 1", "version"},
		"other version":           {change("version: 1", "version: 2"), "line 1, column 1", "version"},
		"unknown field":           {change("images:", "image:"), "line 11, column 5", "image"},
		"field twice":             {change("version: 1", "version: 1\nversion: 1"), "line 2, column 1", "twice"},
		"anchor":                  {change("keys:\n", "keys: &k\n"), "line 2", "anchors"},
		"no keys":                 {change("  a: {file: a.pub}\n  b: {file: b.pub}\n  c: {file: c.pub}\n", "  {}\n"), "line 2", "trusts no key"},
		"dangling key":            {change("[a, b]", "[a, x]"), "line 8, column 20", `"x"`},
		"T4: key twice in a role": {change("[a, b]", "[a, a]"), "line 8, column 20", "second time"},
		"T4: threshold above":     {change("threshold: 2", "threshold: 3"), "line 8, column 3", "threshold 3"},
		"T4: threshold negative":  {change("threshold: 2", "threshold: -1"), "line 8, column 3", "threshold -1"},
		"T4: threshold missing":   {change(", threshold: 2", ""), "line 8, column 3", "threshold 0"},
		"empty role":              {change("{keys: [c]}", "{keys: []}"), "line 9, column 3", "is empty"},
		"key without anything":    {change("c: {file: c.pub}", "c: {}"), "line 5, column 3", "pem or file"},
		"key with both":           {change("c: {file: c.pub}", "c: {file: c.pub, pem: x}"), "line 5, column 3", "pem or file"},
		"F3: key outside":         {change("file: c.pub", "file: ../c.pub"), "line 5, column 3", "policy's directory"},
		"F3: key absolute":        {change("file: c.pub", "file: /dev/zero"), "line 5, column 3", "policy's directory"},
		"key file missing":        {change("file: c.pub", "file: d.pub"), "line 5, column 3", "no such file"},
		"key malformed":           {change("{file: c.pub}", "{pem: nonsense}"), "line 5, column 3", "public key"},
		"key twice":               {change("file: c.pub", "file: a.pub"), "line 5, column 3", "same key"},
		"key that never counts":   {change("c: {file: c.pub}", "c: {file: c.pub, notBefore: 2026-01-02T00:00:00Z, notAfter: 2026-01-01T00:00:00Z}"), "line 5, column 3", "never"},
		"no rules":                {change(policyText[strings.Index(policyText, "rules:"):], ""), "line 1", "rule"},
		"zero rule":               {change("    require:\n      - signature: {by: release}\n", ""), "line 11, column 5", "requires nothing"},
		"require nothing":         {change("    require:\n      - signature: {by: release}\n", "    require: []\n"), "line 11, column 5", "requires nothing"},
		"empty requirement":       {change("signature: {by: release}", "anyOf: []"), "", "empty"},
		"zero requirement":        {change("- signature: {by: release}", "- {}"), "line 13, column 9", "exactly one"},
		"two in one":              {change("- signature: {by: release}", "- {signature: {by: release}, config: {nonRoot: true}}"), "line 13, column 9", "exactly one"},
		"signature by none":       {change("{by: release}", "{}"), "line 13, column 9", "by"},
		"signature by unknown":    {change("{by: release}", "{by: stranger}"), "line 13, column 9", "stranger"},
		"no images":               {change("[registry.example/team/**]", "[]"), "line 11", "images"},
		"T2: partial segment":     {change("team/**", "team*"), "line 11, column 14", "whole segment"},
		"T2: no host":             {change("registry.example/team/**", "team/app"), "line 11, column 14", "registry"},
		"mode":                    {change("    require:", "    mode: audit\n    require:"), "line 12", "audit"},
		"deny without reason":     {change("    require:\n      - signature: {by: release}\n", "    deny: true\n"), "line 11", "reason"},
		"deny and require":        {change("    require:", "    deny: true\n    reason: x\n    require:"), "line 11", "denies"},
		"deny and warn":           {change("    require:\n      - signature: {by: release}\n", "    deny: true\n    reason: x\n    mode: warn\n"), "line 11", "denies"},
		"deny and duties":         {change("    require:\n      - signature: {by: release}\n", "    deny: true\n    reason: x\n    separateDuties: true\n"), "line 11", "denies"},
		"T3: ambiguous rules":     {policyText + "  - images: [registry.example/team/**]\n    require: [{signature: {by: pair}}]\n", "line 14, column 5", "neither is more specific"},
		"T7: duties":              {change("    require:\n      - signature: {by: release}\n", "    separateDuties: true\n    require:\n      - signature: {by: release}\n      - signature: {by: pair}\n"), "line 12", "release and pair"},
		"denied digest":           {policyText + "denyDigests: [{digest: sha256:00, reason: x}]\n", "line 14", "64"},
		"denied without reason":   {policyText + "denyDigests: [{digest: \"sha256:" + strings.Repeat("0", 64) + "\"}]\n", "line 14", "reason"},
		"builder level":           {policyText + "builders: {\"https://b.example\": 5}\n", "line 14", "level 5"},
		"clock skew":              {policyText + "clockSkew: 48h\n", "line 14", "24h"},
		"duration":                {policyText + "clockSkew: soon\n", "line 14", "duration"},
		"files by unknown":        {policyText + "files: [{signature: {by: unknown}}]\n", "line 14", "unknown"},
		"no roles":                {without(policyText, "roles"), "line 1, column 1", "roles is empty"},
		"serial":                  {policyText + "serial: -1\n", "line 14", "is -1"},
		"require with a reason":   {change("    require:", "    reason: x\n    require:"), "line 12", "deny: true"},
		"nesting":                 {change("signature: {by: release}", strings.Repeat("allOf: [{", 9)+"signature: {by: release}"+strings.Repeat("}]", 9)), "line 13", "deeper than 8"},
		"more than can be needed": {change("      - signature: {by: release}\n", strings.Repeat("      - signature: {by: release}\n", 1001)), "line 1013, column 9", "1000 requirements"},
	} {
		_, err := policy.Load(written(t, text.text, a, b, c), policy.ParseOptions{})
		if !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
			continue
		}
		if !strings.Contains(err.Error(), text.at) || !strings.Contains(err.Error(), text.says) {
			t.Errorf("%s: %v; want %q and %q", name, err, text.at, text.says)
		}
	}
	loaded(t, policyText, a, b, c)
}

// What is written in a policy and would say nothing, or could never be met, is a
// mistake of its author.
func TestAttack_T1_SettingsThatSayNothingOrCannotBeMetAreRefused(t *testing.T) {
	provenance := func(more string) string {
		return "attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/builder]" + more + "}"
	}
	for label, c := range map[string]struct{ require, more, says string }{
		"any ref, or none":                {require: provenance(", ref: []"), says: "ref"},
		"any source, or none":             {require: provenance(", source: []"), says: "source"},
		"an empty build type":             {require: provenance(`, buildType: [""]`), says: "buildType"},
		"no parameters":                   {require: provenance(", parameters: {}"), says: "parameters"},
		"any base, or none":               {require: "config: {nonRoot: true, baseImages: []}", says: "baseImages"},
		"any platform, or none":           {require: "config: {nonRoot: true, platforms: []}", says: "platforms"},
		"any result, or none":             {require: "attestation: {type: testresult, by: builder, result: []}", says: "result"},
		"no package":                      {require: "attestation: {type: spdx, by: builder, denyPackages: []}", says: "denyPackages"},
		"known parameters alone":          {require: provenance(", knownParameters: [a]"), says: "onlyKnownParameters"},
		"known and absent":                {require: provenance(", onlyKnownParameters: true, knownParameters: [a], absentParameters: [a]"), says: "known and to be absent"},
		"a level that no builder reaches": {require: provenance(", minLevel: 3"), more: "builders: {\"https://other.example\": 3}\n", says: "none of its builders"},
		"a signature as attestation":      {require: "attestation: {type: \"" + intoto.PredicateSignature + "\", by: builder}", says: "predicate type of signatures"},
		"a level that no summary reaches": {require: "attestation: {type: vsa, by: builder, verifier: [\"https://v.example\"], verifiedLevels: [SLSA_LEVEL_3x]}", says: "SLSA_BUILD_LEVEL_3"},
		"bills of a type that is none":    {require: "attestation: {type: \"https://cyclonedx.org/bom/1.6\", by: builder, denyPackages: [x]}", says: "denyPackages"},
		"SPDX of a type that is none":     {require: "attestation: {type: \"https://spdx.dev/Document-2.3\", by: builder, denyLicenses: [MIT]}", says: "denyLicenses"},
		"a package with its version":      {require: "attestation: {type: spdx, by: builder, denyPackages: [\"pkg:npm/left-pad@1.3.0\"]}", says: "without version"},
		"a package with qualifiers":       {require: "attestation: {type: spdx, by: builder, denyPackages: [\"pkg:npm/left-pad?x=y\"]}", says: "without version"},
		"a package without a name":        {require: "attestation: {type: spdx, by: builder, denyPackages: [\"\"]}", says: "denyPackages"},
		"a licence with a plus":           {require: "attestation: {type: spdx, by: builder, denyLicenses: [GPL-2.0+]}", says: "SPDX identifier"},
		"a licence in words":              {require: "attestation: {type: spdx, by: builder, denyLicenses: [\"GNU General Public License v3\"]}", says: "SPDX identifier"},
		"an age of VEX without vexBy":     {require: "attestation: {type: vulns, by: builder, maxSeverity: low, vexMaxAge: 1h}", says: "vexMaxAge"},
		"files in a repository":           {require: signatureRequired, more: "files: [{signature: {by: release, sameRepository: true}}]\n", says: "sameRepository"},
		"the threshold is 0":              {require: signatureRequired, more: "roles: {release: {keys: [a], threshold: 0}}\n", says: "threshold is 0"},
		"revoked since the beginning":     {require: signatureRequired, more: "keys: {a: {file: a.pub, revoked: 0001-01-01T00:00:00Z}}\n", says: "revoked"},
		"ended before the beginning":      {require: signatureRequired, more: "expires: 0001-01-01T00:00:00Z\n", says: "expires"},
	} {
		text := strings.Replace(policyText, signatureRequired, c.require, 1)
		if field, _, _ := strings.Cut(c.more, ":"); field == "roles" || field == "keys" {
			text = without(text, field)
		}
		_, err := policy.Load(written(t, text+c.more, newPEM(t), newPEM(t), newPEM(t)), policy.ParseOptions{})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q with its line", label, err, c.says)
		}
	}
}

func TestDutiesThatAreSeparateAreTaken(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	loaded(t, strings.Replace(policyText, "    require:\n", "    separateDuties: true\n    require:\n      - attestation: {type: spdx, by: builder}\n", 1), a, b, c)
}

// What reads no files must not be told to.
func TestPoliciesThatNameFilesAreRefusedWhereNoneAreRead(t *testing.T) {
	key := "{pem: " + quoted(newPEM(t)) + "}"
	text := without(policyText, "keys") + "keys: {a: " + key + "}\n"
	text = strings.Replace(text, "  pair: {keys: [a, b], threshold: 2}\n  builder: {keys: [c]}\n", "", 1)
	if _, err := policy.Parse([]byte(text), policy.ParseOptions{}); err != nil {
		t.Fatal(err)
	}
	layout := "attestation: {type: intoto, by: release, layout: layout.json}"
	for label, text := range map[string]string{
		"a key":                 strings.Replace(text, key, "{file: a.pub}", 1),
		"a layout":              strings.Replace(text, signatureRequired, layout, 1),
		"a layout among others": strings.Replace(text, signatureRequired, "allOf: [{signature: {by: release}}, {anyOf: [{"+layout+"}]}]", 1),
	} {
		if _, err := policy.Parse([]byte(text), policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "ReadFile is nil") || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", label, err)
		}
	}
}

func TestALayoutFileThatIsNoneIsRefused(t *testing.T) {
	path := written(t, strings.Replace(policyText, signatureRequired, "attestation: {type: intoto, by: release, layout: layout.json}", 1), newPEM(t), newPEM(t), newPEM(t))
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "layout.json"), []byte(`{"payload":""}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Load(path, policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "unusable layout") || !strings.Contains(err.Error(), "line 13") {
		t.Errorf("%v", err)
	}
}

func TestAPolicyFileThatCannotBeReadIsRefused(t *testing.T) {
	for label, path := range map[string]string{"missing": filepath.Join(t.TempDir(), "none.yaml"), "a directory": t.TempDir()} {
		if _, err := policy.Load(path, policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", label, err)
		}
	}
}
