package house_test

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outside lists, by package, what reads the environment, writes output or
// changes a process-wide default. "*" is everything.
var outside = map[string][]string{
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"log": {
		"Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln",
		"Default", "Output", "Writer", "SetFlags", "SetOutput", "SetPrefix",
	},
	"log/slog": {
		"Debug", "DebugContext", "Info", "InfoContext", "Warn", "WarnContext", "Error", "ErrorContext",
		"Log", "LogAttrs", "Default", "SetDefault", "With",
	},
	"os": {
		"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv", "Chdir", "Exit",
		"Stdin", "Stdout", "Stderr", "Args", "UserHomeDir", "UserConfigDir", "UserCacheDir",
	},
	"flag":     {"*"},
	"net/http": {"DefaultClient", "Get", "Head", "Post", "PostForm", "Handle", "HandleFunc", "DefaultServeMux"},
}

// environmentReader is the one file whose purpose is to read the environment: by
// an allow-list, and where the caller gives nothing else to read.
const environmentReader = "attest/provenance/fromenvironment.go"

func TestLibrariesReadNoEnvironmentAndPrintNothing(t *testing.T) {
	for _, s := range libraryFiles(t) {
		if s.path == environmentReader {
			continue
		}
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			banned := outside[imported]
			if banned == nil {
				continue
			}
			called := path.Base(imported)
			if spec.Name != nil {
				called = spec.Name.Name
			}
			if called == "." {
				t.Errorf("%s: %s is imported with a dot", s.at(spec), imported)
			}
			reportUses(t, s, called, banned)
		}
	}
}

func reportUses(t *testing.T, s source, pkg string, banned []string) {
	t.Helper()
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg && (banned[0] == "*" || slices.Contains(banned, sel.Sel.Name)) {
			t.Errorf("%s: %s.%s in a library package: take it as a parameter or a field", s.at(sel), pkg, sel.Sel.Name)
		}
		return true
	})
}

// A package-level variable without a value, or of a type that only makes sense
// when it changes, holds state that all users of the process share.
func TestLibrariesHaveNoGlobalStateAndNoInit(t *testing.T) {
	for _, s := range libraryFiles(t) {
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: importing a library must do nothing", s.at(d))
				}
			case *ast.GenDecl:
				reportState(t, s, d)
			}
		}
	}
}

// allowedState is state that cannot be observed.
var allowedState = map[string]string{
	"internal/strictjson.known":          "what a Go type looks like never changes; looking it up each time cost more than a signature",
	"verify/sigstore/tuf.publicGoodRoot": "the compiler embeds it, and only copies of it leave the package",
	"verify/policytest.descriptions":     "the compiler embeds it, and it is only read",
	"verify/policy.descriptions":         "the compiler embeds it, and it is only read",
}

func reportState(t *testing.T, s source, d *ast.GenDecl) {
	t.Helper()
	if d.Tok != token.VAR {
		return
	}
	for _, spec := range d.Specs {
		value := spec.(*ast.ValueSpec)
		if value.Names[0].Name == "_" {
			continue // an assertion about types
		}
		if allowedState[s.dir+"."+value.Names[0].Name] != "" {
			continue
		}
		if len(value.Values) == 0 {
			t.Errorf("%s: %s has no value, so something sets it later: make it a field", s.at(value), value.Names[0].Name)
		}
		ast.Inspect(value, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && isOnce(call) {
				return false // what it computes never changes
			}
			if x, ok := n.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic" || x.Name == "make" || x.Name == "new") {
				t.Errorf("%s: %s is made to change: make it a field", s.at(value), value.Names[0].Name)
			}
			return true
		})
	}
}

// isOnce recognises a value that is computed where it is first used.
func isOnce(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := f.X.(*ast.Ident)
	return ok && x.Name == "sync" && (f.Sel.Name == "OnceValue" || f.Sel.Name == "OnceValues")
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range libraryFiles(t) {
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && receiverIsExported(d) && d.Doc == nil {
					t.Errorf("%s: %s has no documentation", s.at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				reportUndocumented(t, s, d)
			}
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: the package has no documentation", dir)
		}
	}
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if x, ok := n.(*ast.Ident); ok {
			exported = exported || x.IsExported()
		}
		return true
	})
	return exported
}

func reportUndocumented(t *testing.T, s source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch x := spec.(type) {
		case *ast.TypeSpec:
			if !x.Name.IsExported() {
				continue
			}
			if x.Doc == nil && d.Doc == nil {
				t.Errorf("%s: %s has no documentation", s.at(x), x.Name.Name)
			}
			reportUnclearFields(t, s, x)
		case *ast.ValueSpec:
			if x.Names[0].IsExported() && x.Doc == nil && x.Comment == nil && d.Doc == nil {
				t.Errorf("%s: %s has no documentation", s.at(x), x.Names[0].Name)
			}
		}
	}
}

// reportUnclearFields looks at the fields of what a caller fills in: each must
// say what leaving it out means.
func reportUnclearFields(t *testing.T, s source, x *ast.TypeSpec) {
	t.Helper()
	options, ok := x.Type.(*ast.StructType)
	if !ok || !isOptions(x.Name.Name) {
		return
	}
	for _, f := range options.Fields.List {
		if len(f.Names) == 0 || !f.Names[0].IsExported() {
			continue
		}
		text := strings.ToLower(f.Doc.Text() + f.Comment.Text())
		if !slices.ContainsFunc(zeroWords, func(w string) bool { return strings.Contains(text, w) }) {
			t.Errorf("%s: %s.%s does not say what its zero value means", s.at(f), x.Name.Name, f.Names[0].Name)
		}
	}
}

// zeroWords are how a field says what happens where it is left out.
var zeroWords = []string{"absent:", "zero", "empty", "nil", "none", "false", "default", "required", "at least one"}

func isOptions(name string) bool {
	for _, suffix := range []string{"Options", "Limits", "Config", "Policy"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
