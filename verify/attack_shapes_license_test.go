package verify_test

import (
	"fmt"
	"testing"
)

// "-with-…-exception" is a deprecated name of the licence with an exception, as
// "WITH" says it now (SPDX licence list, "Deprecated License Identifiers").
func TestAttack_E23_DeprecatedExceptionsAreTheLicence(t *testing.T) {
	for id, denied := range map[string]string{
		"GPL-2.0-with-classpath-exception": "GPL-2.0-only", "GPL-2.0-with-GCC-exception": "GPL-2.0", "GPL-3.0-with-autoconf-exception": "GPL-3.0-only", "gpl-2.0-with-font-exception": "GPL-2.0-only",
		"GPL-2.0-with-bison-exception": "GPL-2.0-only", "GPL-3.0-with-GCC-exception": "GPL-3.0", "eCos-2.0": "GPL-2.0-or-later", "wxWindows": "LGPL-2.0", "BSD-2-Clause-NetBSD": "BSD-2-Clause", "StandardML-NJ": "SMLNJ", "BSD-2-Clause-FreeBSD": "BSD-2-Clause-Views",
		"GPL-2.0-with-autoconf-exception": "GPL-2.0-with-autoconf-exception",
	} {
		for _, form := range []string{`[{"license":{"id":%q}}]`, `[{"expression":"MIT AND %s"}]`} {
			s := cdxWith(`"licenses":`+fmt.Sprintf(form, id), "")
			wantDenied(t, id, billRequired(s, "denyLicenses: ["+denied+"]"), s)
		}
	}
	for id, denied := range map[string]string{"GPL-2.0-with-GCC-exception": "GPL-3.0-only", "GPL-2.0-with-font-exception": "GPL-2.0-or-later", "GPL-2.0-only": "GPL-2.0-with-GCC-exception"} {
		s := cdxWith(`"licenses":[{"license":{"id":"`+id+`"}}]`, "")
		if _, err := required(t, billRequired(s, "denyLicenses: ["+denied+"]"), s); err != nil {
			t.Errorf("%s by %s: %v", id, denied, err)
		}
	}
}

// Debian's names (DEP-5), which bills of its packages have, and those of Fedora.
func TestAttack_E23_DebiansNamesOfGNULicencesAreFound(t *testing.T) {
	for text, denied := range map[string]string{
		"GPL-3": "GPL-3.0-only", "GPL-3+": "GPL-3.0-or-later", "LGPL-2": "LGPL-2.0", "GPLv3": "GPL-3.0-only", "GPL3": "GPL-3.0",
		"LGPL-2.1+": "LGPL-2.1-or-later", "LGPLv2.1+": "LGPL-2.1-or-later", "AGPLv3": "AGPL-3.0-only", "AGPL-3+": "AGPL-3.0", "GFDL-1.3+": "GFDL-1.3-or-later", "GPL-2+-with-openssl-exception": "GPL-2.0-or-later",
		"GPL-3-or-later": "GPL-3.0-or-later", "GPL v3": "GPL-3.0-only", "GPL 2.0": "GPL-2.0-only", "GNU GPL, version 3": "GPL-3.0", "GPL-1+ or Artistic": "GPL-1.0-or-later", "(GPLv2+)": "GPL-2.0-or-later", "gpl-v3": "GPL-3",
	} {
		s := cdxWith(`"licenses":[{"license":{"name":`+quoted(text)+`}}]`, "")
		wantDenied(t, text, billRequired(s, "denyLicenses: ["+denied+"]"), s)
	}
	for text, denied := range map[string]string{"LGPL-3": "GPL-3.0-only", "GPL-2": "GPL-3.0-only", "GPL-3+": "GPL-3.0-only", "XGPLv3": "GPL-3.0-only", "GPL": "GPL-3.0-only", "GPL-30": "GPL-3.0-only"} {
		s := cdxWith(`"licenses":[{"license":{"name":`+quoted(text)+`}}]`, "")
		if _, err := required(t, billRequired(s, "denyLicenses: ["+denied+"]"), s); err != nil {
			t.Errorf("%s by %s: %v", text, denied, err)
		}
	}
}

