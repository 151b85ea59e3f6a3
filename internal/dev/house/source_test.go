package house_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const modulePath = "github.com/hallmark-oci/hallmark"

// root is the top level of the project. It is absolute, because a test may
// change the directory.
var root = sync.OnceValues(func() (string, error) { return filepath.Abs("../../..") })

func topLevel(t *testing.T) string {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// source is one parsed Go file.
type source struct {
	fset *token.FileSet
	file *ast.File
	// path and dir are relative to the top level, with slashes.
	path, dir string
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// parsed holds every Go file of the project, for every operating system and in
// nested modules too. That is why it reads files and does not ask `go list`.
var parsed = sync.OnceValues(func() ([]source, error) {
	top, err := root()
	if err != nil {
		return nil, err
	}
	var all []source
	fset := token.NewFileSet()
	err = filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_") || entry.Name() == "testdata"
		if entry.IsDir() && hidden && file != top {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		all = append(all, source{fset: fset, file: tree, path: rel, dir: path.Dir(rel)})
		return nil
	})
	return all, err
})

func sources(t *testing.T) []source {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files: this test looks in the wrong place", len(all))
	}
	return all
}

// libraryFiles are the non-test files of the packages that other programs
// import, and of what those are made of.
func libraryFiles(t *testing.T) []source {
	t.Helper()
	var library []source
	for _, s := range sources(t) {
		if row := floorOf(s.dir); !s.isTest() && row != nil && row.library {
			library = append(library, s)
		}
	}
	if len(library) < 20 {
		t.Fatalf("found %d library files: this test looks in the wrong place", len(library))
	}
	return library
}

// trackedFiles are the files that git tracks or would add, relative to the top
// level. Outside of a git checkout, as in a module that was downloaded, there
// is nothing to hold to the rules about them.
func trackedFiles(t *testing.T) []string {
	t.Helper()
	top := topLevel(t)
	if _, err := os.Stat(filepath.Join(top, ".git")); err != nil {
		t.Skip("not a git checkout:", err)
	}
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = top
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	files := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	if len(files) < 50 {
		t.Fatalf("git lists %d files: this test looks in the wrong place", len(files))
	}
	return files
}
