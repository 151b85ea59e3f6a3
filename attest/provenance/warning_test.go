package provenance_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

const builderID = "https://ci.example/builder"

// reasons are the reasons of warnings, sorted.
func reasons(all []provenance.Warning) (words []string) {
	for _, w := range all {
		words = append(words, string(w.Reason))
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// warned makes provenance of a directory and returns the reasons of its warnings, which
// must be those that the provenance records.
func warned(t testing.TB, o provenance.Options) (*predicate.Provenance, []provenance.Warning) {
	t.Helper()
	var all []provenance.Warning
	o.BuilderID, o.Warn = builderID, func(w provenance.Warning) { all = append(all, w) }
	if o.Lookup == nil {
		o.Lookup = lookup(nil)
		o.More = append(o.More, provenance.Facts{BuildType: "https://example.com/build/v1"})
	}
	p, err := provenance.FromEnvironment(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	mustDo(t, err)
	if _, err := predicate.Parse(predicate.TypeProvenance, text); err != nil {
		t.Errorf("what is written is not read: %v\n%s", err, text)
	}
	var recorded []string
	list, _ := p.BuildDefinition.InternalParameters["warnings"].([]any)
	for _, word := range list {
		recorded = append(recorded, word.(string))
	}
	if !slices.Equal(recorded, reasons(all)) {
		t.Errorf("recorded %q, warned of %q", recorded, reasons(all))
	}
	return p, all
}

func TestFromEnvironment_WarnsOfRemotes(t *testing.T) {
	for url, want := range map[string]struct{ uri, reason string }{
		`C:\repos\app`:                        {"", "remote-left-out"},
		"C:/repos/app":                        {"", "remote-left-out"},
		`\\server\share\app`:                  {"", "remote-left-out"},
		"file:///C:/repos/app":                {"", "remote-left-out"},
		"../app":                              {"", "remote-left-out"},
		"/srv/git/app":                        {"", "remote-left-out"},
		"~/app":                               {"", "remote-left-out"},
		"ext::sh -c S3CR3T":                   {"", "remote-left-out"},
		"https://user:1/S3CR3T@git.example/a": {"", "remote-left-out"},
		"https://u:S3CR3T@git.example/größe":  {"git+https://git.example/gr%C3%B6%C3%9Fe", ""},
		"https://git.example/my app":          {"git+https://git.example/my%20app", ""},
		"https://git.example/100%":            {"git+https://git.example/100%25", ""},
		"git+ssh://git@git.example/app":       {"git+ssh://git.example/app", ""},
		"git@git.example:app":                 {"git+ssh://git.example/app", ""},
		"git@[::1]:app":                       {"git+ssh://[::1]/app", ""},
	} {
		dir, git := repository(t)
		git("remote", "add", "origin", url)
		p, all := warned(t, provenance.Options{Dir: dir})
		source := p.BuildDefinition.ResolvedDependencies[0]
		if strings.TrimSuffix(source.URI, "@refs/heads/main") != want.uri || source.Digest["gitCommit"] != git("rev-parse", "HEAD") ||
			strings.Join(reasons(all), " ") != want.reason {
			t.Errorf("%s: source %v, warnings %v", url, source, all)
		}
		text, err := json.Marshal([]any{p, all})
		if err != nil || strings.Contains(string(text), "S3CR3T") {
			t.Errorf("%s: %s, %v", url, text, err)
		}
	}
}

func TestReadTree_ChoosesTheRemote(t *testing.T) {
	for name, c := range map[string]struct {
		setUp          [][]string
		remote, reason string
	}{
		"none":                   {nil, "", "no-remote"},
		"one":                    {[][]string{{"remote", "add", "up", "https://git.example/up"}}, "https://git.example/up", ""},
		"origin of several":      {[][]string{{"remote", "add", "a", "https://git.example/a"}, {"remote", "add", "origin", "https://git.example/o"}}, "https://git.example/o", ""},
		"the branch's":           {[][]string{{"remote", "add", "a", "https://git.example/a"}, {"remote", "add", "b", "https://git.example/b"}, {"config", "branch.main.remote", "b"}}, "https://git.example/b", ""},
		"several":                {[][]string{{"remote", "add", "a", "https://git.example/a"}, {"remote", "add", "b", "https://git.example/b"}}, "", "no-remote"},
		"without a URL":          {[][]string{{"config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"}}, "", "no-remote"},
		"two URLs, one to fetch": {[][]string{{"remote", "add", "origin", "https://git.example/a"}, {"config", "--add", "remote.origin.url", "https://git.example/b"}}, "https://git.example/a", ""},
		"insteadOf of a name": {[][]string{{"remote", "add", "origin", "gh:team/app"}, {"config", "url.https://x:S3CR3T@git.example/.insteadOf", "gh:"}},
			"https://git.example/team/app", ""},
		"insteadOf of a URL": {[][]string{{"remote", "add", "origin", "https://git.example/app"}, {"config", "url.https://x:S3CR3T@mirror.example/.insteadOf", "https://git.example/"}},
			"https://git.example/app", ""},
		"insteadOf to a path": {[][]string{{"remote", "add", "origin", "local:app"}, {"config", "url./srv/git/.insteadOf", "local:"}}, "", "remote-left-out"},
	} {
		dir, git := repository(t)
		for _, args := range c.setUp {
			git(args...)
		}
		tree := readTree(t, dir)
		if tree.Remote != c.remote || strings.Join(reasons(tree.Warnings), " ") != c.reason {
			t.Errorf("%s: %q, %v; want %q, %q", name, tree.Remote, tree.Warnings, c.remote, c.reason)
		}
	}
}

func TestFromEnvironment_WarnsOfBrokenRepositories(t *testing.T) {
	older := func(t *testing.T, says string) string {
		if runtime.GOOS == "windows" {
			t.Skip("needs a shell")
		}
		program := filepath.Join(t.TempDir(), "git")
		mustDo(t, os.WriteFile(program, []byte("#!/bin/sh\necho '"+says+"' >&2\nexit 128\n"), 0o755))
		return program
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string, git func(...string) string, o *provenance.Options)
		reason string
	}{
		"git is missing": {func(t *testing.T, dir string, _ func(...string) string, o *provenance.Options) {
			t.Setenv("PATH", t.TempDir())
		}, "no-git"},
		"git is named and missing": {func(t *testing.T, dir string, _ func(...string) string, o *provenance.Options) {
			o.Git = filepath.Join(t.TempDir(), "git")
		}, "no-git"},
		"dangling work tree": {func(t *testing.T, dir string, _ func(...string) string, _ *provenance.Options) {
			mustDo(t, os.RemoveAll(filepath.Join(dir, ".git")))
			put(t, dir, ".git", "gitdir: /nowhere/.git/worktrees/x\n")
		}, "repository-unreadable"},
		"empty .git": {func(t *testing.T, dir string, _ func(...string) string, _ *provenance.Options) {
			mustDo(t, os.RemoveAll(filepath.Join(dir, ".git")))
			mustDo(t, os.Mkdir(filepath.Join(dir, ".git"), 0o755))
		}, "repository-unreadable"},
		"corrupted HEAD": {func(t *testing.T, dir string, _ func(...string) string, _ *provenance.Options) {
			put(t, dir, ".git/HEAD", "\x00\x01garbage")
		}, "repository-unreadable"},
		"HEAD is missing": {func(t *testing.T, dir string, _ func(...string) string, _ *provenance.Options) {
			mustDo(t, os.Remove(filepath.Join(dir, ".git", "HEAD")))
		}, "repository-unreadable"},
		"malformed configuration": {func(t *testing.T, dir string, _ func(...string) string, _ *provenance.Options) {
			put(t, dir, ".git/config", "[core\n")
		}, "repository-unreadable"},
		"corrupted index": {func(t *testing.T, dir string, _ func(...string) string, _ *provenance.Options) {
			put(t, dir, ".git/index", "garbage")
		}, "repository-unreadable"},
		"unborn HEAD": {func(t *testing.T, dir string, git func(...string) string, _ *provenance.Options) {
			git("checkout", "-q", "--orphan", "fresh")
		}, "no-commit"},
		"HEAD of a missing commit": {func(t *testing.T, dir string, git func(...string) string, _ *provenance.Options) {
			mustDo(t, os.Remove(object(dir, git("rev-parse", "HEAD"))))
		}, "no-commit"},
		"safe.directory refuses": {func(t *testing.T, dir string, _ func(...string) string, o *provenance.Options) {
			o.Git = older(t, "fatal: detected dubious ownership in repository")
		}, "repository-unreadable"},
		"another user's, above": {func(t *testing.T, dir string, _ func(...string) string, o *provenance.Options) {
			if err := os.Lchown(filepath.Join(dir, ".git"), 65534, -1); err != nil {
				t.Skipf("needs a file of another user: %v", err)
			}
			o.Dir = filepath.Join(dir, "sub")
		}, "repository-foreign"},
		"detached": {func(t *testing.T, dir string, git func(...string) string, _ *provenance.Options) {
			git("checkout", "-q", "--detach")
		}, "no-ref"},
		"none": {func(t *testing.T, dir string, _ func(...string) string, o *provenance.Options) {
			o.Dir = t.TempDir()
		}, "no-source"},
		"shallow": {func(t *testing.T, dir string, git func(...string) string, o *provenance.Options) {
			o.Dir = filepath.Join(t.TempDir(), "shallow")
			git("clone", "-q", "--depth=1", "file://"+dir, o.Dir)
			git("-C", o.Dir, "remote", "set-url", "origin", "https://git.example/app")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, git := repository(t)
			git("remote", "add", "origin", "https://git.example/app")
			commit := git("rev-parse", "HEAD")
			o := provenance.Options{Dir: dir}
			c.damage(t, dir, git, &o)
			p, all := warned(t, o)
			if strings.Join(reasons(all), " ") != c.reason {
				t.Errorf("%v, want %q", all, c.reason)
			}
			known := c.reason == "" || c.reason == "no-ref"
			if sources := p.Sources(); known != (len(sources) == 1) || known && sources[0].Commit != commit {
				t.Errorf("sources %v", sources)
			}
			for _, w := range all {
				if w.Detail == "" || !strings.Contains(w.String(), c.reason) {
					t.Errorf("%q", w)
				}
			}
		})
	}
}

func TestAttack_S6_ARepositoryAroundABrokenOneIsNotTheSource(t *testing.T) {
	dir, _ := repository(t)
	inner := filepath.Join(dir, "vendor", "app")
	put(t, inner, ".git/HEAD", "garbage")
	tree, err := provenance.ReadTree(t.Context(), provenance.WorkTreeOptions{Dir: inner})
	if !errors.Is(err, provenance.ErrUnreadableTree) {
		t.Errorf("%+v, %v; want ErrUnreadableTree", tree, err)
	}
}

func TestFromEnvironment_AnEnvironmentMakesUpForTheTree(t *testing.T) {
	dir, git := repository(t)
	env := environment(t, "github-actions")
	env["GITHUB_SHA"] = git("rev-parse", "HEAD")
	git("checkout", "-q", "--detach")
	p, all := warned(t, provenance.Options{Dir: dir, Lookup: lookup(env)})
	if s := p.Sources(); len(all) > 0 || len(s) != 1 || s[0].Ref == "" {
		t.Errorf("sources %v, warnings %v", s, all)
	}
	// And the other way round.
	git("checkout", "-q", "main")
	git("remote", "add", "origin", "https://git.example/app")
	env = environment(t, "jenkins")
	env["GIT_URL"], env["GIT_COMMIT"] = `C:\repos\app`, git("rev-parse", "HEAD")
	p, all = warned(t, provenance.Options{Dir: dir, Lookup: lookup(env)})
	want := predicate.GitSource{URI: "git+https://git.example/app", Ref: "refs/heads/main", Commit: git("rev-parse", "HEAD")}
	if s := p.Sources(); strings.Join(reasons(all), " ") != "remote-left-out" || len(s) != 1 || s[0] != want {
		t.Errorf("sources %v, warnings %v; want %v", s, all, want)
	}
}

func TestEnvironment_RemotesWithoutURIAreLeftOut(t *testing.T) {
	for system, variable := range map[string]string{
		"jenkins": "GIT_URL", "buildkite": "BUILDKITE_REPO", "circleci": "CIRCLE_REPOSITORY_URL", "azure-pipelines": "BUILD_REPOSITORY_URI",
		"aws-codebuild": "CODEBUILD_SOURCE_REPO_URL", "google-cloud-build": "SOURCE_URL", "tekton": "TEKTON_SOURCE_URL",
	} {
		for _, value := range []string{`C:\repos\app`, `\\server\share`, "/srv/git/app", "../app", "bucket/key.zip", "https://u:1/S3CR3T@h/a", "\xff:\x01"} {
			env := environment(t, system)
			env[variable] = value
			f := facts(t, system, env)
			if d := f.Dependencies; len(d) != 1 || d[0].URI != "" || d[0].Digest["gitCommit"] == "" || f.ExternalParameters["repository"] != nil ||
				strings.Join(reasons(f.Warnings), " ") != "remote-left-out" || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0].Detail, variable) {
				t.Errorf("%s: %s: %+v", system, value, f)
			}
			text, err := json.Marshal(f)
			if err != nil || strings.Contains(string(text), "S3CR3T") {
				t.Errorf("%s: %s, %v", system, text, err)
			}
		}
		env := environment(t, system)
		env[variable] = "git@git.example:größe/my app"
		if d := facts(t, system, env).Dependencies; !strings.HasPrefix(d[0].URI, "git+ssh://git.example/gr%C3%B6%C3%9Fe/my%20app") {
			t.Errorf("%s: %v", system, d)
		}
	}
}

func TestEnvironment_AnAlternativeRemoteIsTaken(t *testing.T) {
	env := environment(t, "woodpecker")
	env["CI_REPO_CLONE_URL"] = "/srv/git/app"
	f := facts(t, "woodpecker", env)
	if !strings.HasPrefix(f.Dependencies[0].URI, "git+https://") || len(f.Warnings) > 0 {
		t.Errorf("%+v", f)
	}
}

func TestEnvironment_RefsOfAnyLetters(t *testing.T) {
	env := environment(t, "drone")
	env["DRONE_COMMIT_REF"] = "refs/heads/größe#1"
	if f := facts(t, "drone", env); !strings.HasSuffix(f.Dependencies[0].URI, "@refs/heads/gr%C3%B6%C3%9Fe%231") {
		t.Errorf("%+v", f)
	}
}

func TestWithoutTree_PassesOtherErrorsOn(t *testing.T) {
	for _, err := range []error{context.Canceled, provenance.ErrConflict, exec.ErrNotFound} {
		if f, got := provenance.WithoutTree(err); !errors.Is(got, err) || len(f.Warnings) > 0 {
			t.Errorf("%v: %+v, %v", err, f, got)
		}
	}
}
