package verify_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

// cdxWith is a CycloneDX document of one component, with more members of it and of
// the document.
func cdxWith(component, more string) says {
	return says{predicate.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"x",` + component + `}]` + more + `}`}
}

// billRequired demands a bill of the statement's type.
func billRequired(s says, conditions string) string {
	kind := map[string]string{predicate.TypeSPDX: "spdx", predicate.TypeCycloneDX: "cyclonedx"}[s.uri]
	return "attestation: {type: " + kind + ", by: builder, " + conditions + "}"
}

func TestAttack_E15_LicencesThatABillHidesAreFound(t *testing.T) {
	const concluded = `"licenseConcluded":"GPL-3.0-or-later WITH Classpath-exception-2.0"`
	named := func(text string) says { return cdxWith(`"licenses":[{"license":{"name":"`+text+`"}}]`, "") }
	for name, c := range map[string]struct {
		bill   says
		reason verify.Reason
	}{
		"licenseInfoFromFiles":   {spdxWith(concluded, `"licenseConcluded":"NOASSERTION","licenseInfoFromFiles":["MIT","AGPL-3.0-only"]`), verify.ReasonDeniedLicense},
		"files":                  {spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"./x","licenseInfoInFiles":["AGPL-3.0-only"]}],"packages":[`), verify.ReasonDeniedLicense},
		"files, concluded":       {spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"./x","licenseConcluded":"AGPL-3.0-only"}],"packages":[`), verify.ReasonDeniedLicense},
		"snippets":               {spdxWith(`"packages":[`, `"snippets":[{"SPDXID":"SPDXRef-s","licenseInfoInSnippets":["AGPL-3.0-only"]}],"packages":[`), verify.ReasonDeniedLicense},
		"evidence":               {cdxWith(`"evidence":{"licenses":[{"license":{"id":"AGPL-3.0-only"}}]}`, ""), verify.ReasonDeniedLicense},
		"services":               {cdxWith(`"version":"1"`, `,"services":[{"name":"s","licenses":[{"license":{"id":"AGPL-3.0-only"}}]}]`), verify.ReasonDeniedLicense},
		"services in services":   {cdxWith(`"version":"1"`, `,"services":[{"name":"s","services":[{"name":"t","licenses":[{"expression":"AGPL-3.0-only"}]}]}]`), verify.ReasonDeniedLicense},
		"slash (Cargo)":          {named("MIT/AGPL-3.0-only"), verify.ReasonDeniedLicense},
		"comma":                  {named("AGPL-3.0-only, MIT"), verify.ReasonDeniedLicense},
		"semicolon and bar":      {named("MIT;AGPL-3.0-only|X"), verify.ReasonDeniedLicense},
		"end of a sentence":      {named("Licence: AGPL-3.0-only."), verify.ReasonDeniedLicense},
		"behind a colon":         {named("License:AGPL-3.0-only"), verify.ReasonDeniedLicense},
		"in another document":    {named("DocumentRef-x:AGPL-3.0-only"), verify.ReasonDeniedLicense},
		"no-break space":         {named("MIT\u00a0AGPL-3.0-only"), verify.ReasonDeniedLicense},
		"a longer identifier":    {named("LicenseRef-AGPL-3.0-only-x"), ""},
		"part of another":        {named("XAGPL-3.0-only"), ""},
		"Licenses in other case": {cdxWith(`"Licenses":[{"license":{"id":"AGPL-3.0-only"}}]`, ""), verify.ReasonPredicate},
		"ID in other case":       {cdxWith(`"licenses":[{"license":{"ID":"AGPL-3.0-only"}}]`, ""), verify.ReasonPredicate},
		"SPDX in other case":     {spdxWith(concluded, `"licenseconcluded":"AGPL-3.0-only"`), verify.ReasonPredicate},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := required(t, billRequired(c.bill, "denyLicenses: [AGPL-3.0-only]"), c.bill)
			wantReason(t, err, c.reason)
		})
	}
}

func TestAttack_E15_PackagesThatABillHidesAreFound(t *testing.T) {
	const spdxRef = `"referenceType":"purl","referenceLocator":"pkg:npm/left-pad@1.3.0?x=y"`
	purl := func(text string) says { return cdxWith(`"purl":"`+text+`"`, "") }
	for name, c := range map[string]struct {
		denied string
		bill   says
		reason verify.Reason
	}{
		"Components":             {"pkg:npm/evil", says{predicate.TypeCycloneDX, `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"Components":[{"type":"library","name":"e","purl":"pkg:npm/evil@1"}]}`}, verify.ReasonPredicate},
		"Purl":                   {"pkg:npm/evil", cdxWith(`"Purl":"pkg:npm/evil@1"`, ""), verify.ReasonPredicate},
		"Component":              {"pkg:npm/evil", cdxWith(`"version":"1"`, `,"metadata":{"Component":{"type":"library","name":"e","purl":"pkg:npm/evil@1"}}`), verify.ReasonPredicate},
		"Packages":               {"pkg:npm/evil", spdxWith(`"packages":[`, `"Packages":[`), verify.ReasonPredicate},
		"pkg://":                 {"pkg:npm/evil", purl("pkg://npm/evil@1"), verify.ReasonDeniedPackage},
		"PKG:":                   {"pkg:npm/evil", purl("PKG:npm/evil@1"), verify.ReasonDeniedPackage},
		"empty segment":          {"pkg:npm/evil", purl("pkg:npm//evil@1"), verify.ReasonDeniedPackage},
		"slash in the version":   {"pkg:npm/evil", purl("pkg:npm/evil@feature/x"), verify.ReasonDeniedPackage},
		"scope in the version":   {"pkg:npm/evil", purl("pkg:npm/evil@feature/@x"), verify.ReasonDeniedPackage},
		"scope":                  {"pkg:npm/@evil/core", purl("pkg:npm/@evil/core@1/2"), verify.ReasonDeniedPackage},
		"scope alone":            {"pkg:npm/@evil/core", purl("pkg:npm/@evil/core"), verify.ReasonDeniedPackage},
		"referenceType URI":      {"pkg:npm/evil", spdxWith(spdxRef, `"referenceType":"http://spdx.org/rdf/references/purl","referenceLocator":"pkg:npm/evil@1"`), verify.ReasonDeniedPackage},
		"referenceType other":    {"pkg:npm/evil", spdxWith(spdxRef, `"referenceType":"npm","referenceLocator":"pkg:npm/evil@1"`), verify.ReasonDeniedPackage},
		"pypi":                   {"pkg:pypi/evil-pkg", purl("pkg:pypi/Evil_Pkg@1"), verify.ReasonDeniedPackage},
		"pypi, in the policy":    {"pkg:pypi/Evil_Pkg", purl("pkg:pypi/evil-pkg@1"), verify.ReasonDeniedPackage},
		"pypi, dots":             {"pkg:pypi/evil-pkg", purl("pkg:pypi/evil._pkg@1"), verify.ReasonDeniedPackage},
		"github":                 {"pkg:github/team/app", purl("pkg:github/Team/App@1"), verify.ReasonDeniedPackage},
		"maven, which has case":  {"pkg:maven/org/app", purl("pkg:maven/org/App@1"), ""},
		"another":                {"pkg:npm/evil", purl("pkg:npm/evil/other@1"), ""},
		"file of the same name":  {"./x", spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"./x"}],"packages":[`), ""},
		"service":                {"team/s", cdxWith(`"version":"1"`, `,"services":[{"group":"team","name":"s"}]`), verify.ReasonDeniedPackage},
		"reference to elsewhere": {"pkg:npm/evil", spdxWith(spdxRef, `"referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:evil:evil:1"`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := required(t, billRequired(c.bill, `denyPackages: ["`+c.denied+`"]`), c.bill)
			wantReason(t, err, c.reason)
		})
	}
	// A condition that asks nothing of packages reads none.
	odd := cdxWith(`"Purl":"pkg:npm/evil@1"`, "")
	if _, err := required(t, strings.Replace(billRequired(odd, ""), ", }", "}", 1), odd); err != nil {
		t.Error(err)
	}
}
