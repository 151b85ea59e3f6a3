package verify_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// wantDenied demands that a statement is read and denied.
func wantDenied(t *testing.T, label, requirement string, s says) {
	t.Helper()
	_, err := required(t, requirement, s)
	if e, ok := err.(*verify.Error); !ok || e.Reason == verify.ReasonNoAttestation {
		t.Errorf("%s: %.200v", label, err)
	}
}

// A name with characters that no registry has in names, once it is decoded, cannot be
// compared. Case says nothing where purl-spec says so.
func TestAttack_E23_PackageURLsThatOthersReadAlikeAreFound(t *testing.T) {
	for purl, denied := range map[string]string{
		"pkg:rpm/Fedora/openssl@1": "pkg:rpm/fedora/openssl", "pkg:qpkg/BlackBerry/x@1": "pkg:qpkg/blackberry/x", "pkg:vscode-extension/Evil/X@1": "pkg:vscode-extension/evil/x",
		"pkg:npm/evil%20@1": "pkg:npm/evil", "pkg:npm/evil%00@1": "pkg:npm/evil", "pkg:npm/evil%E2%80%8B@1": "pkg:npm/evil", "pkg:npm/./evil@1": "pkg:npm/evil", "pkg:npm/x/../evil@1": "pkg:npm/evil",
		"pkg:npm/%2540evil/x@1": "pkg:npm/@evil/x", "pkg:npm/%2E/evil@1": "pkg:npm/evil", "pkg:npm/x/%2e%2e/evil": "pkg:npm/evil", "pkg:npm/x%2F..%2Fevil@1": "pkg:npm/evil", "pkg:npm/ev%2569l@1": "pkg:npm/evil",
		"pkg:npm/evil%09": "pkg:npm/evil", "pkg:npm/evil%EF%B8%8F": "pkg:npm/evil", "pkg:npm/evil%C2%A0@1": "pkg:npm/evil", "pkg:npm/evil%E3%85%A4@1": "pkg:npm/evil", "pkg:npm/evil%FF@1": "pkg:npm/evil",
		"pkg:npm/evil/@1": "pkg:npm/evil", "pkg:npm/evil%2F@1": "pkg:npm/evil", "pkg:npm/%2Fevil@1": "pkg:npm/evil", "pkg:npm/%40evil%2Fx@1": "pkg:npm/@evil/x", "pkg:npm/%20evil": "pkg:npm/evil", "pkg:npm/e%CC%81vil": "pkg:npm/%C3%A9vil",
	} {
		s := cdxWith(`"purl":`+quoted(purl), "")
		wantDenied(t, purl, billRequired(s, "denyPackages: ["+quoted(denied)+"]"), s)
	}
	for _, purl := range []string{
		"pkg:golang/github.com/x/y@v0.0.0-2020+incompatible", "pkg:npm/%40babel/core@7", "pkg:generic/x@%28devel%29", "pkg:generic/Some%20App@1", "pkg:rpm/fedora/OpenSSL@1", "pkg:generic/n%C3%A4me",
		"pkg:deb/debian/libstdc%2B%2B6@12?arch=amd64", "pkg:oci/alpine@sha256%3Aab?tag=3", "pkg:githubactions/actions/checkout@4.%2A.%2A", "pkg:generic/nginx:alpine@1", "pkg:maven/org/app_2.13@1",
	} {
		s := cdxWith(`"purl":`+quoted(purl), "")
		if _, err := required(t, billRequired(s, `denyPackages: ["pkg:npm/evil", "pkg:rpm/fedora/openssl"]`), s); err != nil {
			t.Errorf("%s: %v", purl, err)
		}
	}
}
