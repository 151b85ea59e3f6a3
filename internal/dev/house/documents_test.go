package house_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

// documents are the Markdown files of the tree, by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, file := range trackedFiles(t) {
		if path.Ext(file) == ".md" && !strings.Contains(file, "testdata/") {
			text, err := os.ReadFile(filepath.Join(topLevel(t), filepath.FromSlash(file)))
			must(t, err)
			all[file] = string(text)
		}
	}
	if len(all) < 8 {
		t.Fatalf("found %d documents: this test looks in the wrong place", len(all))
	}
	return all
}

// spokenLines are all lines that tell users something: those of documents, of comments
// and of the strings of programs, with where they stand.
func spokenLines(t *testing.T) map[string]string {
	t.Helper()
	lines := make(map[string]string)
	add := func(file string, first int, text string) {
		for i, line := range strings.Split(text, "\n") {
			at := fmt.Sprintf("%s:%d", file, first+i)
			lines[at] += line + "\n"
		}
	}
	for file, text := range documents(t) {
		add(file, 1, text)
	}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		for _, group := range s.file.Comments {
			add(s.path, s.fset.Position(group.Pos()).Line, group.Text())
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if x, ok := n.(*ast.BasicLit); ok && x.Kind == token.STRING {
				if text, err := strconv.Unquote(x.Value); err == nil {
					add(s.path, s.fset.Position(x.Pos()).Line, text)
				}
			}
			return true
		})
	}
	return lines
}

var (
	// named finds a command line of hallmark, with what stands before it.
	named = regexp.MustCompile("(?m)(^|[^\n]*?[^a-z/._-])hallmark ([a-z][a-z-]*)([^\n]*)")
	// commandEnd is what ends a command line in a shell or in a sentence.
	commandEnd = regexp.MustCompile("[`;|<>]| #| && |'|\\\\n|, | and | to | with | on stdin|\\)|\"$")
	// asCode is what stands before a command line that is meant to be run.
	asCode = regexp.MustCompile("(['`|]|: |\\$ |^\t|^  +)\\s*$")
)

// commandLines are the command lines in a line of text. In a document, they may stand at
// its beginning.
func commandLines(line string, document bool) (commands [][]string) {
	for line != "" {
		m := named.FindStringSubmatchIndex(line)
		if m == nil {
			break
		}
		before, rest := line[m[2]:m[3]], line[m[4]:m[7]]
		if end := commandEnd.FindStringIndex(rest); end != nil {
			rest = rest[:end[0]]
		}
		if asCode.MatchString(before) || document && before == "" {
			commands = append(commands, strings.Fields(rest))
		}
		line = line[m[4]:]
		document = false
	}
	return commands
}

// knows reports whether hallmark has the command of a command line, and its flags.
func knows(t *testing.T, words []string) error {
	t.Helper()
	if i := slices.Index(words, "--"); i >= 0 {
		words = words[:i]
	}
	var stdout, stderr bytes.Buffer
	command.New(command.Plugins{}).Run(t.Context(), append(slices.Clone(words), "--help"), strings.NewReader(""), &stdout, &stderr)
	if strings.Contains(stderr.String(), "--help or -h stands among other arguments") {
		return nil // of the command that says so, everything else was understood
	}
	name := words[0]
	if len(words) > 1 && (name == "policy" || name == "download" || name == "completion") {
		name += " " + words[1]
	}
	if !strings.Contains(stdout.String(), "\nUsage:\n  hallmark "+name) {
		return fmt.Errorf("hallmark %s: %s%.60s", strings.Join(words, " "), stderr.String(), stdout.String())
	}
	return nil
}

func TestCommandsThatAreNamedExist(t *testing.T) {
	race.Skip(t, "one goroutine reads all files")
	checked, lines := 0, spokenLines(t)
	t.Chdir(t.TempDir())
	for at, text := range lines {
		for line := range strings.SplitSeq(text, "\n") {
			for _, words := range commandLines(line, strings.Contains(at, ".md:")) {
				checked++
				if err := knows(t, words); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			}
		}
	}
	fmt.Printf("documents: %d command lines of hallmark are named, and exist\n", checked)
	if checked < 100 {
		t.Errorf("found %d command lines: this test looks in the wrong place", checked)
	}
}

