package house_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A fuzz target without seeds starts from nothing, and as an ordinary test it
// tests nothing, silently.
func TestEveryFuzzTargetHasSeeds(t *testing.T) {
	targets := 0
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !s.isTest() || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			targets++
			if !addsSeed(f) && !hasCorpus(t, s.dir, f.Name.Name) {
				t.Errorf("%s: %s has no seed for certain: call Add at least once outside of any loop or condition", s.at(f), f.Name.Name)
			}
		}
	}
	if targets == 0 {
		t.Error("no fuzz targets found: this test looks in the wrong place")
	}
}

// addsSeed finds Add among the statements of the function itself: in a loop, it
// may run no times at all.
func addsSeed(f *ast.FuncDecl) bool {
	for _, statement := range f.Body.List {
		expr, ok := statement.(*ast.ExprStmt)
		if !ok {
			continue
		}
		if call, ok := expr.X.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Add" {
				return true
			}
		}
	}
	return false
}

func hasCorpus(t *testing.T, dir, target string) bool {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(topLevel(t), filepath.FromSlash(dir), "testdata", "fuzz", target))
	return err == nil && len(files) > 0
}
