package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// linted writes a policy with the keys a, b and c, and lints it on 2026-11-01.
func linted(t *testing.T, text string) []string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name+".pub"), []byte(newPEM(t)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := policy.Lint(path, policy.ParseOptions{Authorities: map[string]policy.Authority{"any": anyAuthority{}}}, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range all {
		if f.Line == 0 || f.Column == 0 || f.Detail == "" || strings.HasPrefix(string(f.Kind), "end") == f.Ends.IsZero() {
			t.Errorf("%+v is not whole", f)
		}
		found = append(found, fmt.Sprintf("%s %s %d", f.Kind, f.Path, f.Line))
	}
	return found
}

func TestLintFindsWhatItsAuthorMayNotHaveMeant(t *testing.T) {
	got := linted(t, `version: 1
expires: 2026-11-20T00:00:00Z
keys:
  a: {file: a.pub, notAfter: 2026-10-01T00:00:00Z}
  b: {file: b.pub}
  c: {file: c.pub, notBefore: 2027-01-01T00:00:00Z}
roles:
  one: {keys: [a]}
  two: {keys: [b]}
  three: {keys: [b, a], threshold: 1}
  later: {keys: [c]}
builders: {https://ci.example: 3, https://unused.example: 2}
rules:
  - images: [r.example/**]
    require:
      - signature: {by: two}
      - attestation: {type: vulns, by: three, maxSeverity: low, accept: [{id: CVE-1, until: 2026-05-01T00:00:00Z, reason: x}, {id: CVE-2, until: 2027-05-01T00:00:00Z, reason: x}]}
  - images: [r.example/team/**, r.example/other/*]
    require:
      - anyOf:
          - signature: {by: one}
          - attestation: {type: slsaprovenance, by: later, builder: [https://ci.example], minLevel: 3, builtAfter: 2026-12-01T00:00:00Z}
  - images: [r.example/team/*]
    deny: true
    reason: x
  - images: [r.example/team/*/**]
    deny: true
    reason: x
`)
	want := []string{
		"ends-soon expires 2", "ended keys.a 4", "unused builders.https://unused.example 12",
		"one-key rules[0] 14", "ended rules[0].require[1].attestation.accept[0] 17", "unreached rules[1].images[0] 18",
		"unmeetable rules[1].require[0].anyOf[0] 21", "unmeetable rules[1].require[0].anyOf[1] 22", "unmeetable rules[1].require[0].anyOf[1] 22",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLintFindsWhatNothingUses(t *testing.T) {
	got := linted(t, `version: 1
keys: {a: {file: a.pub}, b: {file: b.pub}, c: {file: c.pub}}
roles: {one: {keys: [a]}, two: {keys: [b]}}
requirements:
  used: {signature: {by: one}}
  unused: {signature: {by: one}}
rules:
  - images: [r.example/**]
    require: [{use: used}]
`)
	if want := []string{"unused keys.c 2", "unused roles.two 3", "unused requirements.unused 6"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestLintFindsNothingInASoundPolicy(t *testing.T) {
	if got := linted(t, `version: 1
keys: {a: {file: a.pub, notAfter: 2027-10-01T00:00:00Z}, b: {file: b.pub}, c: {file: c.pub}}
roles: {one: {keys: [a, b], threshold: 2}, two: {keys: [a, c], threshold: 1}}
files: [{signature: {by: two}}]
rules:
  - images: [r.example/**]
    require: [{signature: {by: one}}, {config: {nonRoot: true}}]
  - images: [r.example/team/**]
    separateDuties: false
    require: [{signature: {by: two}}]
  - images: [r.example/team/*]
    deny: true
    reason: x
`); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

func TestEndsOfAPolicyComeInTheirOrder(t *testing.T) {
	at := func(month time.Month) time.Time { return time.Date(2027, month, 1, 0, 0, 0, 0, time.UTC) }
	p := policy.Policy{
		Expires: at(3), Keys: map[string]policy.Key{"a": {NotAfter: at(2)}, "b": {NotAfter: at(1), Revoked: at(1)}, "c": {}},
		Rules: []policy.Rule{{Require: []policy.Requirement{{AllOf: []policy.Requirement{{Attestation: &policy.AttestationRequirement{
			ScanConditions: policy.ScanConditions{Accept: []policy.AcceptedVulnerability{{Until: at(1)}}},
		}}}}}}},
	}
	want := []policy.End{{Path: "rules[0].require[0].allOf[0].attestation.accept[0]", At: at(1)}, {Path: "keys.a", At: at(2)}, {Path: "expires", At: at(3)}}
	if got := p.Ends(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if next, ok := p.NextEnd(at(1)); !ok || next != want[1] || next.Days(at(1)) != 31 || next.Days(at(2).Add(-1)) != 0 {
		t.Errorf("%v, want %v", next, want[1])
	}
	if next, ok := p.NextEnd(at(3)); ok {
		t.Errorf("%v ends next", next)
	}
}

func TestLintFindsIdentitiesThatHaveEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	text := `version: 1
identities:
  ended: {authority: any, settings: {subject: a}, notAfter: 2026-10-01T00:00:00Z}
  stands: {authority: any, settings: {subject: b}, notAfter: 2026-10-01T00:00:00Z, standsBefore: true}
  ends: {authority: any, settings: {subject: c}, notAfter: 2026-11-20T00:00:00Z}
  unused: {authority: any, settings: {subject: d}}
roles: {one: {identities: [ended]}, two: {identities: [stands]}, three: {identities: [ends]}}
rules:
  - images: [r.example/**]
    require: [{signature: {by: one}}, {signature: {by: two}}, {signature: {by: three}}]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := policy.Lint(path, policy.ParseOptions{Authorities: map[string]policy.Authority{"any": anyAuthority{}}}, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range all {
		got = append(got, string(f.Kind)+" "+f.Path)
	}
	want := []string{"ended identities.ended", "ended identities.stands", "ends-soon identities.ends", "unused identities.unused", "unmeetable rules[0].require[0]"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLintCountsRevokedKeysThatStand(t *testing.T) {
	got := linted(t, `version: 1
keys: {a: {file: a.pub, revoked: 2026-10-01T00:00:00Z, standsBefore: true}, b: {file: b.pub, revoked: 2026-10-01T00:00:00Z}}
timestamps: {clock: {authority: any}}
roles: {one: {keys: [a]}, two: {keys: [b]}}
files: [{signature: {by: one}}]
rules:
  - images: [r.example/**]
    require: [{signature: {by: one}}, {signature: {by: two}}]
`)
	if want := []string{"unmeetable files[0] 5", "unmeetable rules[0].require[1] 8"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