func TestCommandLines_AreFoundAndRefused(t *testing.T) {
	for line, want := range map[string]string{
		"hint: see who signed it: hallmark inspect IMAGE":          "[[inspect IMAGE]]",
		"a name that 'hallmark attest --help' lists, or a URI":     "[[attest --help]]",
		"  hallmark scan-report -o json t | hallmark attest --x y": "[[scan-report -o json t] [attest --x y]]",
		"`hallmark verify` exits with 0":                           "[[verify]]",
		"Command hallmark signs images":                            "[]",
		"xargs hallmark verify --policy p -- < images.txt":         "[]",
	} {
		if got := commandLines(line, false); fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", line, got, want)
		}
	}
	for _, line := range []string{"bogus", "policy bogus", "sign --bogus", "verify --bogus x", "sign --key"} {
		if err := knows(t, strings.Fields(line)); err == nil {
			t.Errorf("hallmark %s is known", line)
		}
	}
}

var (
	goCommand = regexp.MustCompile(`\bgo (?:run|build|test|vet|install)((?: -C \S+| -[a-z]\S*(?: [a-z-]+)?)*) (\./[A-Za-z0-9_./-]*|\.)(?:[^A-Za-z0-9_./-]|$)`)
	inDir     = regexp.MustCompile(` -C (\S+)`)
)

func TestProgramsThatAreNamedExist(t *testing.T) {
	checked := 0
	for at, text := range spokenLines(t) {
		for _, m := range goCommand.FindAllStringSubmatch(text, -1) {
			dir := "."
			if in := inDir.FindStringSubmatch(m[1]); in != nil {
				dir = in[1]
			}
			program := strings.TrimSuffix(strings.TrimSuffix(m[2], "."), "/...")
			checked++
			if !isThere(t, path.Join(dir, strings.TrimRight(program, "./"))) {
				t.Errorf("%s: %s does not exist", at, strings.TrimSpace(m[0]))
			}
		}
	}
	if checked < 10 {
		t.Errorf("found %d programs: this test looks in the wrong place", checked)
	}
}

func isThere(t *testing.T, file string) bool {
	t.Helper()
	_, err := fs.Stat(os.DirFS(topLevel(t)), path.Clean(file))
	return err == nil
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced       = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	codeSpan     = regexp.MustCompile("`([^`\n]+)`")
	ourPath      = regexp.MustCompile(`^\.?/?((?:attest|examples|internal|registry|sign|verify|\.ci|\.github)(?:/[A-Za-z0-9_.-]+)+)/?$`)
)

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	for file, text := range documents(t) {
		text = fenced.ReplaceAllString(text, "")
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target != "" && !strings.Contains(target, "://") && !isThere(t, path.Join(path.Dir(file), target)) {
				t.Errorf("%s: the link to %s leads nowhere", file, m[1])
			}
		}
		for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
			named := ourPath.FindStringSubmatch(m[1])
			if named != nil && !isThere(t, named[1]) && !isThere(t, path.Join(path.Dir(file), named[1])) && !isPlanned(named[1]) {
				t.Errorf("%s: %s does not exist", file, m[1])
			}
		}
	}
}

// isPlanned reports whether the floors have a row for a package.
func isPlanned(dir string) bool {
	row := floorOf(dir)
	return row != nil && row.packages == dir
}

var variable = regexp.MustCompile(`\bHALLMARK_[A-Z_]+\b`)

func TestVariablesThatAreNamedAreRead(t *testing.T) {
	read := make(map[string]bool)
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if x, ok := n.(*ast.BasicLit); ok && x.Kind == token.STRING {
				read[strings.Trim(x.Value, "`\"")] = true
			}
			return true
		})
	}
	for file, text := range documents(t) {
		for _, name := range variable.FindAllString(text, -1) {
			if !read[name] {
				t.Errorf("%s names %s, which no program reads", file, name)
			}
		}
	}
}

func TestDependencyUpdatesCoverEveryModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(topLevel(t), ".github", "dependabot.yml"))
	must(t, err)
	for _, file := range trackedFiles(t) {
		if path.Base(file) == "go.mod" && !strings.Contains(file, "testdata/") {
			if dir := path.Join("/", path.Dir(file)); !bytes.Contains(text, []byte("      - "+dir+"\n")) {
				t.Errorf(".github/dependabot.yml lacks the module in %s", dir)
			}
		}
	}
}
