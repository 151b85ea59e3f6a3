package tasks_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// A script calls this program by the name hallmark.
func TestMain(m *testing.M) {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "hallmark" {
		os.Exit(command.New(command.Plugins{}).Main())
	}
	os.Exit(m.Run())
}

// script is a task's file.
type script struct {
	Steps []struct{ Run string }
}

// A script that is longer is not read.
const (
	maxScriptLines  = 20
	maxProgramLines = 80
)

// password opens the private keys; a CI system has it among its secrets.
const password = "correct horse"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTasks_RunAndAreShort(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the steps are commands of a POSIX shell")
	}
	dir, env := world(t)
	// Each works with what those before it have left.
	tasks := []string{"build-system.yaml", "image-promoter.yaml", "policy-author.yaml", "auditor.yaml", "incident.yaml", "cosign-user.yaml"}
	if paths, err := filepath.Glob("*.yaml"); err != nil || len(paths) != len(tasks) {
		t.Errorf("%v: %q", err, paths)
	}
	for _, path := range tasks {
		t.Run(strings.TrimSuffix(path, ".yaml"), func(t *testing.T) { steps(t, path, dir, env) })
	}
	programs, err := filepath.Glob("*_maintainer_test.go")
	must(t, err)
	for _, path := range programs {
		if text := read(t, path); bytes.Count(text, []byte("\n")) > maxProgramLines {
			t.Errorf("%s has more than %d lines", path, maxProgramLines)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return text
}

// world is a directory with keys, the files of the steps and hallmark, and a registry with
// two images that nothing is attached to.
func world(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS("files")))
	for _, role := range []string{"release", "builder", "second"} {
		pair, err := sign.Generate(t.Context(), sign.KeyOptions{Password: []byte(password)})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, role+".key"), pair.PrivatePEM, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, role+".pub"), pair.PublicPEM, 0o600))
	}
	program, err := os.Executable()
	must(t, err)
	must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	must(t, os.Symlink(program, filepath.Join(dir, "bin", "hallmark")))
	hosted := registrytest.New(registrytest.Options{})
	repo, err := name.NewRepository(registrytest.Start(t, hosted) + "/staging/app")
	must(t, err)
	env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + dir, "HALLMARK_PASSWORD=" + password, "REGISTRY=" + repo.RegistryStr()}
	for variable, tag := range map[string]string{"IMAGE": "v1", "UNSIGNED": "v2"} {
		_, err := registrytest.PushImage(t.Context(), hosted.Store(), repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
		must(t, err)
		env = append(env, variable+"="+repo.Tag(tag).String())
	}
	return dir, env
}

// steps runs a script. Each step must end well.
func steps(t *testing.T, path, dir string, env []string) {
	t.Helper()
	text := read(t, path)
	if n := bytes.Count(text, []byte("\n")); n >= maxScriptLines {
		t.Errorf("%s has %d lines, want less than %d", path, n, maxScriptLines)
	}
	var s script
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	must(t, decoder.Decode(&s))
	if len(s.Steps) < 3 {
		t.Errorf("%s has %d steps", path, len(s.Steps))
	}
	for _, step := range s.Steps {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", step.Run)
		cmd.Dir, cmd.Env = dir, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %s: %v\n%s", path, step.Run, err, out)
		}
	}
}
