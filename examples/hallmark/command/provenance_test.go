package command

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

const builder = "https://ci.example/builder"

func gitHub(c *cli) *cli {
	for key, value := range map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "team/app", "GITHUB_EVENT_NAME": "push",
		"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": strings.Repeat("ab", 20), "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_WORKFLOW_REF": "team/app/.github/workflows/ci.yml@refs/heads/main", "GITHUB_TOKEN": "ghs_verysecret",
	} {
		c.env[key] = value
	}
	return c
}

func TestProvenanceIsMadeOfTheEnvironmentAndARecordedCommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "main.c"), []byte("int main;"))
	o := gitHub(newCLI(t)).must("provenance", "--builder", builder, "--dir", dir, "-o", "json", "--", "sh", "-c", "echo to the console; cp main.c app", "--token=secret1")
	o.says("to the console")
	var p predicate.Provenance
	o.decode(&p)
	if p.RunDetails.Builder.ID != builder || p.BuildDefinition.BuildType != "https://actions.github.io/buildtypes/workflow/v1" ||
		p.BuildDefinition.InternalParameters["command"] == nil || len(p.BuildDefinition.ResolvedDependencies) != 2 {
		t.Errorf("%+v", p)
	}
	if strings.Contains(o.stdout, "secret") {
		t.Errorf("a secret is in %s", o.stdout)
	}
	if _, err := os.Stat(filepath.Join(dir, "app")); err != nil {
		t.Error(err)
	}
	newCLI(t).must("provenance", "--builder", builder, "--dir", dir, "--", "true").
		prints("provenance", "https://slsa.dev/provenance/v1", builder, "command-v1")
}

func TestProvenanceIsAttestedOfTheImagesThatTheCommandMade(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		k := newKey(t)
		x.push("v1")
		var attested []attestedImage
		gitHub(newCLI(t)).must("provenance", "--builder", builder, "--key", k.private, "--no-work-tree", "-o", "json", x.tag("v1")).decode(&attested)
		if len(attested) != 1 || attested[0].PredicateType != predicate.TypeProvenance {
			t.Errorf("%+v", attested)
		}
		newCLI(t).must("inspect", "--key", k.public, x.tag("v1")).prints(builder, "team/app", strings.Repeat("ab", 20), "signed by")
	})
}

