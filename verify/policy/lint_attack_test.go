package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// lintText lints a policy without keys.
func lintText(t *testing.T, text string, now time.Time) []policy.Finding {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := policy.Lint(path, policy.ParseOptions{Authorities: map[string]policy.Authority{"any": anyAuthority{}}}, now)
	if err != nil {
		t.Log(err)
	}
	return all
}

func TestAttack_P9_LintOfManyPatternsEnds(t *testing.T) {
	for name, form := range map[string]string{"same prefix": "**/x%d", "stars": "r.example/**/a%d/**", "one": "r.example/*/a%d"} {
		var b strings.Builder
		b.WriteString("version: 1\nrules:\n  - deny: true\n    reason: x\n    images:\n")
		for i := range 3000 {
			fmt.Fprintf(&b, "      - "+form+"\n", i)
		}
		begun := time.Now()
		n := len(lintText(t, b.String(), time.Now()))
		t.Logf("%s: %s, %d", name, time.Since(begun), n)
	}
}

func TestAttack_P9_LintOfManyRolesEnds(t *testing.T) {
	var b strings.Builder
	n := 400
	b.WriteString("version: 1\nidentities:\n")
	for i := range n {
		fmt.Fprintf(&b, "  i%d: {authority: any, settings: {subject: s%d}}\n", i, i)
	}
	b.WriteString("roles:\n")
	for i := range n {
		fmt.Fprintf(&b, "  r%d: {identities: [i%d]}\n", i, i)
	}
	b.WriteString("rules:\n  - images: ['**']\n    require:\n")
	for i := range n {
		fmt.Fprintf(&b, "      - signature: {by: r%d}\n", i)
	}
	begun := time.Now()
	all := lintText(t, b.String(), time.Now())
	t.Logf("%s, %d", time.Since(begun), len(all))
}

func TestAttack_P9_LintPlaces(t *testing.T) {
	for _, images := range []string{`["R.example/**"]`, `["r.example:443/**", "r.example/**"]`, `["docker.io/library/*", "docker.io/library/*"]`, `["index.docker.io/**","docker.io/**"]`, `["r.example/a/**","r.example/a/*","r.example/a/*/**"]`, `["r.example/a/ **"]`} {
		for _, f := range lintText(t, "version: 1\nrules:\n  - images: "+images+"\n    deny: true\n    reason: x\n", time.Time{}) {
			t.Logf("%s %+v", images, f)
			if strings.Contains(f.Path, "-1") || f.Line == 0 {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestAttack_P9_LintAtTheEdgeOfTime(t *testing.T) {
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	text := "version: 1\nexpires: 2026-12-01T00:00:00Z\nrules:\n  - images: ['**']\n    deny: true\n    reason: x\n"
	for now, want := range map[time.Time]string{end: "ended", end.Add(-1): "ends-soon", end.Add(-policy.EndsSoon): "ends-soon", end.Add(-policy.EndsSoon - 1): "", {}: "", end.AddDate(400, 0, 0): "ended", end.AddDate(-400, 0, 0): ""} {
		got := ""
		for _, f := range lintText(t, text, now) {
			got = string(f.Kind)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", now, got, want)
		}
	}
}
