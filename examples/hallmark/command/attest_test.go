package command

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

const (
	sbomText = "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.6\",\n  \"version\": 1,\n  \"components\": [{\"type\": \"library\", \"name\": \"left-pad\"}]\n}\n"

	provenanceText = `{"buildDefinition":{"buildType":"https://example.com/build/v1","externalParameters":{"target":"app"},
"resolvedDependencies":[{"uri":"git+https://git.example/team/app@refs/heads/main","digest":{"gitCommit":"0123456789012345678901234567890123456789"}}]},
"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`
)

func TestAttestStatesWhatDownloadAndInspectShow(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		k, other := newKey(t), newKey(t)
		digest := x.push("v1")
		dir := t.TempDir()
		sbom := writeFile(t, filepath.Join(dir, "sbom.json"), []byte(sbomText))
		prov := writeFile(t, filepath.Join(dir, "prov.json"), []byte(provenanceText))

		var attested []attestedImage
		newCLI(t).must("attest", "--key", k.private, "--type", "cyclonedx", "--predicate", sbom, "--format", "both", "-o", "json", x.tag("v1")).decode(&attested)
		if len(attested) != 1 || !strings.HasSuffix(attested[0].Digest, digest.DigestStr()) || len(attested[0].Attestations) != 2 ||
			attested[0].Attestations[0].KeyID != k.id || attested[0].PredicateType != "https://cyclonedx.org/bom" {
			t.Fatalf("%+v", attested)
		}
		newCLI(t).must("attest", "--key", k.private, "--key", other.private, "--type", "slsaprovenance1", "--predicate", prov, x.tag("v1")).
			prints("attested", digest.DigestStr(), "https://slsa.dev/provenance/v1", shortID(k.id), shortID(other.id))

		// Byte for byte, also where two formats carry it.
		if got := newCLI(t).must("download", "sbom", "--key", k.public, x.tag("v1")).stdout; got != sbomText[:len(sbomText)-1] {
			t.Errorf("downloaded %q", got)
		}
		newCLI(t).run("download", "sbom", "--key", other.public, x.tag("v1")).exits(exitUndecided).says("nothing to download")

		lines := strings.Split(strings.TrimSpace(newCLI(t).must("download", "attestation", "--type", "slsaprovenance1", x.tag("v1")).says("not verified").stdout), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines: %q", len(lines), lines)
		}
		var envelope struct {
			PayloadType, Payload string
			Signatures           []struct{ Sig string }
		}
		must(t, json.Unmarshal([]byte(lines[0]), &envelope))
		if envelope.PayloadType != "application/vnd.in-toto+json" || len(envelope.Signatures) != 1 {
			t.Errorf("%+v", envelope)
		}
		newCLI(t).must("download", "attestation", "--type", "slsaprovenance1", "--key", k.public, "--predicate", x.tag("v1")).
			prints(`"builder":{"id":"https://ci.example/builder"}`)

		newCLI(t).must("inspect", "--key", k.public, x.tag("v1")).
			prints("attestation", "https://ci.example/builder", "git.example/team/app", "0123456789012345678901234567890123456789", "CycloneDX", "signed by")
		var seen verify.Inspection
		newCLI(t).must("inspect", "-o", "json", x.tag("v1")).decode(&seen)
		facts := 0
		for _, p := range seen.Evidence {
			facts += len(p.Predicate)
		}
		if facts < 6 {
			t.Errorf("%d facts about predicates: %+v", facts, seen.Evidence)
		}
	})
}

func TestAttestReplacesOnlyTheSameKeys(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		k, other := newKey(t), newKey(t)
		x.push("v1")
		prov := writeFile(t, filepath.Join(t.TempDir(), "prov.json"), []byte(provenanceText))
		for _, key := range []string{k.private, other.private, k.private} {
			newCLI(t).must("attest", "--key", key, "--type", "slsaprovenance1", "--predicate", prov, "--replace", x.tag("v1"))
		}
		lines := strings.Count(newCLI(t).must("download", "attestation", x.tag("v1")).stdout, "\n")
		if lines != 2 {
			t.Errorf("%d attestations", lines)
		}
	})
}

func TestAttestRefusesWhatIsNotWhatItsTypeSays(t *testing.T) {
	x, k := layoutTarget(t), newKey(t)
	digest := x.push("v1")
	dir := t.TempDir()
	sbom := writeFile(t, filepath.Join(dir, "sbom.json"), []byte(sbomText))
	text := writeFile(t, filepath.Join(dir, "text"), []byte("plain text"))
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no key":       {[]string{"--type", "cyclonedx", "--predicate", sbom}, "--key is missing"},
		"no type":      {[]string{"--key", k.private, "--predicate", sbom}, "--type is missing"},
		"no predicate": {[]string{"--key", k.private, "--type", "cyclonedx"}, "--predicate is missing"},
		"unknown type": {[]string{"--key", k.private, "--type", "sbom", "--predicate", sbom}, `--type "sbom": use one of`},
		"another type": {[]string{"--key", k.private, "--type", "spdx", "--predicate", sbom}, "predicate is not what its type says"},
		"no JSON":      {[]string{"--key", k.private, "--type", "https://example.com/x", "--predicate", text}, "predicate is not what its type says"},
		"no file":      {[]string{"--key", k.private, "--type", "spdx", "--predicate", text + "0"}, "no such file"},
		"a directory":  {[]string{"--key", k.private, "--type", "spdx", "--predicate", dir}, "not a regular file"},
		"bad format":   {[]string{"--key", k.private, "--type", "cyclonedx", "--predicate", sbom, "--format", "sig"}, "--format"},
	} {
		o := newCLI(t).run(append(append([]string{"attest"}, c.args...), x.tag("v1"))...).exits(exitUndecided)
		if !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: stderr lacks %q:\n%s", name, c.says, o.stderr)
		}
	}
	for range registry.Evidence(t.Context(), x.store, digest, registry.Limits{}) {
		t.Error("something was attached")
	}
	// Of type custom any text may be attested.
	newCLI(t).must("attest", "--key", k.private, "--type", "custom", "--predicate", text, x.tag("v1"))
	newCLI(t).must("download", "attestation", "--predicate", x.tag("v1")).prints(`"Data":"plain text"`)
}