func TestProvenanceRefusesWhatItCannotKnow(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no builder":      {nil, "--builder is missing"},
		"builder no URI":  {[]string{"--builder", "ci"}, "builder ID"},
		"nothing known":   {[]string{"--builder", builder}, "the build type is unknown"},
		"key, no image":   {[]string{"--builder", builder, "--key", k.private}, "no IMAGE"},
		"image, no key":   {[]string{"--builder", builder, "registry.example/app"}, "--key is missing"},
		"unknown system":  {[]string{"--builder", builder, "--system", "abacus"}, "abacus"},
		"no command":      {[]string{"--builder", builder, "--"}, "a command is missing"},
		"no such command": {[]string{"--builder", builder, "--", "no-such-program-at-all"}, "no-such-program-at-all"},
		"not that system": {[]string{"--builder", builder, "--system", "gitlab-ci"}, "CI_PROJECT_URL"},
		"bad ignore":      {[]string{"--builder", builder, "--ignore", "[", "--", "true"}, "malformed pattern"},
	} {
		args := append([]string{"provenance", "--dir", dir, "--no-work-tree"}, c.args...)
		o := newCLI(t).run(args...).exits(exitUndecided)
		if !strings.Contains(o.stderr, c.says) {
			t.Errorf("%s: stderr lacks %q:\n%s", name, c.says, o.stderr)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	o := newCLI(t).run("provenance", "--builder", builder, "--dir", dir, "--", "sh", "-c", "exit 7").exits(7).says("exit status 7")
	if o.stdout != "" {
		t.Errorf("stdout %q", o.stdout)
	}
	newCLI(t).must("provenance", "--builder", builder, "--dir", dir, "--allow-failure", "--", "sh", "-c", "exit 7")
}

func TestAttack_S3_ValuesNamedWithRedactAreNotRecorded(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	c := newCLI(t)
	c.env["DEPLOY"] = "swordfish"
	o := c.must("provenance", "--builder", builder, "--dir", t.TempDir(), "--redact", "DEPLOY", "--output-tail", "100", "-o", "json", "--", "echo", "with swordfish")
	var p map[string]any
	must(t, json.Unmarshal([]byte(o.stdout), &p))
	if strings.Contains(o.stdout, "swordfish") || strings.Contains(o.stdout, "c3dvcmRmaXNo") || !strings.Contains(o.stdout, "[redacted]") {
		t.Errorf("%s", o.stdout)
	}
}

// gitTree is a directory with a git repository of one commit, whose remote is
// https://git.example/attacker/fork.
func gitTree(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs git and a shell")
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", `git init -q -b main . && echo good > f && git add . && git -c user.name=n -c user.email=e@x commit -qm x
git remote add origin https://git.example/attacker/fork`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func TestAttack_S7_ARecordedCommandCannotChooseItsOwnSource(t *testing.T) {
	record := func(script string) outcome {
		return newCLI(t).run("provenance", "--builder", builder, "--dir", gitTree(t), "-o", "json", "--", "sh", "-ec", "echo x > made; "+script)
	}
	for name, script := range map[string]string{
		"remote": "git remote set-url origin https://git.example/victim/app",
		"commit": "git add made; git -c user.name=n -c user.email=e@x commit -qm victim",
		"both":   "rm -rf .git",
	} {
		if o := record(script).exits(exitUndecided).says(provenance.ErrTreeChanged.Error()); o.stdout != "" {
			t.Errorf("%s: %s", name, o.stdout)
		}
	}
	// What does not decide where the source comes from is as it was before, and noted.
	var p predicate.Provenance
	o := record("git checkout -qb victim; git tag v9").exits(exitOK)
	o.decode(&p)
	git, _ := p.BuildDefinition.InternalParameters["git"].(map[string]any)
	if source := p.BuildDefinition.ResolvedDependencies[0].URI; source != "git+https://git.example/attacker/fork@refs/heads/main" ||
		git["changed"] != true || git["dirty"] != false || git["ref"] != "refs/heads/main" || git["tags"] != nil {
		t.Errorf("source %s, git %v", source, git)
	}
	if o := newCLI(t).must("provenance", "--builder", builder, "--dir", gitTree(t), "-o", "json", "--", "true"); strings.Contains(o.stdout, `"changed"`) {
		t.Errorf("a command that does nothing has changed the tree: %s", o.stdout)
	}
}

func TestProvenance_WarnsOfAMissingSource(t *testing.T) {
	for name, c := range map[string]struct{ script, reason, source string }{
		"a Windows drive":    {`git remote set-url origin 'C:\repos\app'`, "remote-left-out", ""},
		"a share":            {`git remote set-url origin '\\server\share\app'`, "remote-left-out", ""},
		"a path":             {"git remote set-url origin ../app", "remote-left-out", ""},
		"a password":         {"git remote set-url origin https://u:1/S3CR3T@git.example/app", "remote-left-out", ""},
		"no remote":          {"git remote remove origin", "no-remote", ""},
		"a broken .git":      {"rm .git/HEAD", "repository-unreadable", ""},
		"a dangling .git":    {"rm -rf .git; echo gitdir: /nowhere > .git", "repository-unreadable", ""},
		"an unborn HEAD":     {"git checkout -q --orphan fresh", "no-commit", ""},
		"no repository":      {"rm -rf .git", "no-source", ""},
		"letters and spaces": {"git remote set-url origin 'https://git.example/größe/my app'", "", "git+https://git.example/gr%C3%B6%C3%9Fe/my%20app@refs/heads/main"},
	} {
		dir := gitTree(t)
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", c.script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		recorded := newCLI(t).must("provenance", "--builder", builder, "--dir", dir, "-o", "json", "--", "true")
		detected := jenkinsJob(newCLI(t)).must("provenance", "--builder", builder, "--dir", dir, "-o", "json")
		for _, o := range []outcome{recorded, detected} {
			var p predicate.Provenance
			o.decode(&p)
			if c.reason != "" != strings.Contains(o.stderr, "warning: ") || !strings.Contains(o.stderr, c.reason) || strings.Contains(o.stdout+o.stderr, "S3CR3T") {
				t.Errorf("%s: stderr %q, stdout %s", name, o.stderr, o.stdout)
			}
			if s := p.Sources(); c.source != "" && (len(s) != 1 || s[0].URI+"@"+s[0].Ref != c.source) {
				t.Errorf("%s: sources %v, want %s", name, s, c.source)
			}
		}
	}
	// Without git, and by choice.
	dir, c := gitTree(t), newCLI(t)
	t.Setenv("PATH", t.TempDir())
	jenkinsJob(c).must("provenance", "--builder", builder, "--dir", dir, "-o", "json").says("no-git")
	jenkinsJob(newCLI(t)).must("provenance", "--builder", builder, "--no-work-tree", "-o", "json").says("no-source")
}

// jenkinsJob is the environment of a job without a checkout.
func jenkinsJob(c *cli) *cli {
	for key, value := range map[string]string{"JENKINS_URL": "https://ci.example/", "JOB_NAME": "app", "BUILD_NUMBER": "7"} {
		c.env[key] = value
	}
	return c
}

func TestProvenanceObeysTheTimeout(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	o := newCLI(t).run("provenance", "--builder", builder, "--dir", t.TempDir(), "--timeout", "1s", "--", "sleep", "60").exits(exitUndecided).says("raise --timeout")
	if o.stdout != "" {
		t.Errorf("stdout %q", o.stdout)
	}
	newCLI(t).run("provenance", "--builder", builder, "--dir", gitTree(t), "--timeout", "1ns").exits(exitUndecided).says("raise --timeout")
}

func TestProvenance_LeavesPrivateKeysOut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	x, dir, k := layoutTarget(t), t.TempDir(), newKey(t)
	x.push("v1")
	key, err := os.ReadFile(k.private)
	must(t, err)
	for _, name := range []string{"release.key", "my*key[1].pem", "sub.p12", "main.c", "key.c"} {
		writeFile(t, filepath.Join(dir, name), key)
	}
	recorded := func(more ...string) string {
		args := append([]string{"provenance", "--builder", builder, "--dir", dir, "--no-work-tree", "-o", "json"}, more...)
		return newCLI(t).must(append(args, "--", "true")...).stdout
	}
	if text := recorded(); strings.Contains(text, "release.key") || strings.Contains(text, "sub.p12") || !strings.Contains(text, "main.c") || !strings.Contains(text, "key.c") {
		t.Error(text)
	}
	if text := recorded("--ignore", "!release.key"); !strings.Contains(text, "release.key") {
		t.Error(text)
	}
	f := provenanceFlags{dir: dir}
	f.keys = []string{filepath.Join(dir, "my*key[1].pem"), k.private, "awskms:///alias/release"}
	if got := f.keyPatterns(); len(got) != 1 || got[0] != `/my\*key\[1].pem` {
		t.Errorf("%q", got)
	}
	newCLI(t).run("provenance", "--builder", builder, "--no-work-tree").exits(exitUndecided).says("record a command")
}
