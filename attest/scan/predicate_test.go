package scan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
)

var scanSubject = attest.Subject{Name: "app", Digest: map[string]string{"sha256": scannedManifest[len("sha256:"):]}}

// A reader of the predicate must count what the report counts.
func TestPredicatesOfAScanCountWhatTheReportCounts(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	o := scan.Options{Scanner: scan.Tool{URI: "https://scanner.example"}, DB: scan.DB{LastUpdate: at}, FinishedOn: at}
	for _, name := range []string{"trivy.json", "grype5.json", "grype6.json", "trivy.sarif", "grype.sarif"} {
		report, err := scan.Read(scanFile(t, name), o)
		if err != nil {
			t.Fatal(err)
		}
		vulns, err := report.Vulns()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if vulns.Counts() != report.Counts() {
			t.Errorf("%s: in-toto's form counts %+v, the report %+v", name, vulns.Counts(), report.Counts())
		}
		vuln, err := report.CosignVuln()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, p := range []attest.Predicate{vulns, vuln} {
			if _, err := attest.NewStatement(p, scanSubject); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		again, err := scan.Read(vuln.Scanner.Result, scan.Options{})
		if err != nil || again.Counts() != report.Counts() {
			t.Errorf("%s: cosign's form, read again: %v", name, err)
		}
	}
}

func TestCosignsFormHoldsTheScannersOwnReport(t *testing.T) {
	file := scanFile(t, "trivy.json")
	report := readScanFile(t, "trivy.json")
	vuln, err := report.CosignVuln()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(vuln.Scanner.Result, bytes.TrimSpace(file)) {
		t.Error("the report was changed")
	}
	statement, err := attest.NewStatement(vuln, scanSubject)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, file); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(statement.Predicate, compact.Bytes()) && !bytes.Contains(statement.Predicate, bytes.TrimSpace(file)) {
		t.Error("the statement holds another report")
	}
}

func TestAScanOfWhichTooLittleIsKnownIsNoPredicate(t *testing.T) {
	timeless := readScanFile(t, "trivy.sarif")
	if _, err := timeless.CosignVuln(); !errors.Is(err, scan.ErrInvalid) {
		t.Errorf("without a time: %v", err)
	}
	if _, err := timeless.Vulns(); !errors.Is(err, scan.ErrInvalid) {
		t.Errorf("without a time: %v", err)
	}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	anonymous, err := scan.Read(sarif(`{"id":"r"}`, `{"ruleId":"r"}`), scan.Options{FinishedOn: at})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anonymous.Vulns(); !errors.Is(err, scan.ErrInvalid) {
		t.Errorf("by a scanner without URI: %v", err)
	}
	ageless, err := scan.Read(scanFile(t, "trivy.json"), scan.Options{DB: scan.DB{Version: "2"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ageless.Vulns(); !errors.Is(err, scan.ErrInvalid) {
		t.Errorf("with a database of unknown age: %v", err)
	}
}

func TestOneKnownTimeStandsForBoth(t *testing.T) {
	vulns, err := readScanFile(t, "trivy.json").Vulns()
	if err != nil {
		t.Fatal(err)
	}
	if m := vulns.Metadata; m.ScanStartedOn != m.ScanFinishedOn || text(m.ScanFinishedOn) != "2026-11-20T11:20:30.000000005Z" {
		t.Errorf("%+v", m)
	}
	if vulns.Scanner.DB != nil {
		t.Errorf("an unknown database: %+v", vulns.Scanner.DB)
	}
}

// In-toto's form needs words for a severity that the scanner did not give.
func TestAFindingWithoutASeverityIsSaidToHaveNone(t *testing.T) {
	o := scan.Options{FinishedOn: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	report, err := scan.Read([]byte(`{"SchemaVersion":2,"ArtifactName":"x","Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-1"}]}]}`), o)
	if err != nil {
		t.Fatal(err)
	}
	vulns, err := report.Vulns()
	if err != nil {
		t.Fatal(err)
	}
	if r := vulns.Scanner.Result[0].Ratings; len(r) != 1 || r[0] != (predicate.VulnsRating{Method: "trivy", Score: "unknown"}) {
		t.Errorf("%+v", r)
	}
	if s, known := vulns.Scanner.Result[0].Severity(); s != predicate.SeverityCritical || known {
		t.Errorf("%s, %v; want critical, because it is not known", s, known)
	}
}

// Tools write a CVSS score of 0 where they know none.
func TestACVSSScoreOfNothingIsNotKnown(t *testing.T) {
	for score, want := range map[string]predicate.Severity{"0": predicate.SeverityCritical, "0.0": predicate.SeverityCritical, "0.1": predicate.SeverityLow, "10": predicate.SeverityCritical} {
		f := predicate.VulnsFinding{Ratings: []predicate.VulnsRating{{Method: "CVSS_V3", Score: score}}}
		if s, known := f.Severity(); s != want || known != (score == "0.1" || score == "10") {
			t.Errorf("%s: %s, %v; want %s", score, s, known, want)
		}
	}
}