func TestDownloadPrintsSignaturesAsTheyAreAttached(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		k, other := newKey(t), newKey(t)
		x.push("v1")
		newCLI(t).run("download", "signature", x.tag("v1")).exits(exitUndecided).says("nothing to download")
		newCLI(t).must("sign", "--key", k.private, "--key", other.private, "--format", "both", x.tag("v1"))
		out := newCLI(t).must("download", "signature", "--key", k.public, x.tag("v1")).prints("Base64Signature", "dsseEnvelope").stdout
		if n := strings.Count(out, "\n"); n != 2 {
			t.Errorf("%d signatures", n)
		}
	})
}

func TestDownloadTellsWhatItLeavesOut(t *testing.T) {
	x, k := registryTarget(t, registrytest.Options{}), newKey(t)
	x.push("v1")
	sbom := writeFile(t, filepath.Join(t.TempDir(), "sbom.json"), []byte(sbomText))
	newCLI(t).must("attest", "--key", k.private, "--type", "cyclonedx", "--predicate", sbom, x.tag("v1"))
	other := writeFile(t, filepath.Join(t.TempDir(), "sbom.json"), []byte(strings.Replace(sbomText, "left-pad", "right-pad", 1)))
	newCLI(t).must("attest", "--key", k.private, "--type", "cyclonedx", "--predicate", other, x.tag("v1"))
	newCLI(t).run("download", "sbom", x.tag("v1")).exits(exitUndecided).says("2 different bills of materials")
	newCLI(t).run("download").exits(exitUndecided).says("a subcommand is missing")
	newCLI(t).run("download", "sbom", "--type", "pdf", x.tag("v1")).exits(exitUndecided).says("--type")
	newCLI(t).run("download", "attestation", "--type", "nonsense", x.tag("v1")).exits(exitUndecided).says("--type")
	x.reg.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(500)})
	newCLI(t).run("download", "attestation", x.tag("v1")).exits(exitUndecided).says("left out")
}

const trivyText = `{"SchemaVersion":2,"CreatedAt":"2026-11-20T10:00:00Z","ArtifactName":"registry.example/team/app:v1","ArtifactType":"container_image",
"Trivy":{"Version":"0.67.0"},"Results":[{"Target":"app","Class":"lang-pkgs","Type":"gobinary","Vulnerabilities":[
{"VulnerabilityID":"CVE-2026-0001","PkgName":"example.com/m","InstalledVersion":"v1.0.0","FixedVersion":"v1.0.1","Severity":"HIGH"},
{"VulnerabilityID":"CVE-2026-0002","PkgName":"example.com/n","InstalledVersion":"v1.0.0","Severity":"ODD"}]}]}`

func TestScanReportTellsWhatWasFoundAndMakesThePredicate(t *testing.T) {
	x, k := layoutTarget(t), newKey(t)
	x.push("v1")
	dir := t.TempDir()
	report := writeFile(t, filepath.Join(dir, "trivy.json"), []byte(trivyText))
	newCLI(t).must("scan-report", report).
		prints("trivy", "findings: 2", "1 critical, 1 high", "unknown severity", "CVE-2026-0001", "fixed in v1.0.1")
	for kind, args := range map[string][]string{
		"vuln":  {"scan-report", "-o", "json", report},
		"vulns": {"scan-report", "-o", "json", "--predicate", "vulns", "--db-updated", "2026-11-20T00:00:00Z", "--db-uri", "https://db.example/v2", report},
	} {
		predicate := writeFile(t, filepath.Join(dir, kind), []byte(newCLI(t).must(args...).stdout))
		newCLI(t).must("attest", "--key", k.private, "--type", kind, "--predicate", predicate, x.tag("v1"))
	}
	newCLI(t).must("inspect", x.tag("v1")).prints("1 of unknown severity, 1 high", "trivy")
	newCLI(t).run("scan-report", "--format", "grype", report).exits(exitUndecided)
	newCLI(t).run("scan-report", "--scanned-on", "today", report).exits(exitUndecided).says("--scanned-on")
	newCLI(t).run("scan-report", "--predicate", "spdx", report).exits(exitUndecided).says("--predicate")
	bad := writeFile(t, filepath.Join(dir, "bad.json"), []byte(`{"SchemaVersion":9}`))
	newCLI(t).run("scan-report", bad).exits(exitUndecided).says("bad.json")
}
