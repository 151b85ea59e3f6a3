package provenance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

var update = flag.Bool("update", false, "write the golden files")

// environment reads a documented environment.
func environment(t testing.TB, system string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "environment", system+".env"))
	if err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(strings.TrimRight(line, "\n"), "=")
		if !found {
			t.Fatalf("%s: %q", system, line)
		}
		env[key] = value
	}
	return env
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) { v, ok := env[key]; return v, ok }
}

// named are the systems that set nothing by which they could be detected.
var named = []string{"google-cloud-build", "tekton"}

func facts(t testing.TB, system string, env map[string]string) provenance.Facts {
	t.Helper()
	o := provenance.EnvironmentOptions{Lookup: lookup(env)}
	if slices.Contains(named, system) {
		o.System = system
	}
	f, err := provenance.Environment(o)
	if err != nil {
		t.Fatalf("%s: %v", system, err)
	}
	return f
}

func TestEachBuildSystemIsMappedAsItsGoldenPredicateSays(t *testing.T) {
	if len(provenance.Systems()) != 11 {
		t.Errorf("%q", provenance.Systems())
	}
	for _, system := range provenance.Systems() {
		t.Run(system, func(t *testing.T) {
			p, err := provenance.New("https://builder.example/"+system, facts(t, system, environment(t, system)))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			e := json.NewEncoder(&got)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			if err := e.Encode(p); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "environment", system+".json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got %s\nwant %s", got.Bytes(), want)
			}
			// Code that is not ours accepts it, without a field that it does not
			// know or misses.
			var theirs provenancev1.Provenance
			if err := protojson.Unmarshal(want, &theirs); err != nil {
				t.Errorf("in-toto/attestation: %v", err)
			}
			if err := theirs.Validate(); err != nil {
				t.Errorf("in-toto/attestation: %v", err)
			}
			if _, err := predicate.Parse(predicate.TypeProvenance, want); err != nil {
				t.Error(err)
			}
		})
	}
}

// secretEnvironment are variables that hold secrets on one system or another.
func secretEnvironment() map[string]string {
	env := make(map[string]string)
	for _, name := range []string{
		"GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN", "CI_JOB_TOKEN", "CI_REPOSITORY_URL", "CI_JOB_JWT",
		"CI_REGISTRY_PASSWORD", "CI_DEPLOY_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"SYSTEM_ACCESSTOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN", "DRONE_NETRC_PASSWORD", "CI_NETRC_PASSWORD", "JENKINS_NODE_COOKIE", "CIRCLE_OIDC_TOKEN",
		"COSIGN_PASSWORD", "HALLMARK_PASSWORD", "NPM_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "DOCKER_AUTH_CONFIG", "BUILDKITE_MESSAGE", "HOME", "PATH",
	} {
		env[name] = "sup3rs3cret-" + name
	}
	return env
}

