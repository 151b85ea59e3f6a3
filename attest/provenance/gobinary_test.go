package provenance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

func findDependency(all []predicate.ResourceDescriptor, uri string) *predicate.ResourceDescriptor {
	for i := range all {
		if all[i].URI == uri {
			return &all[i]
		}
	}
	return nil
}

// thisTest opens the test binary, which links modules.
func thisTest(t testing.TB) *os.File {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestAGoBinaryNamesItsModules(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok || len(info.Deps) == 0 {
		t.Skip("this test binary names no modules")
	}
	facts, err := provenance.GoBinary(thisTest(t))
	if err != nil {
		t.Fatal(err)
	}
	const ggcr = "github.com/google/go-containerregistry"
	for _, m := range info.Deps {
		d := findDependency(facts.Dependencies, "pkg:golang/"+m.Path+"@"+strings.ReplaceAll(m.Version, "+", "%2B"))
		if d == nil {
			t.Errorf("%s %s is not among the dependencies", m.Path, m.Version)
		} else if m.Sum != "" && len(d.Digest["dirHash"]) != 64 {
			t.Errorf("%s: digest %v", m.Path, d.Digest)
		}
	}
	if len(facts.BuilderDependencies) != 1 || facts.BuilderDependencies[0].URI != "pkg:golang/stdlib@"+strings.TrimPrefix(strings.Fields(runtime.Version())[0], "go") {
		t.Errorf("toolchain %+v", facts.BuilderDependencies)
	}
	if _, err := provenance.New("https://builder.example", provenance.Facts{BuildType: "https://type.example"}, facts); err != nil {
		t.Errorf("provenance of these facts: %v", err)
	}
	sum, err := os.ReadFile("../../go.sum")
	if err != nil || !bytes.Contains(sum, []byte(ggcr)) {
		t.Fatal(err)
	}
}

// run runs a command in a directory, without what its user has set.
func run(t *testing.T, dir string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// buildProgram builds a program with a replaced module in a git work tree.
func buildProgram(t *testing.T, modified bool, flags ...string) (file *os.File, commit string) {
	t.Helper()
	for _, tool := range []string{"go", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	for path, content := range map[string]string{
		"go.mod":             "module git.example/team/Prog\n\ngo 1.21\n\nrequire example.org/lib v1.2.3\n\nreplace example.org/lib => ./private/lib\n",
		"main.go":            "package main\n\nimport \"example.org/lib\"\n\nvar token string\n\nfunc main() { println(lib.X, token) }\n",
		"private/lib/go.mod": "module example.org/lib\n\ngo 1.21\n",
		"private/lib/lib.go": "package lib\n\nconst X = 1\n",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "git", "init", "-q")
	run(t, dir, "git", "add", ".")
	run(t, dir, "git", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "-m", "x")
	if modified {
		if err := os.WriteFile(filepath.Join(dir, "more.go"), []byte("package main\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	head, err := exec.CommandContext(t.Context(), "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, "go", append(append([]string{"build", "-buildvcs=true", "-o", "prog"}, flags...), ".")...)
	f, err := os.Open(filepath.Join(dir, "prog"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, strings.TrimSpace(string(head))
}

func TestAGoBinaryNamesItsCommitAndWhetherItWasModified(t *testing.T) {
	for _, modified := range []bool{false, true} {
		file, commit := buildProgram(t, modified)
		facts, err := provenance.GoBinary(file)
		if err != nil {
			t.Fatal(err)
		}
		main := findDependency(facts.Dependencies, "pkg:golang/git.example/team/Prog")
		if main == nil || main.Digest["gitCommit"] != commit || (main.Annotations["modified"] == true) != modified {
			t.Errorf("modified %v: %+v", modified, main)
		}
		parameters, _ := facts.InternalParameters["goBinary:git.example/team/Prog"].(map[string]any)
		if parameters["vcs.modified"] != modified || parameters["GOARCH"] != runtime.GOARCH || parameters["goVersion"] != runtime.Version() {
			t.Errorf("parameters %v", parameters)
		}
		lib := findDependency(facts.Dependencies, "pkg:golang/example.org/lib")
		want := map[string]any{"replaces": "example.org/lib@v1.2.3", "replacedBy": "a local directory"}
		if lib == nil || lib.Digest != nil || !reflect.DeepEqual(lib.Annotations, want) {
			t.Errorf("replaced module: %+v", lib)
		}
	}
}

func TestLinkerFlagsOfAGoBinaryAreWithheld(t *testing.T) {
	file, _ := buildProgram(t, false, "-ldflags=-X main.token=hunter2hunter2", "-tags=sometag", "-gcflags=-l")
	facts, err := provenance.GoBinary(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	bom, err := provenance.GoBinarySBOM(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "private/lib", filepath.Dir(file.Name())} {
		if bytes.Contains(text, []byte(secret)) || bytes.Contains(bom, []byte(secret)) {
			t.Errorf("%q got out", secret)
		}
	}
	parameters, _ := facts.InternalParameters["goBinary:git.example/team/Prog"].(map[string]any)
	withheld, _ := json.Marshal(parameters["withheld"])
	if !bytes.Contains(withheld, []byte(`"-ldflags"`)) || !bytes.Contains(withheld, []byte(`"-gcflags"`)) || parameters["-tags"] != "sometag" {
		t.Errorf("%v", parameters)
	}
}

func TestWhatIsNoGoBinaryIsRefused(t *testing.T) {
	for name, content := range map[string]string{"text": "#!/bin/sh\n", "empty": "", "an ELF header": "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 100)} {
		if _, err := provenance.GoBinary(strings.NewReader(content)); !errors.Is(err, provenance.ErrOrigin) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := provenance.GoBinarySBOM(strings.NewReader(content)); !errors.Is(err, provenance.ErrOrigin) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSBOMOfAGoBinaryIsDeterministicCycloneDX(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if !ok || len(info.Deps) == 0 {
		t.Skip("this test binary names no modules")
	}
	first, err := provenance.GoBinarySBOM(thisTest(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := provenance.GoBinarySBOM(thisTest(t))
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("two texts of one binary: %v", err)
	}
	root, err := strictjson.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	if !root.Get("bomFormat").Is("CycloneDX") || !root.Get("specVersion").Is("1.6") {
		t.Errorf("%.200s", first)
	}
	serial, _ := root.Get("serialNumber").Str()
	if len(serial) != len("urn:uuid:01234567-89ab-cdef-0123-456789abcdef") {
		t.Errorf("serial number %q", serial)
	}
	refs := make(map[string]bool)
	for c := range root.Get("components").Elems() {
		ref, _ := c.Get("bom-ref").Str()
		if refs[ref] || !c.Get("purl").Is(ref) || !c.Get("type").Is("library") {
			t.Errorf("component %s", c.Raw())
		}
		refs[ref] = true
	}
	if len(refs) != len(info.Deps)+1 || !refs["pkg:golang/stdlib@"+strings.TrimPrefix(strings.Fields(runtime.Version())[0], "go")] {
		t.Errorf("%d components of %d modules", len(refs), len(info.Deps))
	}
	if _, err := predicate.Parse("cyclonedx", first); err != nil {
		t.Errorf("as a predicate: %v", err)
	}
}

func FuzzGoBinary(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Add([]byte("MZ\x00"))
	f.Add([]byte("\xfe\xed\xfa\xcf"))
	f.Fuzz(func(t *testing.T, data []byte) {
		facts, err := provenance.GoBinary(bytes.NewReader(data))
		if err != nil && !errors.Is(err, provenance.ErrOrigin) {
			t.Fatal(err)
		}
		if err == nil && len(facts.BuilderDependencies) != 1 {
			t.Fatalf("%+v", facts)
		}
	})
}
