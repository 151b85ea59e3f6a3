package scan_test

import (
	"fmt"
	"log"
	"time"

	"github.com/hallmark-oci/hallmark/attest/scan"
)

// Trivy's JSON becomes in-toto's predicate, which a policy's maxSeverity reads.
func ExampleRead_trivy() {
	report, err := scan.Read([]byte(`{
		"SchemaVersion": 2,
		"CreatedAt": "2026-11-23T12:00:00Z",
		"ArtifactName": "registry.example/team/app:v1",
		"ArtifactType": "container_image",
		"Results": [{"Target": "app", "Class": "lang-pkgs", "Type": "gobinary", "Vulnerabilities": [
			{"VulnerabilityID": "CVE-2026-0001", "PkgName": "example.com/lib", "InstalledVersion": "v1.0.0", "FixedVersion": "1.0.1", "Severity": "HIGH"},
			{"VulnerabilityID": "CVE-2026-0002", "PkgName": "example.com/other", "InstalledVersion": "v0.2.0", "Severity": "LOW"}
		]}]
	}`), scan.Options{DB: scan.DB{URI: "https://db.example/trivy", LastUpdate: time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)}})
	if err != nil {
		log.Fatal(err)
	}
	counts := report.Counts()
	fmt.Println(report.Format, report.Findings[0].ID, "high:", counts.High, "low:", counts.Low)

	p, err := report.Vulns()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.PredicateType())
	// Output:
	// trivy CVE-2026-0001 high: 1 low: 1
	// https://in-toto.io/attestation/vulns/v0.2
}
