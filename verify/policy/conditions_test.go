package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const approval = "https://acme.example/approval/v1"

func TestConditionsThatCannotBeMeantAreRefused(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	for require, wants := range map[string]string{
		"attestation: {by: builder}":                                                                                        "needs a type",
		"attestation: {type: nonsense, by: builder}":                                                                        "needs a type",
		"attestation: {type: slsaprovenance, by: builder}":                                                                  "needs builder",
		"attestation: {type: slsaprovenance, by: builder, builder: [ci]}":                                                   "not an absolute URI",
		"attestation: {type: slsaprovenance, by: builder, builder: [https://b], maxSeverity: low}":                          "maxSeverity, which type slsaprovenance does not have",
		"attestation: {type: slsaprovenance, by: builder, builder: [https://b], commit: [abc]}":                             "40 or 64",
		"attestation: {type: slsaprovenance, by: builder, builder: [https://b], minLevel: 5}":                               "minLevel 5",
		"attestation: {type: slsaprovenance, by: builder, builder: [https://b], source: [\"git+https://g/x@main\"]}":        "belongs in ref",
		"attestation: {type: slsaprovenance, by: builder, builder: [https://b], parameters: {a: 1}, absentParameters: [a]}": "to be absent",
		"attestation: {type: vulns, by: builder}":                                                                           "needs maxSeverity",
		"attestation: {type: vulns, by: builder, maxSeverity: bad}":                                                         "needs maxSeverity",
		"attestation: {type: vulns, by: builder, maxSeverity: low, accept: [{id: x, reason: y}]}":                           "each needs",
		"attestation: {type: vulns, by: builder, maxSeverity: low, accept: [{id: x, until: 2026-12-01T00:00:00Z}]}":         "each needs",
		"attestation: {type: vulns, by: builder, maxSeverity: low, accept: [{until: 2026-12-01T00:00:00Z, reason: y}]}":     "each needs",
		"attestation: {type: vulns, by: builder, maxSeverity: low, accept: [{id: x}]}":                                      "each needs",
		"attestation: {type: vulns, by: builder, maxSeverity: low, vexBy: unknown}":                                         "unknown",
		"attestation: {type: vulns, by: builder, maxSeverity: low, builder: [https://b]}":                                   "builder, which type vulns",
		"attestation: {type: spdx, by: builder, maxAge: 1h}":                                                                "maxAge, which type spdx",
		"attestation: {type: testresult, by: builder, result: [GOOD]}":                                                      "PASSED, WARNED or FAILED",
		"attestation: {type: vsa, by: builder}":                                                                             "needs verifier",
		"attestation: {type: vsa, by: builder, verifier: [https://v], policyDigest: abc}":                                   "policyDigest",
		"attestation: {type: vsa, by: builder, verifier: [verifier.example]}":                                               "not an absolute URI",
		"attestation: {type: intoto, by: builder}":                                                                          "needs layout",
		"attestation: {type: intoto, by: builder, layout: none.json}":                                                       "none.json",
		"config: {}":                     "is empty: set at least one condition",
		"config: {platforms: [linux]}":   "platforms",
		"config: {baseImages: [alpine]}": "baseImages",
		"config: {minVersion: one}":      "minVersion",
		"config: {createdWithin: -1h}":   "duration",
		"signature: {by: release}\nidentities: {x: {authority: fulcio, settings: {a: b}}}": "not linked",
	} {
		_, err := policy.Load(written(t, strings.Replace(policyText, "signature: {by: release}", require, 1), a, b, c), policy.ParseOptions{})
		if err == nil || !strings.Contains(err.Error(), wants) || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v, want %q with its line", require, err, wants)
		}
	}
}

