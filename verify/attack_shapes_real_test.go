package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

func cdxDoc(text string) says { return says{predicate.TypeCycloneDX, text} }

// Bills in the form that tools write are read. The one exception is a licenseConcluded
// that is empty, as spdx-sbom-generator writes it: it could stand for anything.
func TestAttack_E23_BillsOfRealToolsAreRead(t *testing.T) {
	for label, s := range map[string]says{
		"syft cdx": cdxDoc(`{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":1,
"metadata":{"timestamp":"2026-01-01T00:00:00+01:00","tools":{"components":[{"type":"application","author":"anchore","name":"syft","version":"1.20.0"}]},"component":{"bom-ref":"a","type":"container","name":"alpine","version":"sha256:ab"}},
"components":[{"bom-ref":"pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20","type":"library","publisher":"N","name":"musl","version":"1.2.5-r0","description":"","licenses":[{"license":{"id":"MIT"}}],"cpe":"cpe:2.3:a:musl:musl:1:*:*:*:*:*:*:*","purl":"pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20","externalReferences":[{"url":"","type":"distribution"}],"properties":[{"name":"syft:package:foundBy","value":"x"}]},
{"bom-ref":"os","type":"operating-system","name":"alpine","version":"3.20","swid":{"tagId":"alpine","name":"alpine","version":"3.20"}},
{"bom-ref":"f","type":"file","name":"/bin/busybox","hashes":[{"alg":"SHA-1","content":"ab"}]},
{"bom-ref":"g","type":"library","name":"stdlib","version":"go1.22","licenses":[{"license":{"id":"BSD-3-Clause"}}],"purl":"pkg:golang/stdlib@1.22"},
{"bom-ref":"h","type":"library","name":"x","licenses":[{"license":{"name":"sha256:abcdef"}},{"license":{"name":"BSD","text":{"content":"abc","contentType":"text/plain"}}},{"expression":"MIT OR Apache-2.0"}],"purl":"pkg:generic/x@%28devel%29"}]}`),
		"trivy cdx": cdxDoc(`{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":1,
"metadata":{"timestamp":"2026-01-01T00:00:00+00:00","tools":{"components":[{"type":"application","manufacturer":{"name":"Aqua"},"group":"aquasecurity","name":"trivy","version":"0.58.0"}]},"component":{"bom-ref":"pkg:oci/alpine@sha256%3Aabcd?arch=amd64&repository_url=index.docker.io%2Flibrary%2Falpine","type":"container","name":"alpine:3.20","purl":"pkg:oci/alpine@sha256%3Aabcd?arch=amd64&repository_url=index.docker.io%2Flibrary%2Falpine","properties":[]}},
"components":[{"bom-ref":"x","type":"library","supplier":{"name":"a"},"name":"alpine-baselayout","version":"3","licenses":[{"license":{"name":"GPL-2.0-only"}}],"purl":"pkg:apk/alpine/alpine-baselayout@3?arch=x86_64"},
{"bom-ref":"y","type":"library","group":"org.springframework","name":"spring","purl":"pkg:maven/org.springframework/spring@5"},{"bom-ref":"z","type":"application","name":"node","properties":[]},{"bom-ref":"w","type":"framework","group":"","name":"usr/bin/app"},
{"bom-ref":"v","type":"library","name":"github.com/x/y","purl":"pkg:golang/github.com/x/y@v0.0.0-2020+incompatible"}],"dependencies":[],"vulnerabilities":[]}`),
		"cdxgen": cdxDoc(`{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79","version":1,
"metadata":{"timestamp":"2026-01-01T00:00:00Z","tools":{"components":[{"group":"@cyclonedx","name":"cdxgen","version":"11","purl":"pkg:npm/%40cyclonedx/cdxgen@11"}]},"authors":[{"name":"OWASP"}],"lifecycles":[{"phase":"build"}],"component":{"name":"app","type":"application","bom-ref":"pkg:npm/app@latest","purl":"pkg:npm/app@latest","group":"","components":[{"type":"application","name":"sub","bom-ref":"s"}]}},
"components":[{"authors":[{"name":"x"}],"group":"@babel","name":"core","version":"7","scope":"required","hashes":[],"licenses":[{"license":{"id":"MIT","url":"https://opensource.org/licenses/MIT"}}],"purl":"pkg:npm/%40babel/core@7","type":"library","bom-ref":"pkg:npm/@babel/core@7","evidence":{"identity":[{"field":"purl","confidence":1,"methods":[],"concludedValue":"x"}],"occurrences":[{"location":"a#1"}]},"tags":["x"]},
{"type":"cryptographic-asset","name":"sha-512","bom-ref":"crypto/algorithm/sha-512@2","cryptoProperties":{"assetType":"algorithm","oid":"2"}},
{"type":"library","group":"","name":"k","licenses":[],"purl":"pkg:pypi/k@1.0"}],
"services":[{"name":"api","endpoints":["http://x"],"group":"","authenticated":false,"data":[]}],"dependencies":[],"annotations":[{"subjects":["x"],"annotator":{},"timestamp":"2026-01-01T00:00:00Z","text":"This Software Bill-of-Materials holds GPL-3.0-only"}]}`),
		"syft spdx 2.3": {predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"alpine","documentNamespace":"https://anchore.com/syft/image/alpine-x","creationInfo":{"licenseListVersion":"3.25","creators":["Organization: Anchore, Inc","Tool: syft-1.20.0"],"created":"2026-01-01T00:00:00Z"},
"packages":[{"name":"musl","SPDXID":"SPDXRef-Package-apk-musl","versionInfo":"1.2.5-r0","supplier":"Person: N","originator":"Person: N","downloadLocation":"https://musl.libc.org/","filesAnalyzed":true,"packageVerificationCode":{"packageVerificationCodeValue":"ab"},"sourceInfo":"x","licenseConcluded":"NOASSERTION","licenseDeclared":"MIT","copyrightText":"NOASSERTION","externalRefs":[{"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:musl:musl:1:*:*:*:*:*:*:*"},{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64"}]},
{"name":"alpine","SPDXID":"SPDXRef-DocumentRoot-Image-alpine","versionInfo":"3","downloadLocation":"NOASSERTION","filesAnalyzed":false,"checksums":[],"licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:oci/alpine@sha256%3Aab?arch=amd64&tag=3"}],"primaryPackagePurpose":"CONTAINER"}],
"files":[{"fileName":"/bin/busybox","SPDXID":"SPDXRef-File-x","fileTypes":["BINARY"],"checksums":[{"algorithm":"SHA1","checksumValue":"ab"}],"licenseConcluded":"NOASSERTION","licenseInfoInFiles":["NOASSERTION"],"copyrightText":"NOASSERTION","comment":"layerID: x"}],
"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-x","extractedText":"BSD","name":"BSD"}],"relationships":[]}`},
		"buildkit spdx 2.3": {predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"sbom","documentNamespace":"https://docker.com/docker-scout/fs/sbom-x","creationInfo":{"creators":["Organization: Docker, Inc","Tool: buildkit-v0.16"],"created":"2026-01-01T00:00:00Z"},
"packages":[{"name":"sbom","SPDXID":"SPDXRef-DocumentRoot-Directory-sbom","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","primaryPackagePurpose":"FILE"}],
"files":[{"fileName":"/bin/x","SPDXID":"SPDXRef-File-x","checksums":[{"algorithm":"SHA1","checksumValue":"0000000000000000000000000000000000000000"}],"licenseConcluded":"NOASSERTION","licenseInfoInFiles":["NOASSERTION"],"copyrightText":"NOASSERTION"}],"relationships":[]}`},
		"tools-golang spdx 2.2": {predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.2","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"x","documentNamespace":"https://x.example/x","creationInfo":{"creators":["Tool: x"],"created":"2026-01-01T00:00:00Z"},
"packages":[{"name":"a","SPDXID":"SPDXRef-a","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION","licenseInfoFromFiles":null,"licenseDeclared":"MIT","copyrightText":"NOASSERTION"}],
"files":[{"fileName":"/x","SPDXID":"SPDXRef-f","fileTypes":null,"checksums":null,"licenseConcluded":"NOASSERTION","licenseInfoInFiles":null,"copyrightText":""}],"relationships":[]}`},
		"spdx-sbom-generator": {predicate.TypeSPDX, `{"SPDXID":"SPDXRef-DOCUMENT","spdxVersion":"SPDX-2.2","creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: spdx-sbom-generator-v0.0.15"]},"name":"go.mod","dataLicense":"CC0-1.0","documentNamespace":"http://spdx.org/spdxpackages/x","documentDescribes":null,
