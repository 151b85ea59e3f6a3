package scan_test

import (
	"fmt"
	"log"

	"github.com/hallmark-oci/hallmark/attest/scan"
)

// Make a predicate of a report by Trivy.
func ExampleRead() {
	report, err := scan.Read([]byte(`{
		"SchemaVersion": 2,
		"CreatedAt": "2026-01-31T12:00:00Z",
		"ArtifactName": "registry.example/team/app",
		"ArtifactType": "container_image",
		"Results": [{"Target": "app", "Vulnerabilities": [{"VulnerabilityID": "CVE-2026-0001", "PkgName": "musl", "Severity": "HIGH"}]}]
	}`), scan.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range report.Findings {
		fmt.Println(f.ID, f.Package, f.Severity)
	}
	vulns, err := report.Vulns()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(vulns.PredicateType(), vulns.Counts().High)
	// Output:
	// CVE-2026-0001 musl high
	// https://in-toto.io/attestation/vulns/v0.2 1
}