func TestAttack_S5_OnlyTheAllowListOfVariablesIsRead(t *testing.T) {
	for _, system := range provenance.Systems() {
		env := environment(t, system)
		maps.Copy(env, secretEnvironment())
		allowed := provenance.Variables(system)
		if len(allowed) < 8 || !slices.IsSorted(allowed) {
			t.Errorf("%s: %q", system, allowed)
		}
		// Markers of the other systems are asked for to detect which one it is.
		markers := []string{"GITHUB_ACTIONS", "GITLAB_CI", "CI_SYSTEM_NAME", "DRONE", "JENKINS_URL", "BUILDKITE", "CIRCLECI", "TF_BUILD", "CODEBUILD_BUILD_ARN"}
		o := provenance.EnvironmentOptions{Lookup: func(key string) (string, bool) {
			if !slices.Contains(allowed, key) && !slices.Contains(markers, key) {
				t.Errorf("%s: %s is read", system, key)
			}
			v, ok := env[key]
			return v, ok
		}}
		if slices.Contains(named, system) {
			o.System = system
		}
		f, err := provenance.Environment(o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(f)
		if err != nil || strings.Contains(string(text), "sup3rs3cret") {
			t.Errorf("%s: %s, %v", system, text, err)
		}
		for name := range env {
			if strings.HasPrefix(env[name], "sup3r") && slices.Contains(allowed, name) {
				t.Errorf("%s: %s is allowed", system, name)
			}
		}
	}
}

func TestAttack_S5_CredentialsInURLsAreNotRecorded(t *testing.T) {
	for system, variables := range map[string][]string{
		"gitlab-ci": {"CI_PROJECT_URL", "CI_JOB_URL"}, "jenkins": {"GIT_URL", "BUILD_URL", "JENKINS_URL"}, "buildkite": {"BUILDKITE_REPO", "BUILDKITE_BUILD_URL"},
		"circleci": {"CIRCLE_REPOSITORY_URL"}, "woodpecker": {"CI_REPO_CLONE_URL"}, "drone": {"DRONE_GIT_HTTP_URL"}, "tekton": {"TEKTON_SOURCE_URL"},
		"aws-codebuild": {"CODEBUILD_SOURCE_REPO_URL"}, "google-cloud-build": {"SOURCE_URL"}, "azure-pipelines": {"BUILD_REPOSITORY_URI", "SYSTEM_COLLECTIONURI"},
		"github-actions": {"GITHUB_SERVER_URL"},
	} {
		env := environment(t, system)
		for _, v := range variables {
			env[v] = "https://user:sup3rs3cret@host.example/path?token=sup3rs3cret#sup3rs3cret"
			if v == "GITHUB_SERVER_URL" {
				env[v] = "https://user:sup3rs3cret@host.example"
			}
		}
		text, err := json.Marshal(facts(t, system, env))
		if err != nil || strings.Contains(string(text), "sup3rs3cret") {
			t.Errorf("%s: %s, %v", system, text, err)
		}
	}
}

func TestWhatIsMissingOrMalformedIsATypedError(t *testing.T) {
	for name, c := range map[string]struct{ system, variable, value string }{
		"no repository":       {"github-actions", "GITHUB_REPOSITORY", ""},
		"short commit":        {"github-actions", "GITHUB_SHA", "ffac537"},
		"commit in case":      {"gitlab-ci", "CI_COMMIT_SHA", "1ECFD275763EFF1D6B4844EA3168962458C9F27A"},
		"commit HEAD":         {"buildkite", "BUILDKITE_COMMIT", "HEAD"},
		"no commit":           {"drone", "DRONE_COMMIT_SHA", ""},
		"other workflow":      {"github-actions", "GITHUB_WORKFLOW_REF", "evil/other/.github/workflows/x.yml@refs/heads/main"},
		"no workflow":         {"github-actions", "GITHUB_WORKFLOW_REF", ""},
		"control characters":  {"gitlab-ci", "CI_JOB_NAME", "a\nb"},
		"terminal escapes":    {"jenkins", "JOB_NAME", "a\x1b[31mb"},
		"invalid UTF-8":       {"circleci", "CIRCLE_JOB", "\xff"},
		"too long":            {"jenkins", "NODE_NAME", strings.Repeat("a", 5000)},
		"no number":           {"jenkins", "BUILD_NUMBER", "one"},
		"no time":             {"gitlab-ci", "CI_JOB_STARTED_AT", "yesterday"},
		"time before times":   {"woodpecker", "CI_PIPELINE_STARTED", "1"},
		"no URL":              {"gitlab-ci", "CI_PROJECT_URL", "nothing"},
		"ref with blanks":     {"drone", "DRONE_COMMIT_REF", "refs/heads/a b"},
		"required is missing": {"tekton", "TEKTON_TASKRUN_NAME", ""},
	} {
		env := environment(t, c.system)
		env[c.variable] = c.value
		_, err := provenance.Environment(provenance.EnvironmentOptions{System: c.system, Lookup: lookup(env)})
		if !errors.Is(err, provenance.ErrEnvironment) {
			t.Errorf("%s: %v, want ErrEnvironment", name, err)
		}
	}
}

func TestEverythingMissingIsListedAtOnce(t *testing.T) {
	_, err := provenance.Environment(provenance.EnvironmentOptions{System: "tekton", Lookup: lookup(nil)})
	const want = "unusable build environment of Tekton: TEKTON_TASK_NAME, TEKTON_NAMESPACE and TEKTON_TASKRUN_NAME are not set; the source needs TEKTON_SOURCE_URL and TEKTON_SOURCE_COMMIT"
	if !errors.Is(err, provenance.ErrEnvironment) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	env := environment(t, "tekton")
	delete(env, "TEKTON_SOURCE_COMMIT")
	delete(env, "TEKTON_NAMESPACE")
	env["TEKTON_TASK_NAME"] = "a\nb"
	_, err = provenance.Environment(provenance.EnvironmentOptions{System: "tekton", Lookup: lookup(env)})
	for _, part := range []string{"TEKTON_NAMESPACE and TEKTON_SOURCE_COMMIT are not set", "TEKTON_TASK_NAME has more than"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %q", err, part)
		}
	}
}