"packages":[{"name":"a","SPDXID":"SPDXRef-Package-a","versionInfo":"v1","supplier":"Organization: x","downloadLocation":"https://x","filesAnalyzed":false,"checksums":[],"homepage":"","licenseConcluded":"NOASSERTION","licenseDeclared":"MIT","copyrightText":"","licenseComments":"","packageComment":"","externalRefs":[]}],"hasExtractedLicensingInfos":null,"relationships":[]}`},
		"sbom-tool": {predicate.TypeSPDX, `{"files":[],"packages":[{"name":"x","SPDXID":"SPDXRef-Package-1","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","versionInfo":"1","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:nuget/x@1"}],"supplier":"NOASSERTION"},{"name":"r","SPDXID":"SPDXRef-RootPackage","licenseInfoFromFiles":["NOASSERTION"],"hasFiles":[]}],"externalDocumentRefs":[],"relationships":[],"spdxVersion":"SPDX-2.2","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"r","documentNamespace":"https://x/x","creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: Microsoft.SBOMTool-3"]},"documentDescribes":["SPDXRef-RootPackage"]}`},
		"github": {predicate.TypeSPDX, `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"com.github.x/y","documentNamespace":"https://spdx.org/spdxdocs/protobom/x","comment":"x","creationInfo":{"creators":["Tool: protobom-v0"],"created":"2026-01-01T00:00:00Z"},
"packages":[{"name":"npm:lodash","SPDXID":"SPDXRef-npm-lodash","versionInfo":"^4","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"MIT","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/lodash@%5E4"}]},{"name":"a","SPDXID":"SPDXRef-a","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:githubactions/actions/checkout@4.%2A.%2A"}]}],"relationships":[]}`},
	} {
		for _, condition := range []string{"denyLicenses: [AGPL-3.0-only]", `denyPackages: [evil, "pkg:npm/evil"]`} {
			if _, err := required(t, billRequired(s, condition), s); err != nil {
				t.Errorf("%s by %s: %v", label, condition, err)
			}
		}
	}
}

