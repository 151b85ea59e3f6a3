// Package ci_test runs the shell of the examples for build systems, with a fake
// environment and a registry in this process.
package ci_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// program is the directory of the hallmark that TestMain builds.
var program string

func TestMain(m *testing.M) {
	code, err := built(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func built(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "hallmark-ci-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left is in the system's directory
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "hallmark"), "../hallmark").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w: %s", err, out)
	}
	program = dir
	return m.Run(), nil
}

const password = "correct horse"

// job is a build system's job: a directory, its environment, and an image that it pushed.
type job struct {
	t     *testing.T
	dir   string
	env   map[string]string
	image name.Digest
	store registry.Store
}

// newJob makes a job whose environment is one that the build system has set.
func newJob(t *testing.T, system, builder string) *job {
	t.Helper()
	hosted := registrytest.New(registrytest.Options{})
	tag, err := name.NewTag(registrytest.Start(t, hosted) + "/team/app:v1")
	must(t, err)
	image, err := registrytest.PushImage(t.Context(), hosted.Store(), tag, registrytest.ImageOptions{})
	must(t, err)
	j := &job{t: t, dir: t.TempDir(), image: image, store: hosted.Store(), env: map[string]string{
		"PATH": program + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME": t.TempDir(), "HALLMARK_PASSWORD": password,
		"IMAGE": image.String(), "POLICY": "policy.yaml", "BUILDER": builder,
	}}
	for key, value := range environment(t, system) {
		j.env[key] = value
	}
	j.write("password", password+"\n")
	j.write("policy.yaml", fmt.Sprintf(`version: 1
keys: {release: {file: release.pub}}
roles: {release: {keys: [release]}}
rules:
  - images: ["%s/team/**"]
    require:
      - signature: {by: release}
      - attestation: {type: slsaprovenance, by: release, builder: [%q]}
`, image.RegistryStr(), builder))
	j.run("hallmark keygen --out release")
	return j
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (j *job) write(file, text string) {
	j.t.Helper()
	must(j.t, os.WriteFile(filepath.Join(j.dir, file), []byte(text), 0o600))
}

// environment is what a build system sets; no system sets nothing.
func environment(t *testing.T, system string) map[string]string {
	t.Helper()
	env := make(map[string]string)
	if system == "" {
		return env
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "attest", "provenance", "testdata", "environment", system+".env"))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[key] = value
	}
	return env
}

// try runs a script of a shell in the job.
func (j *job) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(j.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", script)
	cmd.Dir = j.dir
	for key, value := range j.env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (j *job) run(script string) string {
	j.t.Helper()
	out, err := j.try(script)
	if err != nil {
		j.t.Fatalf("%v: %s\n%s", err, script, out)
	}
	return out
}

// signs runs a script, which must sign, attest and verify. Before it, and with an image
// that does not exist, verification and the script must fail.
func (j *job) signs(script string) {
	j.t.Helper()
	if out, err := j.try(`hallmark verify --policy "$POLICY" "$IMAGE"`); err == nil {
		j.t.Errorf("verified before it was signed: %s", out)
	}
	if out := j.run(script); !strings.Contains(out, "verified") {
		j.t.Errorf("it does not say that the image is verified:\n%s", out)
	}
	formats := make(map[registry.Format]int)
	for item, err := range registry.Evidence(j.t.Context(), j.store, j.image, registry.Limits{}) {
		must(j.t, err)
		formats[item.Format]++
	}
	if formats[registry.FormatBundle] != 2 {
		j.t.Errorf("evidence: %v, want a signature and provenance", formats)
	}
	j.env["IMAGE"] = j.image.Context().Digest("sha256:" + strings.Repeat("0", 64)).String()
	if out, err := j.try(script); err == nil {
		j.t.Errorf("an image that does not exist passes:\n%s", out)
	}
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, yaml.Unmarshal(text, into))
}

func TestGitHubAction(t *testing.T) {
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Using string
			Steps []struct {
				Shell, Run string
				Env        map[string]string
			}
		}
	}
	readYAML(t, "action.yml", &action)
	j := newJob(t, "github-actions", "https://github.com/team/release")
	key, err := os.ReadFile(filepath.Join(j.dir, "release.key"))
	must(t, err)
	inputs := map[string]string{"image": j.env["IMAGE"], "key": string(key), "password": password, "builder": j.env["BUILDER"], "policy": action.Inputs["policy"].Default}
	for name := range action.Inputs {
		if inputs[name] == "" {
			t.Errorf("no value for the input %s", name)
		}
	}
	if len(action.Runs.Steps) != 1 || action.Runs.Using != "composite" || action.Runs.Steps[0].Shell != "bash" {
		t.Fatalf("%+v", action.Runs)
	}
	step := action.Runs.Steps[0]
	input := regexp.MustCompile(`\$\{\{ inputs\.([a-z]+) \}\}`)
	for name, value := range step.Env {
		j.env[name] = input.ReplaceAllStringFunc(value, func(m string) string { return inputs[input.FindStringSubmatch(m)[1]] })
	}
	if strings.Contains(step.Run, "${{") {
		t.Error("an input in a script is code: pass it by env")
	}
	j.signs(step.Run)
}