func TestSystemsAreDetectedOneAtATime(t *testing.T) {
	if _, err := provenance.Environment(provenance.EnvironmentOptions{Lookup: lookup(nil)}); !errors.Is(err, provenance.ErrNoSystem) {
		t.Errorf("nothing set: %v", err)
	}
	if _, err := provenance.Environment(provenance.EnvironmentOptions{}); !errors.Is(err, attest.ErrOptions) {
		t.Errorf("no Lookup: %v", err)
	}
	if _, err := provenance.Environment(provenance.EnvironmentOptions{System: "nonsense", Lookup: lookup(nil)}); !errors.Is(err, attest.ErrOptions) {
		t.Errorf("unknown: %v", err)
	}
	env := environment(t, "github-actions")
	env["GITLAB_CI"] = "true"
	if _, err := provenance.Environment(provenance.EnvironmentOptions{Lookup: lookup(env)}); !errors.Is(err, provenance.ErrEnvironment) {
		t.Errorf("two of them: %v", err)
	}
	if _, err := provenance.Environment(provenance.EnvironmentOptions{System: "github-actions", Lookup: lookup(env)}); err != nil {
		t.Errorf("named: %v", err)
	}
	env = environment(t, "github-actions")
	env["GITHUB_ACTIONS"] = "1"
	if _, err := provenance.Environment(provenance.EnvironmentOptions{Lookup: lookup(env)}); !errors.Is(err, provenance.ErrNoSystem) {
		t.Errorf("a marker of another value: %v", err)
	}
}

func TestTheDocumentOfBuildTypesNamesEveryParameter(t *testing.T) {
	text, err := os.ReadFile("buildtypes.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, s := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(s, "\n")
		sections[strings.TrimSpace(title)] = body
	}
	check := func(buildType string, f provenance.Facts) {
		t.Helper()
		document, anchor, _ := strings.Cut(buildType, "#")
		if !strings.HasSuffix(document, "attest/provenance/buildtypes.md") {
			return // a build type that another project documents
		}
		body := sections[anchor]
		if body == "" {
			t.Errorf("%s: buildtypes.md has no such section", buildType)
		}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(f.ExternalParameters)), slices.Collect(maps.Keys(f.InternalParameters))) {
			if !strings.Contains(body, "`"+name+"`") {
				t.Errorf("%s: buildtypes.md does not name the parameter %s", anchor, name)
			}
		}
	}
	for _, system := range provenance.Systems() {
		f := facts(t, system, environment(t, system))
		check(f.BuildType, f)
	}
	r := provenance.Recording{Command: []string{"make"}, Changed: []string{"x"}}
	check(provenance.BuildTypeCommand, r.Facts())
}

