package house_test

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

// cheap are functions that a package may call while it is initialised: they take no
// time that can be measured.
var cheap = []string{"errors.New", "fmt.Errorf", "netip.MustParseAddr", "netip.MustParsePrefix", "sync.OnceValue", "sync.OnceValues"}

// What a package computes before main costs every program, whether it needs it or
// not: one regular expression takes as long as a signature.
func TestLibrariesComputeNothingAtTheStart(t *testing.T) {
	types := declaredTypes(t)
	var found []finding
	for _, s := range libraryFiles(t) {
		for _, decl := range s.file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				ast.Inspect(d, func(n ast.Node) bool {
					if _, ok := n.(*ast.FuncLit); ok {
						return false // it runs when it is called
					}
					if call, ok := n.(*ast.CallExpr); ok && !isCheap(call, types[s.dir]) {
						found = append(found, finding{s.dir, s.at(call) + ": a call"})
					}
					return true
				})
			}
		}
	}
	onlyShrinks(t, "work at the start", found, "compute it where it is used, or once with sync.OnceValue")
}

// declaredTypes are the names of each package's own types: conversions to them look
// like calls.
func declaredTypes(t *testing.T) map[string]map[string]bool {
	t.Helper()
	types := make(map[string]map[string]bool)
	for _, s := range libraryFiles(t) {
		if types[s.dir] == nil {
			types[s.dir] = make(map[string]bool)
		}
		for _, decl := range s.file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				for _, spec := range d.Specs {
					if x, ok := spec.(*ast.TypeSpec); ok {
						types[s.dir][x.Name.Name] = true
					}
				}
			}
		}
	}
	return types
}

var builtin = []string{"len", "cap", "string", "byte", "rune", "int", "int64", "uint64", "float64", "min", "max"}

func isCheap(call *ast.CallExpr, types map[string]bool) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return types[f.Name] || slices.Contains(builtin, f.Name)
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && slices.Contains(cheap, x.Name+"."+f.Sel.Name)
	default: // a conversion to a type that is written out
		_, isLiteral := call.Fun.(*ast.ArrayType)
		_, isPointer := call.Fun.(*ast.ParenExpr)
		return isLiteral || isPointer
	}
}

// startLimit is how long the initialisation of one package of ours may take.
const startLimit = 300 * time.Microsecond

var initLine = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, ([0-9.]+) ms clock`)

// The runtime says how long each package's initialisation took. Of several runs, the
// fastest counts: what else the machine does can only add to it.
func TestStartOfTheCommandLine(t *testing.T) {
	race.Skip(t, "programs are compiled")
	program := filepath.Join(t.TempDir(), "hallmark")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	goTool(t, topLevel(t), nil, "build", "-trimpath", "-o", program, "./examples/hallmark")
	took := make(map[string][]time.Duration)
	const runs = 9
	for range runs {
		cmd := exec.CommandContext(t.Context(), program, "version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("hallmark version: %v\n%s", err, out)
		}
		lines := initLine.FindAllStringSubmatch(string(out), -1)
		if len(lines) == 0 {
			t.Fatalf("the runtime told nothing:\n%s", out)
		}
		for _, m := range lines {
			ms, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				t.Fatal(err)
			}
			took[m[1]] = append(took[m[1]], time.Duration(ms*float64(time.Millisecond)))
		}
	}
	slow := make(map[string]int)
	slowest, which := time.Duration(0), "none"
	for pkg, times := range took {
		dir, ours := strings.CutPrefix(pkg, modulePath+"/")
		if !ours {
			continue
		}
		least := slices.Min(times)
		if least > slowest {
			slowest, which = least, dir
		}
		if least > startLimit {
			slow[dir] = 1
			fmt.Printf("weight: %s takes %s before main\n", dir, least)
		}
	}
	fmt.Printf("weight: of our packages, %s takes longest before main: %s (limit %s)\n", which, slowest, startLimit)
	withinBudget(t, "start over 0.3 ms", 0, slow, "compute less before main")
}
