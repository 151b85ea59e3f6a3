package house_test

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

var (
	entrySyntax = regexp.MustCompile(`^[EIRTPSF][0-9]+$`)
	catalogued  = regexp.MustCompile(`(?m)^- \*\*([EIRTPSF])([0-9]+)\*\* (\*\(not built\)\* )?`)
)

// attackEntry is one entry of the catalogue.
type attackEntry struct {
	id    string
	built bool
}

// catalogue reads .github/ATTACKS.md.
func catalogue(t *testing.T) []attackEntry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(topLevel(t), ".github", "ATTACKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []attackEntry
	last := make(map[string]int)
	for _, m := range catalogued.FindAllStringSubmatch(string(text), -1) {
		last[m[1]]++
		if m[2] != fmt.Sprint(last[m[1]]) {
			t.Errorf("%s%s follows %s%d: entries are numbered without a gap", m[1], m[2], m[1], last[m[1]]-1)
		}
		entries = append(entries, attackEntry{m[1] + m[2], m[3] == ""})
	}
	if len(entries) < 100 {
		t.Fatalf("found %d entries: this test looks in the wrong place", len(entries))
	}
	return entries
}

// attackTests are the tests that are named after each entry, with their packages.
func attackTests(t *testing.T) map[string][]string {
	t.Helper()
	tests := make(map[string][]string)
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !s.isTest() || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "TestAttack_") {
				continue
			}
			for _, part := range strings.Split(f.Name.Name, "_")[1:] {
				if !entrySyntax.MatchString(part) {
					break
				}
				tests[part] = append(tests[part], s.dir+"."+f.Name.Name)
			}
		}
	}
	return tests
}

func TestEveryAttackHasTestsOrIsNotBuilt(t *testing.T) {
	race.Skip(t, "one goroutine reads all files")
	tests := attackTests(t)
	built := 0
	for _, entry := range catalogue(t) {
		switch {
		case entry.built && len(tests[entry.id]) == 0:
			t.Errorf("%s has no test, and .github/ATTACKS.md does not say that it is not built", entry.id)
		case !entry.built && len(tests[entry.id]) > 0:
			t.Errorf("%s is not built by .github/ATTACKS.md, and has tests: %q", entry.id, tests[entry.id])
		}
		if entry.built {
			built++
		}
		delete(tests, entry.id)
	}
	for id, names := range tests {
		t.Errorf("%s is not in .github/ATTACKS.md: %q", id, names)
	}
	fmt.Printf("attacks: %d entries of the catalogue have tests\n", built)
}

// attacks.txt says which attack is covered by which test, for readers.
func TestListOfAttacks(t *testing.T) {
	const file = "attacks.txt"
	tests := attackTests(t)
	var list strings.Builder
	for _, entry := range catalogue(t) {
		slices.Sort(tests[entry.id])
		for _, name := range tests[entry.id] {
			fmt.Fprintf(&list, "%s: %s\n", entry.id, name)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) == list.String() {
		return
	}
	want, have := strings.Split(list.String(), "\n"), strings.Split(string(text), "\n")
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("%s lacks %q", file, line)
		}
	}
	for _, line := range have {
		if !slices.Contains(want, line) {
			t.Errorf("%s lists %q, which is not a test", file, line)
		}
	}
	t.Errorf("%s is not what there is: go test ./internal/dev/house -run ListOfAttacks -update", file)
}