// The bill of a large image, with its files, is read.
func TestAttack_E23_ALargeBillIsRead(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	var b strings.Builder
	b.WriteString(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"a","purl":"pkg:npm/a@1"}`)
	for i := range 60_000 {
		fmt.Fprintf(&b, `,{"bom-ref":"%d","type":"file","name":"/usr/share/doc/%d","hashes":[{"alg":"SHA-1","content":"%040d"},{"alg":"SHA-256","content":"%064d"}],"properties":[{"name":"syft:location:0:path","value":"/usr/%d"}]}`, i, i, i, i, i)
	}
	b.WriteString(`]}`)
	s := cdxDoc(b.String())
	t.Logf("%d bytes", len(s.text))
	if _, err := required(t, billRequired(s, "denyPackages: [evil]"), s); err != nil {
		t.Errorf("%.300v", err)
	}
}

// What stands in a large bill is found wherever it is.
func TestAttack_E23_ALargeBillHidesNothing(t *testing.T) {
	const evil = `{"type":"library","name":"evil","licenses":[{"expression":"GPL-3.0-only"}]}`
	pad := strings.Repeat(`,{"type":"file","name":"/usr/share/doc","hashes":[{"alg":"SHA-1","content":"ab"}]}`, 2000)
	for label, text := range map[string]string{
		"last":     `"components":[{"name":"a"}` + pad + `,` + evil + `]`,
		"itself":   `"metadata":{"component":` + evil + `},"components":[{"name":"a"}` + pad + `]`,
		"in it":    `"metadata":{"component":{"name":"a","components":[` + evil + pad + `]}}`,
		"nested":   `"components":[{"name":"a","components":[{"name":"b","components":[` + evil + pad + `]}]}]`,
		"services": `"services":[{"name":"s","services":[` + evil + pad + `]}]`,
		"a list":   `"components":[[` + evil + pad + `]]`,
		"object":   `"components":{"0":[` + evil + pad + `]}`,
		"metadata": `"metadata":[` + evil + pad + `]`,
	} {
		s := cdxDoc(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,` + text + `}`)
		for _, condition := range []string{"denyLicenses: [GPL-3.0-only]", "denyPackages: [evil]"} {
			wantDenied(t, label, billRequired(s, condition), s)
		}
	}
	file := `{"fileName":"x","licenseInfoInFiles":["MIT"],"checksums":[{"algorithm":"SHA1","checksumValue":"ab"}]}`
	for _, last := range []string{`,{"licenseInfoInFiles":["GPL-3.0-only"]}`, `,{"licenseInfoInFiles":{"0":"GPL-3.0-only"}}`, `,["GPL-3.0-only"]`} {
		s := spdxWith(`"packages":[`, `"files":[`+file+strings.Repeat(","+file, 1000)+last+`],"packages":[`)
		wantDenied(t, last, billRequired(s, "denyLicenses: [GPL-3.0-only]"), s)
	}
}