func TestGitLabTemplate(t *testing.T) {
	var template map[string]struct {
		Variables map[string]string
		Script    []string
	}
	readYAML(t, "gitlab.yml", &template)
	j := newJob(t, "gitlab-ci", "https://gitlab.example/runners")
	j.env["CI_REGISTRY_IMAGE"], j.env["DIGEST"], j.env["CI_SERVER_URL"] = j.image.Context().String(), j.image.DigestStr(), "https://gitlab.example"
	j.env["HALLMARK_KEY"] = "release.key"
	for name, value := range template[".hallmark"].Variables {
		j.env[name] = os.Expand(value, func(v string) string { return j.env[v] })
	}
	j.signs(strings.Join(template[".hallmark"].Script, "\n"))
}

func TestTektonTask(t *testing.T) {
	var task struct {
		Spec struct {
			Params []struct{ Name, Default string }
			Steps  []struct {
				Env    []struct{ Name, Value string }
				Script string
			}
		}
	}
	readYAML(t, "tekton.yaml", &task)
	j := newJob(t, "", "https://tekton.example/chains")
	known := map[string]string{
		"params.image": j.env["IMAGE"], "params.builder": j.env["BUILDER"], "params.policy": "policy.yaml", "workspaces.keys.path": j.dir,
		"context.taskRun.namespace": "build", "context.task.name": "hallmark", "context.taskRun.name": "run-1", "context.taskRun.uid": "6e25ad5c-ff4c-4cf4-b16a-d0ab5ca5b7b0",
		"params.source-url": "https://git.example/team/app", "params.source-ref": "refs/heads/main", "params.source-commit": strings.Repeat("a1", 20),
	}
	reference := regexp.MustCompile(`\$\(([a-zA-Z.-]+)\)`)
	step := task.Spec.Steps[0]
	for _, e := range step.Env {
		j.env[e.Name] = reference.ReplaceAllStringFunc(e.Value, func(m string) string {
			value, ok := known[reference.FindStringSubmatch(m)[1]]
			if !ok {
				t.Errorf("%s is unknown", m)
			}
			return value
		})
	}
	delete(j.env, "HALLMARK_PASSWORD")
	if strings.Contains(step.Script, "$(") {
		t.Error("a parameter in a script is code: pass it by env")
	}
	j.signs(step.Script)
	delete(j.env, "TEKTON_NAMESPACE")
	delete(j.env, "TEKTON_TASK_NAME")
	if out, err := j.try("hallmark provenance --system tekton --builder https://tekton.example/chains"); err == nil || !strings.Contains(out, "TEKTON_TASK_NAME and TEKTON_NAMESPACE are not set") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestJenkinsStep(t *testing.T) {
	text, err := os.ReadFile("Jenkinsfile")
	must(t, err)
	script := regexp.MustCompile(`(?s)sh '''(.*?)'''`).FindSubmatch(text)
	if script == nil {
		t.Fatal("no step")
	}
	j := newJob(t, "jenkins", "https://jenkins.example/release")
	j.env["KEY"] = "release.key"
	j.signs(string(script[1]))
}

func TestMakefile(t *testing.T) {
	text, err := os.ReadFile("Makefile")
	must(t, err)
	j := newJob(t, "", "https://ci.example/make")
	j.write("Makefile", string(text))
	j.run("git init -q && git -c user.name=a -c user.email=a@b.example commit -q --allow-empty -m first && git remote add origin https://git.example/team/app")
	j.signs(`make release IMAGE="$IMAGE" BUILD=true`)
}

// What the examples attach says what the build systems have said.
func TestProvenanceNamesTheBuildSystem(t *testing.T) {
	j := newJob(t, "jenkins", "https://jenkins.example/release")
	var p struct {
		RunDetails struct{ Builder struct{ ID string } }
	}
	must(t, json.Unmarshal([]byte(j.run("hallmark provenance --builder \"$BUILDER\" --system jenkins -o json 2>/dev/null")), &p))
	if p.RunDetails.Builder.ID != j.env["BUILDER"] {
		t.Errorf("%+v", p)
	}
}