func TestFromEnvironmentPutsSystemWorkTreeAndMoreTogether(t *testing.T) {
	dir, git := repository(t)
	git("remote", "add", "origin", "https://git.example/team/app")
	o := provenance.Options{
		BuilderID: "https://ci.example/builder", Dir: dir, Lookup: lookup(environment(t, "github-actions")),
		More: []provenance.Facts{{Dependencies: []predicate.ResourceDescriptor{{URI: "pkg:golang/example.com/m@v1"}}}},
	}
	p, err := provenance.FromEnvironment(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p.BuildDefinition.BuildType != "https://actions.github.io/buildtypes/workflow/v1" || len(p.BuildDefinition.ResolvedDependencies) != 3 ||
		p.BuildDefinition.InternalParameters["git"] == nil {
		t.Errorf("%+v", p)
	}
	// S7: nothing in the environment or the tree gives the builder's identity.
	o.BuilderID = ""
	if _, err := provenance.FromEnvironment(t.Context(), o); !errors.Is(err, attest.ErrOptions) {
		t.Errorf("no builder: %v, want ErrOptions", err)
	}
	o = provenance.Options{BuilderID: "https://ci.example/builder", Dir: t.TempDir(), Lookup: lookup(nil)}
	if _, err := provenance.FromEnvironment(t.Context(), o); !errors.Is(err, attest.ErrOptions) {
		t.Errorf("no source of facts: %v, want ErrOptions", err)
	}
	o.More = []provenance.Facts{{BuildType: "https://example.com/build/v1", ExternalParameters: map[string]any{"a": "b"}}}
	if _, err := provenance.FromEnvironment(t.Context(), o); err != nil {
		t.Errorf("outside of every system: %v", err)
	}
}

func TestFactsThatContradictAreRefusedAndEqualOnesListedOnce(t *testing.T) {
	dep := predicate.ResourceDescriptor{URI: "git+https://git.example/x", Digest: map[string]string{"gitCommit": strings.Repeat("a", 40)}}
	a := provenance.Facts{BuildType: "https://example.com/a", ExternalParameters: map[string]any{"x": "1"}, Dependencies: []predicate.ResourceDescriptor{dep, dep}}
	b := provenance.Facts{BuildType: "https://example.com/b", ExternalParameters: map[string]any{"y": "2"}, Dependencies: []predicate.ResourceDescriptor{dep}}
	p, err := provenance.New("https://ci.example/builder", a, b)
	if err != nil {
		t.Fatal(err)
	}
	d := p.BuildDefinition
	if d.BuildType != a.BuildType || fmt.Sprint(d.ExternalParameters) != "map[x:1]" || fmt.Sprint(d.InternalParameters) != "map[y:2]" || len(d.ResolvedDependencies) != 1 {
		t.Errorf("%+v", d)
	}
	for name, f := range map[string]provenance.Facts{
		"parameter":  {InternalParameters: map[string]any{"y": "3"}},
		"invocation": {InvocationID: "https://ci.example/2", InternalParameters: map[string]any{"innerInvocationId": "https://ci.example/3"}},
		"version":    {BuilderVersion: map[string]string{"v": "2"}},
	} {
		first := provenance.Facts{InternalParameters: map[string]any{"y": "2"}, InvocationID: "https://ci.example/1", BuilderVersion: map[string]string{"v": "1"}}
		if _, err := provenance.New("https://ci.example/builder", a, first, f); !errors.Is(err, provenance.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	for _, id := range []string{"", "ci", "/builder", "https://user:pw@ci.example/builder", "://"} {
		if _, err := provenance.New(id, a); !errors.Is(err, attest.ErrOptions) {
			t.Errorf("builder %q: %v, want ErrOptions", id, err)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("github-actions", "GITHUB_REPOSITORY", "octo/../x")
	f.Add("jenkins", "GIT_URL", "git@host:x y")
	f.Add("azure-pipelines", "SYSTEM_TEAMPROJECT", "a?b#c")
	f.Fuzz(func(t *testing.T, system, variable, value string) {
		if !slices.Contains(provenance.Systems(), system) {
			return
		}
		env := environment(t, system)
		env[variable] = value
		got, err := provenance.Environment(provenance.EnvironmentOptions{System: system, Lookup: lookup(env)})
		if err != nil {
			if !errors.Is(err, provenance.ErrEnvironment) {
				t.Fatal(err)
			}
			return
		}
		p, err := provenance.New("https://ci.example/builder", got)
		if err != nil {
			if !errors.Is(err, predicate.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := predicate.Parse(predicate.TypeProvenance, text); err != nil {
			t.Fatalf("what is written is not read: %v\n%s", err, text)
		}
	})
}
