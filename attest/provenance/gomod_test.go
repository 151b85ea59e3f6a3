package provenance_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/provenance"
)

const (
	sumA = "h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48="
	hexA = "2a1bb6127fb481c60f67692e22285fb306f3c6ffe62075e0ccf674d7c3adcb8f"
	sumB = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

func TestGoModulesPairsModulesWithTheirSums(t *testing.T) {
	mod := `// A comment.
module example.org/app // the module

go 1.26rc1

toolchain go1.26.8

require "example.org/quoted" v1.0.0
require (
	example.org/a v1.2.3
	example.org/b/v2 v2.0.0+incompatible // indirect
	example.org/onlygraph v0.0.1 // indirect
	example.org/old v1.0.0
	example.org/here v1.0.0
)

exclude example.org/a v1.2.2
retract [v0.1.0, v0.2.0] // broken
tool example.org/a/cmd/x
future (
	anything at all
)
replace example.org/old => example.org/new v1.5.0
replace (
	example.org/here v1.0.0 => ../here
	example.org/a v9.9.9 => example.org/z v1.0.0
)
`
	sum := "example.org/a v1.2.3 " + sumA + "\nexample.org/a v1.2.3/go.mod " + sumB + "\n" +
		"example.org/b/v2 v2.0.0+incompatible " + sumB + "\nexample.org/onlygraph v0.0.1/go.mod " + sumB + "\n" +
		"example.org/new v1.5.0 " + sumA + "\nexample.org/quoted v1.0.0 " + sumB + "\nexample.org/unused v1.0.0 " + sumB + "\n\n"
	facts, err := provenance.GoModules([]byte(mod), []byte(sum))
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Dependencies) != 5 {
		t.Errorf("%d dependencies: %+v", len(facts.Dependencies), facts.Dependencies)
	}
	for uri, want := range map[string]string{
		"pkg:golang/example.org/a@v1.2.3":                   hexA,
		"pkg:golang/example.org/b/v2@v2.0.0%2Bincompatible": strings.Repeat("0", 64),
		"pkg:golang/example.org/new@v1.5.0":                 hexA,
		"pkg:golang/example.org/quoted@v1.0.0":              strings.Repeat("0", 64),
		"pkg:golang/example.org/here":                       "",
	} {
		if d := findDependency(facts.Dependencies, uri); d == nil || d.Digest["dirHash"] != want {
			t.Errorf("%s: %+v, want %s", uri, d, want)
		}
	}
	if d := findDependency(facts.Dependencies, "pkg:golang/example.org/new@v1.5.0"); d != nil && d.Annotations["replaces"] != "example.org/old@v1.0.0" {
		t.Errorf("%+v", d)
	}
	p, _ := facts.InternalParameters["goModule:example.org/app"].(map[string]any)
	if p["go"] != "1.26rc1" || p["toolchain"] != "go1.26.8" {
		t.Errorf("parameters %v", facts.InternalParameters)
	}
}

func TestGoModulesReadsThisModule(t *testing.T) {
	mod, sum := readFile(t, "../../go.mod"), readFile(t, "../../go.sum")
	facts, err := provenance.GoModules(mod, sum)
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Dependencies) < 10 {
		t.Errorf("%d dependencies", len(facts.Dependencies))
	}
	for _, d := range facts.Dependencies {
		if len(d.Digest["dirHash"]) != 64 {
			t.Errorf("%+v", d)
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGoModulesRefusesWhatDoesNotTell(t *testing.T) {
	const good = "module m\ngo 1.26\n"
	for name, c := range map[string]struct{ mod, sum string }{
		"empty":                  {"", ""},
		"no module":              {"go 1.26\n", ""},
		"no version":             {"module m\n", ""},
		"before 1.17":            {"module m\ngo 1.16\n", ""},
		"not a version":          {"module m\ngo next\n", ""},
		"open block":             {good + "require (\n", ""},
		"require of one word":    {good + "require x\n", ""},
		"no sum":                 {good + "require x v1\n", ""},
		"a sum that is none":     {good + "require x v1\n", "x v1 h1:AAAA\n"},
		"a sum that is no sum":   {good + "require x v1\n", "x v1 h2:" + sumA[3:] + "\n"},
		"two sums":               {good + "require x v1\n", "x v1 " + sumA + "\nx v1 " + sumB + "\n"},
		"go.sum of two words":    {good, "x v1\n"},
		"two modules":            {good + "module n\n", ""},
		"open string":            {good + "require \"x v1\n", ""},
		"replace by nothing":     {good + "replace x =>\n", ""},
		"replace without arrow":  {good + "replace x y\n", ""},
		"two replacements":       {good + "replace x => y v1\nreplace x => z v1\n", ""},
		"replacement has no sum": {good + "require x v1\nreplace x => y v1\n", "x v1 " + sumA + "\n"},
	} {
		if f, err := provenance.GoModules([]byte(c.mod), []byte(c.sum)); !errors.Is(err, provenance.ErrOrigin) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func FuzzGoModules(f *testing.F) {
	f.Add([]byte("module m\ngo 1.26\nrequire (\n\tx v1 // indirect\n)\nreplace x v1 => `y` v2\n"), []byte("y v2 "+sumA+"\n"))
	f.Add(readFile(f, "../../go.mod"), readFile(f, "../../go.sum"))
	f.Fuzz(func(t *testing.T, mod, sum []byte) {
		facts, err := provenance.GoModules(mod, sum)
		if err != nil {
			if !errors.Is(err, provenance.ErrOrigin) {
				t.Fatal(err)
			}
			return
		}
		for _, d := range facts.Dependencies {
			if !strings.HasPrefix(d.URI, "pkg:golang/") || d.Digest != nil && len(d.Digest["dirHash"]) != 64 {
				t.Fatalf("%+v", d)
			}
		}
	})
}
