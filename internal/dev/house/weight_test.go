package house_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
)

// Every test here prints a line that starts with "weight:", whatever the
// verbosity of the test run. CI shows these lines.
const (
	// moduleLimit bounds the third-party modules that all core packages
	// together link, on any operating system.
	moduleLimit = 24
	// sizeLimit bounds a stripped program that only verifies, in bytes.
	sizeLimit = 12_000_000
)

// allowedModules may be linked by core packages. The text says why every
// user of the library should take it along.
var allowedModules = map[string]string{
	"github.com/google/go-containerregistry":            "names, manifests and credentials",
	"github.com/docker/cli":                             "Docker's login file (by go-containerregistry)",
	"github.com/docker/docker-credential-helpers":       "credential helpers (by docker/cli)",
	"github.com/sirupsen/logrus":                        "by docker/cli",
	"github.com/opencontainers/go-digest":               "by go-containerregistry",
	"github.com/secure-systems-lab/go-securesystemslib": "cosign's encrypted keys",
	"github.com/sigstore/sigstore":                      "signature algorithms and keys",
	"github.com/sigstore/protobuf-specs":                "algorithm names (by sigstore)",
	"google.golang.org/genproto/googleapis/api":         "by protobuf-specs",
	"google.golang.org/protobuf":                        "by protobuf-specs",
	"github.com/in-toto/in-toto-golang":                 "in-toto links and layouts",
	"github.com/in-toto/attestation":                    "by in-toto-golang",
	"github.com/shibumi/go-pathspec":                    "artifact rules (by in-toto-golang)",
	"go.yaml.in/yaml/v3":                                "policy files",
	"github.com/youmark/pkcs8":                          "encrypted PKCS#8 keys (by sigstore)",
	"golang.org/x/crypto":                               "scrypt and nacl/secretbox for encrypted keys",
	"golang.org/x/sys":                                  "file locks, and by x/term",
	"golang.org/x/term":                                 "password prompts (by sigstore)",
}

func TestWeightOfTheCoreInModules(t *testing.T) {
	var core []string
	for _, s := range libraryFiles(t) {
		if pattern := "./" + s.dir; floorOf(s.dir).core && !slices.Contains(core, pattern) {
			core = append(core, pattern)
		}
	}
	linked := linkedModules(t, core...)
	for _, module := range linked {
		if allowedModules[module] == "" {
			t.Errorf("the core links %s, which is not in allowedModules: leave it out, move what needs it to an opt-in package, or give the reason there", module)
		}
	}
	for module := range allowedModules {
		if !slices.Contains(linked, module) {
			t.Errorf("the core no longer links %s: delete it from allowedModules", module)
		}
	}
	fmt.Printf("weight: core links %d third-party modules (limit %d): %s\n", len(linked), moduleLimit, strings.Join(linked, " "))
	if len(linked) > moduleLimit {
		t.Errorf("the core links %d third-party modules, more than %d", len(linked), moduleLimit)
	}
}

// linkedModules are the third-party modules whose packages a program that
// imports the patterns links, on any of three operating systems.
func linkedModules(t *testing.T, patterns ...string) []string {
	t.Helper()
	modules := make(map[string]bool)
	for _, system := range []string{"linux", "darwin", "windows"} {
		list := append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}"}, patterns...)
		for module := range strings.FieldsSeq(goTool(t, topLevel(t), []string{"GOOS=" + system}, list...)) {
			modules[module] = true
		}
	}
	return slices.Sorted(maps.Keys(modules))
}

// goTool runs the go command without cgo, and without the flags that the
// environment sets.
func goTool(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOWORK=off"), env...)
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return string(out)
}

func TestWeightOfAProgramThatVerifies(t *testing.T) {
	race.Skip(t, "programs are compiled")
	for what, source := range map[string]string{
		"only verifies":            "./internal/dev/house/verifier",
		"verifies by certificates": "./internal/dev/house/recogniser",
	} {
		program := filepath.Join(t.TempDir(), "program")
		goTool(t, topLevel(t), []string{"GOOS=linux", "GOARCH=amd64"}, "build", "-trimpath", "-ldflags=-s -w", "-o", program, source)
		info, err := os.Stat(program)
		if err != nil {
			t.Fatal(err)
		}
		linked := linkedModules(t, source)
		fmt.Printf("weight: a stripped program that %s has %.1f MB (limit %.1f) and links %d third-party modules (limit %d)\n",
			what, float64(info.Size())/1e6, sizeLimit/1e6, len(linked), moduleLimit)
		if info.Size() >= sizeLimit {
			t.Errorf("%s: %d bytes, not under %d", what, info.Size(), sizeLimit)
		}
		if len(linked) > moduleLimit {
			t.Errorf("%s: links %d modules, more than %d: %q", what, len(linked), moduleLimit, linked)
		}
	}
}

