package verify_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

// denied asserts a denial by a reason, with words in its detail.
func denied(t *testing.T, requirement string, s says, reason verify.Reason, words string) {
	t.Helper()
	res, err := required(t, requirement, s)
	if e, ok := err.(*verify.Error); !ok || e.Reason != reason {
		t.Fatalf("%s\n%s\n%v, want %s", requirement, s.text, err, reason)
	}
	if detail := isDenied(t, res, err, reason).Detail; !strings.Contains(detail, words) {
		t.Errorf("%s\n%s\ndetail %q, want %q in it", requirement, s.text, detail, words)
	}
}

// otherShapes are what a list of licences is not.
var otherShapes = []string{
	`null`, `7`, `9007199254740993`, `true`, `"GPL-3.0-only"`, `{}`, `{"license":{"id":"GPL-3.0-only"}}`, `["GPL-3.0-only"]`, `[7]`, `[null]`, `[{}]`,
	`[[{"license":{"id":"GPL-3.0-only"}}]]`, `[{"license":"GPL-3.0-only"}]`, `[{"license":["GPL-3.0-only"]}]`, `[{"license":null}]`, `[{"license":{}}]`,
	`[{"license":{"id":["GPL-3.0-only"]}}]`, `[{"license":{"id":{"id":"GPL-3.0-only"}}}]`, `[{"license":{"id":7}}]`, `[{"license":{"id":""}}]`, `[{"license":{"id":null}}]`,
	`[{"license":{"name":["GPL-3.0-only"]}}]`, `[{"license":{"Id":"GPL-3.0-only"}}]`, `[{"License":{"id":"GPL-3.0-only"}}]`, `[{"expression":["GPL-3.0-only"]}]`,
	`[{"expression":{"id":"GPL-3.0-only"}}]`, `[{"expression":null}]`, `[{"Expression":"GPL-3.0-only"}]`, `[{"license":{"id":"MIT"}},{"licence":{"id":"GPL-3.0-only"}}]`,
	`[{"license":{"id":"\uff27PL-3.0-only"}}]`, `[{"license":{"id":"MIT"},"expression":7}]`, `[{"expression":"MIT","expressionDetails":[{"licenseIdentifier":7}]}]`,
}

