package command

import (
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// oneFinding is a scan with a vulnerability that production.yaml does not tolerate.
const oneFinding = `{"scanner":{"uri":"https://scanner.example","version":"1","db":{"uri":"https://db.example","lastUpdate":"2026-01-01T00:00:00Z"},"result":[{"id":"CVE-2026-0001","severity":[{"method":"nvd","score":"high"}]}]},
"metadata":{"scanStartedOn":"2026-01-01T00:00:00Z","scanFinishedOn":"2026-01-01T00:00:00Z"}}`

const oneExcuse = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vex.example/1","author":"a","timestamp":"2026-01-02T00:00:00Z","version":1,
"statements":[{"vulnerability":{"name":"CVE-2026-0001"},"products":[{"@id":"pkg:oci/app"}],"status":"not_affected","justification":"component_not_present"}]}`

func TestExcused_EveryOutputNamesThem(t *testing.T) {
	x := layoutTarget(t)
	c, keys, dir := newCLI(t), team(t), t.TempDir()
	x.pushApp("v1")
	scan, vex := writeFile(t, filepath.Join(dir, "scan.json"), []byte(oneFinding)), writeFile(t, filepath.Join(dir, "vex.json"), []byte(oneExcuse))
	c.must("attest", "--key", keys["scanner"].private, "--type", "vulns", "--predicate", scan, x.tag("v1"))
	p := policyIn(t, "single-key.yaml", keys)
	writeFile(t, p, []byte(`version: 1
keys: {release: {file: release.pub}, scanner: {file: scanner.pub}}
roles: {release: {keys: [release]}, scanner: {keys: [scanner]}}
rules: [{images: ["**"], require: [{attestation: {type: vulns, by: scanner, maxSeverity: medium, vexBy: release}}]}]
`))
	c.run("verify", "--policy", p, x.tag("v1")).exits(exitDenied).prints("it has CVE-2026-0001 (high)")
	c.must("attest", "--key", keys["release"].private, "--type", "openvex", "--predicate", vex, x.tag("v1"))
	c.must("verify", "--policy", p, x.tag("v1")).prints("verified", "excused  CVE-2026-0001  high  not_affected by OpenVEX  component_not_present  sha256:")
	var all []verify.Report
	c.must("verify", "-o", "json", "--policy", p, x.tag("v1")).decode(&all)
	if x := all[0].Requirements[0].Excused; len(x) != 1 || x[0].ID != "CVE-2026-0001" || x[0].Evidence == "" {
		t.Errorf("%+v", x)
	}
	c.must("inspect", "--policy", p, x.tag("v1")).prints("excused  CVE-2026-0001")
	c.must("inspect", "-o", "html", "--policy", p, x.tag("v1")).prints("Vulnerabilities that were found and do not count", "CVE-2026-0001", "not_affected by OpenVEX: component_not_present")
}