// The program that is weighed must be one that does the work.
func TestTheProgramThatIsWeighedReallyVerifies(t *testing.T) {
	race.Skip(t, "programs are compiled")
	host := registrytest.Start(t, registrytest.New(registrytest.Options{}))
	dir := t.TempDir()
	trusted, stranger := newKey(t, dir, "trusted"), newKey(t, dir, "stranger")
	tag, digest := signedImage(t, host, trusted.Signer)

	program := filepath.Join(dir, "verifier")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	goTool(t, topLevel(t), nil, "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./internal/dev/house/verifier")

	out, err := exec.CommandContext(t.Context(), program, filepath.Join(dir, "trusted.pub"), tag).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != digest {
		t.Errorf("signed by a trusted key: %v, %q; want %q", err, out, digest)
	}
	out, err = exec.CommandContext(t.Context(), program, filepath.Join(dir, "stranger.pub"), tag).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "denied") || strings.HasPrefix(string(out), host) {
		t.Errorf("signed by %s, trusted is %s: %v, %q; want a denial", trusted.ID, stranger.ID, err, out)
	}
}

func newKey(t *testing.T, dir, name string) *sign.KeyPair {
	t.Helper()
	pair, err := sign.Generate(t.Context(), sign.KeyOptions{
		Password:    []byte("secret"),
		PrivatePath: filepath.Join(dir, name+".key"), PublicPath: filepath.Join(dir, name+".pub"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func signedImage(t *testing.T, host string, signer sign.Signer) (tag, digest string) {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := remote.New(remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := sign.PushAndSign(context.Background(), client, ref, image, sign.ImageOptions{}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return ref.String(), signed.Digest.String()
}

// What a fresh program carries in its module graph and in its go.sum, and what go.mod
// lists beyond what we import. When these were set it was 85 modules, 54 lines and 15
// modules: a little is left for what updates of dependencies bring by themselves.
// Tests that import other projects' code belong in internal/dev/interop.
const (
	freshModuleLimit = 94
	freshSumLimit    = 56
	indirectLimit    = 17
)

func TestWeightOfGoMod(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(topLevel(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	n := strings.Count(string(text), " // indirect\n")
	fmt.Printf("weight: go.mod lists %d modules that we do not import ourselves (limit %d)\n", n, indirectLimit)
	if n > indirectLimit {
		t.Errorf("go.mod lists %d indirect modules, more than %d", n, indirectLimit)
	}
}

func TestWeightOnAFreshProgramsModuleGraph(t *testing.T) {
	if testing.Short() {
		t.Skip("resolves modules, which may need the network: not with -short")
	}
	dir := t.TempDir()
	top := topLevel(t)
	copyFile(t, filepath.Join(top, "internal/dev/house/verifier/main.go"), filepath.Join(dir, "main.go"))
	// With the sums that the project already trusts, nothing is left to ask a
	// checksum database; tidy removes those that the program does not need.
	copyFile(t, filepath.Join(top, "go.sum"), filepath.Join(dir, "go.sum"))
	module := "module fresh.example/program\n\ngo 1.26.0\n\nrequire " + modulePath + " v0.0.0\n\nreplace " + modulePath + " => " + filepath.ToSlash(top) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"GOFLAGS=-mod=mod", "GONOSUMDB=*"}
	goTool(t, dir, env, "mod", "tidy")

	modules := make(map[string]bool)
	edges := strings.Fields(goTool(t, dir, env, "mod", "graph"))
	for _, end := range edges {
		path, _, _ := strings.Cut(end, "@")
		modules[path] = true
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(sums), "\n")
	fmt.Printf("weight: a fresh program that imports verify has %d modules in its graph (limit %d) and %d lines in go.sum (limit %d)\n",
		len(modules), freshModuleLimit, lines, freshSumLimit)
	if len(modules) > freshModuleLimit {
		t.Errorf("%d modules in the graph of a fresh program, more than %d", len(modules), freshModuleLimit)
	}
	if lines > freshSumLimit {
		t.Errorf("%d lines in go.sum of a fresh program, more than %d", lines, freshSumLimit)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