func TestAttack_E23_LicencesOfOtherShapesCannotBeRead(t *testing.T) {
	const condition = "denyLicenses: [GPL-3.0-only]"
	for _, shape := range otherShapes {
		for _, s := range []says{
			cdxWith(`"licenses":`+shape, ""), cdxWith(`"evidence":{"licenses":`+shape+`}`, ""), cdxWith(`"components":[{"type":"library","name":"y","licenses":`+shape+`}]`, ""),
			cdxWith(`"version":"1"`, `,"services":[{"name":"s","licenses":`+shape+`}]`),
			cdxWith(`"version":"1"`, `,"metadata":{"component":{"type":"container","name":"m","licenses":`+shape+`}}`),
		} {
			denied(t, billRequired(s, condition), s, verify.ReasonPredicate, "its licences cannot be read")
		}
	}
	for _, more := range []string{`"evidence":"GPL-3.0-only"`, `"evidence":[]`, `"components":{}`, `"components":[[]]`, `"components":["y"]`, `"services":7`, `"Licenses":[]`, `"evidence":{"Licenses":[]}`} {
		s := cdxWith(more, "")
		denied(t, billRequired(s, condition), s, verify.ReasonPredicate, "its licences cannot be read")
	}
	for _, more := range []string{`,"services":{}`, `,"services":[7]`, `,"metadata":[]`, `,"metadata":7`, `,"metadata":{"component":[]}`, `,"metadata":{"component":null}`, `,"Services":[]`} {
		s := cdxWith(`"version":"1"`, more)
		denied(t, billRequired(s, condition), s, verify.ReasonPredicate, "its licences cannot be read")
	}
	for _, components := range []string{`{}`, `null`, `7`, `"x"`, `[7]`, `[null]`, `[[{"type":"library","name":"x"}]]`} {
		s := says{predicate.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":` + components + `}`}
		denied(t, billRequired(s, condition), s, verify.ReasonPredicate, "its licences cannot be read")
		denied(t, billRequired(s, "denyPackages: [evil]"), s, verify.ReasonPredicate, "its packages cannot be read")
	}
}

func TestAttack_E23_SPDXOfOtherShapesCannotBeRead(t *testing.T) {
	const concluded = `"licenseConcluded":"GPL-3.0-or-later WITH Classpath-exception-2.0"`
	texts := []string{`{"id":"GPL-3.0-only"}`, `["GPL-3.0-only"]`, `7`, `true`, `null`, `""`, `" "`}
	// Lists of licences may be null: Go programs write it where they are empty.
	lists := []string{`"GPL-3.0-only"`, `{"0":"GPL-3.0-only"}`, `7`, `[["GPL-3.0-only"]]`, `[{"id":"GPL-3.0-only"}]`, `[7]`, `[null]`, `[""]`}
	var all []says
	for _, shape := range texts {
		all = append(all, spdxWith(concluded, `"licenseConcluded":`+shape), spdxWith(concluded, `"licenseDeclared":`+shape),
			spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"./x","licenseConcluded":`+shape+`}],"packages":[`),
			spdxWith(`"packages":[`, `"snippets":[{"SPDXID":"SPDXRef-s","licenseConcluded":`+shape+`}],"packages":[`),
			spdxWith(`"packages":[`, `"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-1","name":`+shape+`}],"packages":[`))
	}
	for _, shape := range lists {
		all = append(all, spdxWith(concluded, `"licenseInfoFromFiles":`+shape),
			spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"./x","licenseInfoInFiles":`+shape+`}],"packages":[`),
			spdxWith(`"packages":[`, `"snippets":[{"SPDXID":"SPDXRef-s","licenseInfoInSnippets":`+shape+`}],"packages":[`))
	}
	for _, list := range []string{"files", "snippets", "hasExtractedLicensingInfos"} {
		for _, shape := range []string{`{}`, `7`, `"x"`, `null`, `[7]`, `[[]]`, `[null]`} {
			if list == "hasExtractedLicensingInfos" && shape == `null` {
				continue
			}
			all = append(all, spdxWith(`"packages":[`, `"`+list+`":`+shape+`,"packages":[`))
		}
	}
	for _, s := range all {
		denied(t, billRequired(s, "denyLicenses: [GPL-3.0-only]"), s, verify.ReasonPredicate, "its licences cannot be read")
	}
}

func TestAttack_E23_PackagesOfOtherShapesCannotBeRead(t *testing.T) {
	const (
		reference = `[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/left-pad@1.3.0?x=y"}]`
		condition = "denyPackages: [\"pkg:npm/evil\", evil]"
	)
	var all []says
	for _, shape := range []string{
		`{"referenceType":"purl","referenceLocator":"pkg:npm/evil@1"}`, `"pkg:npm/evil@1"`, `["pkg:npm/evil@1"]`, `null`, `7`, `[null]`, `[[` + reference + `]]`, `[{}]`,
		`[{"referenceType":["purl"],"referenceLocator":"pkg:npm/x@1"}]`, `[{"referenceType":"purl","referenceLocator":["pkg:npm/evil@1"]}]`, `[{"referenceType":"purl"}]`,
		`[{"referenceLocator":"pkg:npm/x@1"}]`, `[{"referenceType":"purl","ReferenceLocator":"pkg:npm/evil@1"}]`, `[{"referenceType":"purl","referenceLocator":"npm/evil"}]`,
		`[{"referenceType":"other","referenceLocator":" pkg:npm/evil"}]`, `[{"referenceType":"http://spdx.org/rdf/references/purl","referenceLocator":"x"}]`,
	} {
		all = append(all, spdxWith(reference, shape))
	}
	for _, shape := range []string{`["evil"]`, `{"name":"evil"}`, `null`, `7`, `""`} {
		all = append(all, spdxWith(`"name":"left-pad"`, `"name":`+shape), cdxWith(`"components":[{"type":"library","name":`+shape+`}]`, ""))
		if shape != `""` {
			all = append(all, cdxWith(`"group":`+shape, ""))
		}
	}
	all = append(all, spdxWith(`"name":"left-pad",`, ``), cdxWith(`"components":[{"type":"library"}]`, ""))
	for _, purl := range []string{
		`null`, `7`, `["pkg:npm/evil@1"]`, `{"purl":"pkg:npm/evil@1"}`, `""`, `"npm/evil"`, `" pkg:npm/evil@1"`, `"pkg:npm/evil @1"`, `"pkg:npm"`, `"pkg:npm/"`, `"pkg:/evil"`,
		`"pkg:npm/ev%zzil"`, `"pkg:npm/evil%401"`, `"pkg:npm/evil%3Fx=y"`, `"pkg:npm/evil%23x"`, `"pkg:npm/\u0435vil@1"`, `"pkg:n%70m-x/evil@1"`,
	} {
		all = append(all, cdxWith(`"purl":`+purl, ""))
	}
	for _, s := range all {
		denied(t, billRequired(s, condition), s, verify.ReasonPredicate, "its packages cannot be read")
	}
}

// What no condition reads is of no matter, whatever its form.
func TestAttack_E23_WhatNoConditionReadsOfABillIsPassedOver(t *testing.T) {
	for _, c := range []struct {
		condition string
		bill      says
	}{
		{"denyPackages: [evil]", cdxWith(`"licenses":"GPL-3.0-only","evidence":7`, "")},
		{"denyPackages: [evil]", spdxWith(`"licenseConcluded":"GPL-3.0-or-later WITH Classpath-exception-2.0"`, `"licenseConcluded":{"id":7},"licenseInfoFromFiles":7`)},
		{"denyPackages: [evil]", spdxWith(`"packages":[`, `"files":[{"licenseInfoInFiles":7}],"packages":[`)},
		{"denyLicenses: [AGPL-3.0-only]", cdxWith(`"purl":7,"group":[],"Purl2":7`, "")},
		{"denyLicenses: [AGPL-3.0-only]", cdxWith(`"Purl":"pkg:npm/evil@1","GROUP":"x"`, "")},
		{"denyPackages: [evil]", cdxWith(`"Licenses":7,"Evidence":7,"purl":"pkg:npm/x@1?arch=a b#c d"`, `,"Files":7`)},
		{"denyLicenses: [AGPL-3.0-only]", spdxWith(`"externalRefs":[`, `"externalRefs":{},"x":[`)},
		{"denyLicenses: [AGPL-3.0-only]", cdxWith(`"licenses":[{"license":{"name":"Käse-Lizenz"}},{"expression":"MIT OR Apache-2.0"}]`, "")}, // 1.7 mixes them
		{"denyLicenses: [AGPL-3.0-only], denyPackages: [evil]", cdxWith(`"group":"","licenses":[],"hashes":7`, `,"vulnerabilities":[7]`)},
	} {
		if _, err := required(t, billRequired(c.bill, c.condition), c.bill); err != nil {
			t.Errorf("%s\n%s\n%v", c.condition, c.bill.text, err)
		}
	}
}

// A licence has more spellings than one.
func TestAttack_E23_OtherSpellingsOfALicenceAreFound(t *testing.T) {
	for text, c := range map[string]struct {
		condition string
		found     bool
	}{
		"gpl-3.0-only":                  {"GPL-3.0-only", true},
		"(MIT AND (gPl-3.0-OnLy))":      {"GPL-3.0-only", true},
		"GPL-3.0-only WITH X-exception": {"GPL-3.0-only", true},
		"GPL-3.0":                       {"GPL-3.0-only", true}, // deprecated, for the same
		"GPL-3.0+":                      {"GPL-3.0-or-later", true},
		"GPL-3.0+ ":                     {"GPL-3.0-only", false},
		"GPL-3.0-or-later":              {"GPL-3.0-only", false},
		"MIT OR GPL-3.0-or-later":       {"GPL-3.0", true},
		"GPL-3.0-only ":                 {"GPL-3.0", true},
		"MIT+GPL-3.0":                   {"GPL-3.0-only", true},
		"GPL-3.0+MIT":                   {"GPL-3.0-only", true},
		"LGPL-3.0":                      {"GPL-3.0-only", false},
		"Apache-2.0+":                   {"Apache-2.0", true},
		"https://spdx.org/licenses/GPL-3.0-only.html": {"GPL-3.0-only", true},
	} {
		s := cdxWith(`"licenses":[{"expression":`+quoted(text)+`}]`, "")
		_, err := required(t, billRequired(s, "denyLicenses: ["+c.condition+"]"), s)
		if c.found {
			wantReason(t, err, verify.ReasonDeniedLicense)
		} else if err != nil {
			t.Errorf("%q by %s: %v", text, c.condition, err)
		}
	}
	for _, name := range []string{"GPL\u20113.0\u2011only", "GPL\u200b-3.0-only"} {
		s := cdxWith(`"licenses":[{"license":{"name":`+quoted(name)+`}}]`, "")
		_, err := required(t, billRequired(s, "denyLicenses: [GPL-3.0-only]"), s)
		wantReason(t, err, verify.ReasonDeniedLicense)
	}
	s := spdxWith(`"packages":[`, `"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-1","name":"GPL-3.0-only"}],"packages":[`)
	_, err := required(t, billRequired(s, "denyLicenses: [GPL-3.0-only]"), s)
	wantReason(t, err, verify.ReasonDeniedLicense)
}
