package command

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// libraryPackages are the directories of the packages whose errors reach this program.
func libraryPackages(t *testing.T) (dirs []string) {
	t.Helper()
	for _, top := range []string{"attest", "internal", "registry", "sign", "verify"} {
		must(t, filepath.WalkDir(filepath.Join("../../..", top), func(path string, d fs.DirEntry, err error) error {
			elsewhere := slices.ContainsFunc([]string{"/testdata", "/dev", "/gate", "/admission", "/pin", "/registrytest", "/signtest", "/kms", "/pkcs11", "/agent", "/tuf", "/notation", "/cel", "/policytest"}, func(part string) bool {
				return strings.Contains(filepath.ToSlash(path), part)
			})
			if err == nil && d.IsDir() && !elsewhere {
				dirs = append(dirs, path)
			}
			return err
		}))
	}
	return dirs
}

// goNamesOf are the names that only a Go program can use: fields of options and facts, and
// functions.
func goNamesOf(t *testing.T, dirs []string) map[string]bool {
	t.Helper()
	camel := regexp.MustCompile(`^[A-Z][a-z0-9]+[A-Z]`)
	names := make(map[string]bool)
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			must(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if camel.MatchString(n.Name.Name) && n.Recv == nil {
						names[n.Name.Name] = true
					}
				case *ast.TypeSpec:
					s, is := n.Type.(*ast.StructType)
					if !is || !strings.HasSuffix(n.Name.Name, "Options") && n.Name.Name != "Limits" && n.Name.Name != "Facts" {
						return true
					}
					names[n.Name.Name] = camel.MatchString(n.Name.Name)
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							names[name.Name] = names[name.Name] || camel.MatchString(name.Name)
						}
					}
				}
				return true
			})
		}
	}
	return names
}

// A user of the command line has flags, and no fields of options.
func TestErrorsOfTheLibraryNameNoGoHere(t *testing.T) {
	dirs := libraryPackages(t)
	names := goNamesOf(t, dirs)
	if len(dirs) < 30 || !names["FinishedOn"] || !names["MaxPayloadBytes"] {
		t.Fatalf("%d packages, %d names", len(dirs), len(names))
	}
	word := regexp.MustCompile(`[A-Za-z]+(?:\.[A-Z][A-Za-z]+)+|\b[A-Z][A-Za-z]+\b`)
	for _, dir := range dirs {
		for _, text := range textsOf(t, dir) {
			if !strings.Contains(text, " ") || strings.Contains(text, "\n") {
				continue
			}
			said := inFlags(text)
			for _, w := range word.FindAllString(said, -1) {
				last := w[strings.LastIndexByte(w, '.')+1:]
				dotted := strings.Contains(w, ".") && (strings.Contains(w, "Options.") || strings.Contains(w, "Limits."))
				if dotted || names[last] && len(last) > 3 {
					t.Errorf("%s: %q is said as %q, which names %s", dir, text, said, w)
				}
			}
		}
	}
}

// Every replacement is for a text that there is.
func TestGoNamesAreThoseOfTheLibrary(t *testing.T) {
	var all strings.Builder
	for _, dir := range libraryPackages(t) {
		for _, text := range textsOf(t, dir) {
			all.WriteString(text + "\n")
		}
	}
	for i := 0; i < len(goNames); i += 2 {
		if !strings.Contains(all.String(), goNames[i]) {
			t.Errorf("%q is in no text of the library", goNames[i])
		}
	}
}
