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
		"GPL-2.0-with-bison-exception": "GPL-2.0-only", "GPL-3.0-with-GCC-exception": "GPL-3.0", "eCos-2.0": "GPL-2.0-or-later", "wxWindows": "LGPL-2.0", "BSD-2-Clause-NetBSD": "BSD-2-Clause",
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
