package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
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
	var p attest.Provenance
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
		if len(attested) != 1 || attested[0].PredicateType != attest.TypeProvenance {
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
		"nothing known":   {[]string{"--builder", builder}, "what type of build"},
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
