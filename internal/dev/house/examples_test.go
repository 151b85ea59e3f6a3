package house_test

import (
	"strconv"
	"strings"
	"testing"
)

// Examples show what programs of others can do, so they and their tests import what
// others can import.
func TestExamples_PublicPackages(t *testing.T) {
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.dir, "examples/") {
			continue
		}
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(imported, modulePath+"/internal/") {
				t.Errorf("%s imports %s, which no program of others can", s.at(spec), imported)
			}
		}
	}
}
