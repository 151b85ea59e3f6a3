package command

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// allHints are all hints of the tables.
func allHints() (hints []string) {
	for _, a := range errorAdvice {
		hints = append(hints, a.next)
	}
	for _, hint := range reasonAdvice {
		hints = append(hints, hint)
	}
	for _, hint := range reasonAdviceOnFile {
		hints = append(hints, hint)
	}
	for _, f := range foreignCommands() {
		hints = append(hints, f.hint)
	}
	hints = append(hints, advicePlainHTTP, adviceAuthority, adviceName, adviceProxy)
	for _, v := range foreignVariables {
		hints = append(hints, v.hint)
	}
	return hints
}

// What a hint says to run must be accepted: the command, its flags, and their number of
// arguments.
func TestHints_NameCommandsThatWork(t *testing.T) {
	commands := 0
	for _, hint := range allHints() {
		for _, m := range regexp.MustCompile(`(?:: |')hallmark ([^']*)`).FindAllStringSubmatch(hint, -1) {
			commands++
			accepts(t, strings.Fields(m[1]))
		}
	}
	if commands < 20 {
		t.Errorf("only %d hints name a command", commands)
	}
}

// A hint is one command, whichever program's.
func TestHints_AreOneCommandEach(t *testing.T) {
	command := regexp.MustCompile(`: (?:hallmark|docker|skopeo|chmod|ls|git|go doc) `)
	for _, hint := range allHints() {
		if !command.MatchString(hint) {
			t.Errorf("%q does not end with a command", hint)
		}
		if strings.Count(hint, "hallmark ") > 1 {
			t.Errorf("%q names several commands", hint)
		}
	}
}

// Whatever a text of this package says to run is accepted, and has help: texts that are
// added later are found as well.
func TestEveryText_NamesCommandsThatWork(t *testing.T) {
	found := make(map[string]bool)
	for _, text := range textsOf(t, ".") {
		if strings.Contains(text, "\n") {
			continue // help, whose examples another test runs
		}
		for _, m := range regexp.MustCompile(`(?:: |')hallmark ([a-z][^']*)`).FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(m[1], ": ")
			found[strings.TrimSpace(line)] = true
		}
	}
	if len(found) < 40 {
		t.Errorf("only %d command lines found", len(found))
	}
	helped := make(map[string]bool)
	for line := range found {
		words := strings.Fields(strings.ReplaceAll(line, "%s", "FILE"))
		accepts(t, words)
		cmd, _, err := (&app{}).command().Find(words)
		must(t, err)
		if path := cmd.CommandPath(); !helped[path] {
			helped[path] = true
			newCLI(t).must(append(strings.Fields(path)[1:], "--help")...)
		}
	}
}

// textsOf are the string literals of a package, joined where the source adds them up. What
// is not a literal stands as X.
func textsOf(t *testing.T, dir string) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		must(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			e, isExpr := n.(ast.Expr)
			if !isExpr {
				return true
			}
			if text, is := joined(e); is {
				texts = append(texts, text)
				return false
			}
			return true
		})
	}
	return texts
}

func joined(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, l := joined(e.X)
		right, r := joined(e.Y)
		if e.Op != token.ADD || !l && !r {
			return "", false
		}
		if !l {
			left = "X"
		}
		if !r {
			right = "X"
		}
		return left + right, true
	}
	return "", false
}

func accepts(t *testing.T, words []string) {
	t.Helper()
	cmd, rest, err := (&app{}).command().Find(words)
	must(t, err)
	if err := cmd.ParseFlags(rest); errors.Is(err, pflag.ErrHelp) {
		return
	} else if err != nil {
		t.Errorf("hallmark %s: %v", strings.Join(words, " "), err)
		return
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("hallmark %s: %v", strings.Join(words, " "), err)
	}
}

// Flags that a hint or an error names must belong to some command.
func TestHints_NameFlagsThatExist(t *testing.T) {
	flags := allFlags()
	for _, hint := range allHints() {
		for _, m := range regexp.MustCompile(`--([a-z][a-z0-9-]+)`).FindAllStringSubmatch(hint, -1) {
			if !flags[m[1]] {
				t.Errorf("%q names --%s, which no command has", hint, m[1])
			}
		}
	}
}

// A hint that another file prints by itself would be in no test.
func TestHints_HaveOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		if !strings.HasSuffix(file, "_test.go") && file != "advice.go" && bytes.Contains(text, []byte(`"hint: `)) {
			t.Errorf("%s prints a hint by itself: use console.hint or hintLabel", file)
		}
	}
}

func TestHints_NameTheImageAndThePolicy(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	x.push("v1")
	dir := t.TempDir()
	k := newKey(t)
	key, err := os.ReadFile(k.public)
	must(t, err)
	writeFile(t, filepath.Join(dir, "release.pub"), key)
	file := writeFile(t, filepath.Join(dir, "policy.yaml"), []byte("version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\n"+
		"rules:\n  - images: [\"**\"]\n    require: [{signature: {by: release}}]\n  - images: ["+x.repo.Name()+"]\n    deny: true\n    reason: retired\n"))
	c := newCLI(t)
	c.run("verify", "--key", k.public, x.tag("v1")).exits(exitDenied).prints("hint: sign it", ": hallmark sign --key FILE "+x.tag("v1"))
	c.run("verify", "--policy", file, x.tag("v1")).exits(exitDenied).prints("hallmark policy explain " + file + " " + x.tag("v1"))
}

func TestAttack_F4_HintsHoldNoShellSyntax(t *testing.T) {
	for _, image := range []string{"oci:x; rm -rf y:v1", "oci:$(id):v1", "oci:a b", "oci:`id`", "oci:x'y", "oci:a\nb"} {
		if got := fill("see: hallmark inspect IMAGE", "IMAGE", image); got != "see: hallmark inspect IMAGE" {
			t.Errorf("%q: %q", image, got)
		}
	}
	if got, want := fill("see: hallmark inspect IMAGE", "IMAGE", "oci:dir:v1"), "see: hallmark inspect oci:dir:v1"; got != want {
		t.Errorf("%q", got)
	}
}