func TestAttack_E23_ATypeWithoutConditionsIsRefused(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	parse := func(requirement string) error {
		_, err := policy.Load(written(t, strings.Replace(policyText, signatureRequired, requirement, 1), a, b, c), policy.ParseOptions{})
		return err
	}
	for _, kind := range []string{
		approval, "custom", "release", "link", "link03", predicate.TypeCustom, predicate.TypeLink, predicate.TypeRelease, approval + "/",
		"https://slsa.dev/verification_summary/v0.2", "https://slsa.dev/provenance/v0.1", "https://in-toto.io/attestation/test-result/v0.2", "https://cyclonedx.org/bomb",
	} {
		for _, more := range []string{"", ", acceptAnyContent: false"} {
			err := parse("attestation: {type: " + kind + ", by: builder" + more + "}")
			if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "line 13, column") || !strings.Contains(err.Error(), "acceptAnyContent: true") {
				t.Errorf("%s%s: %v", kind, more, err)
			}
		}
		if err := parse("attestation: {type: " + kind + ", by: builder, acceptAnyContent: true}"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := parse("anyOf: [{signature: {by: release}}, {allOf: [{attestation: {type: " + kind + ", by: builder}}]}]"); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s, nested: %v", kind, err)
		}
	}
	// Where there are conditions, it would say that they are not kept.
	for _, requirement := range []string{
		"type: slsaprovenance, builder: [https://ci.example]", "type: vuln, maxSeverity: low", "type: vulns, maxSeverity: low", "type: spdx", "type: cyclonedx",
		"type: testresult", "type: vsa, verifier: [https://v.example]", "type: openvex", "type: https://spdx.dev/Document/v2.3",
	} {
		if err := parse("attestation: {by: builder, " + requirement + "}"); err != nil {
			t.Errorf("%s: %v", requirement, err)
		}
		err := parse("attestation: {by: builder, acceptAnyContent: true, " + requirement + "}")
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "has acceptAnyContent, which type") {
			t.Errorf("%s: %v", requirement, err)
		}
	}
	for _, q := range []policy.AttestationRequirement{{Type: approval, By: "builder"}, {Type: predicate.TypeRelease, By: "builder"}} {
		p := loaded(t, policyText, a, b, c)
		p.Rules[0].Require = []policy.Requirement{{Attestation: &q}}
		if _, err := p.Check(nil); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s, in Go: %v", q.Type, err)
		}
	}
}

// A package URL in a policy that can never match denies nothing, and is refused.
func TestAttack_T1_ADeniedPackageURLWithAVersionIsRefused(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	load := func(p string) error {
		text := strings.Replace(policyText, signatureRequired, "attestation: {type: cyclonedx, by: builder, denyPackages: ["+quoted(p)+"]}", 1)
		_, err := policy.Load(written(t, text, a, b, c), policy.ParseOptions{})
		return err
	}
	for _, p := range []string{
		"PKG:npm/evil@1", "Pkg:npm/evil?x=y", "pkg:npm", "pkg:npm/", "pkg:npm/ev%zz", " pkg:npm/evil", "pkg:npm/evil ", "pkg:", "PKG:", "pkg://", "pkg:/npm", "pkg:npm//", "pkg:npm/evil#x", "pkg:npm/@evil",
		"pkg:npm/evil%401", "pkg:npm/ev%2569l", "pkg:npm/x/../evil", "pkg:npm/\u0435vil", "\tpkg:npm/evil", " ",
	} {
		err := load(p)
		if !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%q: %v", p, err)
		} else if !strings.Contains(err.Error(), "denyPackages") || !strings.Contains(err.Error(), ".yaml:") {
			t.Errorf("%q: no position: %v", p, err)
		}
	}
	for _, p := range []string{"PKG:npm/evil", "pkg:npm/@evil/x", "pkg:npm/%40evil/x", "evil", "@evil/x", "pkg://npm/evil"} {
		if err := load(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestTypesTellWhetherTheyHaveConditions(t *testing.T) {
	for kind, has := range map[string]bool{"slsaprovenance": true, "vuln": true, "spdx": true, "intoto": true, "https://example.com/approval/v1": false, "nonsense": false} {
		if a := (policy.AttestationRequirement{Type: kind}); a.HasOwnConditions() != has {
			t.Errorf("%s: want %t", kind, has)
		}
	}
}

func TestLinksHaveNoAgeAndAreNotOfFiles(t *testing.T) {
	read := referenceFiles(t)
	for text, want := range map[string]string{
		"- attestation: {type: intoto, by: release, layout: layout.json, maxAge: 1h, maxAgeFrom: signature}":            "has maxAgeFrom, which type intoto does not have",
		"files: [{use: links}]\nrequirements: {links: {attestation: {type: intoto, by: release, layout: layout.json}}}": "files[0].attestation.type is intoto, which is refused for files",
	} {
		_, err := policy.Parse(composed(t, text), policy.ParseOptions{ReadFile: read})
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
