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
)

// catalogue is how many entries each part of the catalogue of attacks has, and
// unbuilt are those that concern what is not built.
var (
	catalogue = map[string]int{"E": 23, "I": 7, "R": 11, "T": 23, "P": 25, "S": 10, "F": 5}
	unbuilt   = []string{
		"T12", "T13", "T14", "T15", "T16", "T17", "T18", "T19", "T20", "T21", "T22", "T23",
		"P13", "P22", "P24", "P25", "S10", "F5",
	}
)

var entrySyntax = regexp.MustCompile(`^[EIRTPSF][0-9]+$`)

// The package documentation of verify says which attack is covered by which test.
// That list is what there is: no more, no less, and no entry without a test.
func TestTheListOfAttacksIsComplete(t *testing.T) {
	want := make(map[string]bool)
	covered := make(map[string]bool)
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
				covered[part] = true
				want[fmt.Sprintf("%s: %s.%s", part, filepath.ToSlash(s.dir), f.Name.Name)] = true
			}
		}
	}
	text, err := os.ReadFile("../../../verify/attacks.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^//   - (([EIRTPSF][0-9]+): .*)$`).FindAllStringSubmatch(string(text), -1) {
		if slices.Contains(unbuilt, m[2]) && strings.HasPrefix(m[1], m[2]+": not built: ") {
			continue
		}
		listed[m[1]] = true
	}
	for line := range want {
		if !listed[line] {
			t.Errorf("verify/attacks.go lacks %q", line)
		}
	}
	for line := range listed {
		if !want[line] {
			t.Errorf("verify/attacks.go lists %q, which is no test", line)
		}
	}
	for part, n := range catalogue {
		for i := range n {
			if entry := fmt.Sprintf("%s%d", part, i+1); covered[entry] == slices.Contains(unbuilt, entry) {
				t.Errorf("%s has no test, or is said to have none", entry)
			}
		}
	}
}