// A licence that stands where the format has none, beside one that is read.
func TestAttack_E23_ALicenceInAnotherPlaceCannotBeRead(t *testing.T) {
	file := func(more string) says {
		return spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"x",`+more+`}],"packages":[`)
	}
	for _, s := range []says{
		cdxWith(`"license":"GPL-3.0-only"`, ""), cdxWith(`"license":{"id":"GPL-3.0-only"}`, ""), cdxWith(`"licence":[{"license":{"id":"GPL-3.0-only"}}]`, ""), cdxWith(`"expression":"GPL-3.0-only"`, ""),
		cdxWith(`"licenses":[{"license":{"name":"x"},"id":"GPL-3.0-only"}]`, ""), cdxWith(`"licenses":[{"license":{"name":"x","expression":"GPL-3.0-only"}}]`, ""),
		cdxWith(`"licenses":[{"license":{"name":"see","url":"https://spdx.org/licenses/GPL-3.0-only.html"}}]`, ""),
		spdxWith(`"name":"left-pad"`, `"name":"left-pad","licenseInfoInFiles":["GPL-3.0-only"]`), spdxWith(`"name":"left-pad"`, `"name":"left-pad","files":[{"licenseConcluded":"GPL-3.0-only"}]`),
		file(`"licenseInfoFromFiles":["GPL-3.0-only"]`), file(`"licenseDeclared":"GPL-3.0-only"`), file(`"licenseInfoInFile":["GPL-3.0-only"]`),
		cdxWith(`"LICENCE":"GPL-3.0-only"`, ""), cdxWith(`"licenseExpression":"GPL-3.0-only"`, ""), cdxWith(`"Expression":"GPL-3.0-only"`, ""), cdxWith(`"licenses":[{"licence":{"id":"GPL-3.0-only"},"expression":"MIT"}]`, ""),
		cdxWith(`"licenses":[{"license":{"name":"x"},"Name":"GPL-3.0-only"}]`, ""), cdxWith(`"licenses":[{"license":{"name":"x","licenses":["GPL-3.0-only"]}}]`, ""), cdxWith(`"evidence":{"license":"GPL-3.0-only"}`, ""),
		cdxWith(`"licenses":[{"license":{"id":"MIT","url":["GPL-3.0-only"]}}]`, ""), cdxWith(`"licenses":[{"license":{"name":"x","URL":"https://spdx.org/licenses/GPL-3.0-only"}}]`, ""),
		cdxWith(`"licenses":[{"license":{"name":"x","url":"http://SPDX.org/LICENSES/gpl%2D3.0-only.json"}}]`, ""), cdxWith(`"licenses":[{"license":{"name":"x","url":"https://opensource.org/license/GPL-3.0"}}]`, ""),
		cdxWith(`"version":"1"`, `,"licenses":[{"license":{"id":"GPL-3.0-only"}}]`), cdxWith(`"version":"1"`, `,"metadata":{"license":"GPL-3.0-only"}`),
		spdxWith(`"name":"left-pad"`, `"name":"left-pad","license":"GPL-3.0-only"`), spdxWith(`"packages":[`, `"licenseConcluded":"GPL-3.0-only","packages":[`),
		spdxWith(`"packages":[`, `"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-1","licenseName":"GPL-3.0-only"}],"packages":[`),
	} {
		wantDenied(t, s.text, billRequired(s, "denyLicenses: [GPL-3.0-only]"), s)
	}
}

// These members are of the formats, or name no licence.
func TestAttack_E23_WhatFormatsSayOfLicencesIsKnown(t *testing.T) {
	for _, s := range []says{
		cdxWith(`"licenses":[{"bom-ref":"a","expression":"MIT","acknowledgement":"declared","licensing":{"licenseTypes":["perpetual"]},"text":{"content":"x"},"properties":[]}]`, ""),
		cdxWith(`"licenses":[{"license":{"bom-ref":"a","id":"MIT","acknowledgement":"concluded","text":{"content":"GPL-3.0-only"},"url":"https://opensource.org/licenses/MIT","licensing":{"licensor":{},"licensee":{}},"properties":[]}}]`, ""),
		cdxWith(`"licenses":[{"license":{"name":"x","url":""}},{"license":{"name":"y","url":"https://git.example/GPL-3.0-only/LICENSE"}}],"evidence":{"licenses":[],"copyright":[]}`, `,"metadata":{"licenses":[{"license":{"id":"GPL-3.0-only"}}]}`),
		cdxWith(`"licenses":[{"expression":"MIT","expressionDetails":[{"licenseIdentifier":"MIT","bom-ref":"x","text":{},"url":"x"}]}]`, ""),
		spdxWith(`"name":"left-pad"`, `"name":"left-pad","licenseComments":"GPL-3.0-only"`), spdxWith(`"name":"left-pad"`, `"name":"left-pad","files":[{"licenseConcluded":"MIT"}]`),
		spdxWith(`"packages":[`, `"files":[{"SPDXID":"SPDXRef-f","fileName":"x","licenseComments":"x"}],"snippets":[{"licenseComments":"x","licenseInfoInSnippets":null}],"hasExtractedLicensingInfos":null,"packages":[`),
	} {
		if _, err := required(t, billRequired(s, "denyLicenses: [GPL-3.0-only]"), s); err != nil {
			t.Errorf("%v\n%s", err, s.text)
		}
	}
}
