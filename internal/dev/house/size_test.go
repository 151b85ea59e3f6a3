package house_test

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// publicNames are the exported top-level names of each package that other programs
// import.
func publicNames(t *testing.T) map[string]map[string]bool {
	t.Helper()
	names := make(map[string]map[string]bool)
	for _, s := range libraryFiles(t) {
		if strings.HasPrefix(s.dir, "internal/") {
			continue
		}
		if names[s.dir] == nil {
			names[s.dir] = make(map[string]bool)
		}
		for _, name := range topLevelNames(s.file) {
			if ast.IsExported(name) {
				names[s.dir][name] = true
			}
		}
	}
	return names
}

func topLevelNames(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch x := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, x.Name.Name)
				case *ast.ValueSpec:
					for _, name := range x.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

// A package that exports much takes long to learn.
func TestExportedNamesStayWithinBudget(t *testing.T) {
	counts := make(map[string]int)
	names := publicNames(t)
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		counts[dir] = len(names[dir])
		fmt.Printf("api: %s exports %d names: %s\n", dir, len(names[dir]), strings.Join(slices.Sorted(maps.Keys(names[dir])), " "))
	}
	withinBudget(t, "exported", 0, counts, "export less, or move what belongs together to a package of its own")
}

// mostMethods is how many methods a type may have; those of allowedFile have more.
const mostMethods = 20

// A type with many methods is several.
func TestMethodSetsStayWithinBudget(t *testing.T) {
	methods := make(map[string]map[string]bool)
	for _, s := range libraryFiles(t) {
		for _, decl := range s.file.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || d.Recv == nil {
				continue
			}
			of := s.dir + "." + receiverName(d)
			if methods[of] == nil {
				methods[of] = make(map[string]bool)
			}
			methods[of][d.Name.Name] = true
		}
	}
	longest := make(map[string]int)
	types := make(map[string]string)
	for of, names := range methods {
		dot := strings.LastIndexByte(of, '.')
		if dir := of[:dot]; len(names) > longest[dir] || len(names) == longest[dir] && of[dot+1:] < types[dir] {
			longest[dir], types[dir] = len(names), of[dot+1:]
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(longest)) {
		fmt.Printf("api: the longest method set of %s is that of %s: %d methods\n", dir, types[dir], longest[dir])
	}
	withinBudget(t, "methods", mostMethods, longest, "divide the type")
}

func receiverName(d *ast.FuncDecl) string {
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if x, ok := n.(*ast.Ident); ok && name == "" {
			name = x.Name
		}
		return true
	})
	return name
}

// longestFunction is how many lines fit on a screen.
const longestFunction = 60

func TestFunctionsFitAScreen(t *testing.T) {
	var found []finding
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || s.isTest() {
				continue
			}
			lines := s.fset.Position(d.End()).Line - s.fset.Position(d.Pos()).Line + 1
			if lines > longestFunction {
				found = append(found, finding{s.dir, fmt.Sprintf("%s: %s has %d lines", s.at(d), d.Name.Name, lines)})
			}
		}
	}
	onlyShrinks(t, "function over 60 lines", found, "divide it into steps with names")
}

// longestTestName is how many characters the name of a test may have.
const longestTestName = 60

func TestNamesOfTestsAreShort(t *testing.T) {
	var found []finding
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if ok && isTestFunction(s, d) && len(d.Name.Name) > longestTestName {
				found = append(found, finding{s.dir, fmt.Sprintf("%s: %s has %d characters", s.at(d), d.Name.Name, len(d.Name.Name))})
			}
		}
	}
	onlyShrinks(t, "test name over 60 characters", found, "say it in fewer words")
}

func isTestFunction(s source, d *ast.FuncDecl) bool {
	return s.isTest() && d.Recv == nil && slices.ContainsFunc([]string{"Test", "Fuzz", "Benchmark", "Example"}, func(prefix string) bool {
		return strings.HasPrefix(d.Name.Name, prefix)
	})
}
