package provenance_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// repository is a git repository with one commit.
func repository(t testing.TB, init ...string) (dir string, git func(args ...string) string) {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Skip("needs git")
	}
	dir = t.TempDir()
	git = func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program, append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git(append([]string{"init", "-q", "-b", "main"}, init...)...)
	put(t, dir, "a.txt", "a")
	put(t, dir, "sub/b.txt", "b")
	put(t, dir, ".gitignore", "ignored\n")
	if err := os.Symlink("a.txt", filepath.Join(dir, "link")); err != nil {
		t.Skip("needs symbolic links")
	}
	git("add", ".")
	git("commit", "-qm", "first")
	return dir, git
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readTree(t testing.TB, dir string) *provenance.Tree {
	t.Helper()
	tree, err := provenance.ReadTree(context.Background(), provenance.WorkTreeOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestWorkTreeTellsCommitBranchTagsAndRemote(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		dir, git := repository(t, "--object-format="+format)
		git("tag", "v1.0.0")
		git("tag", "-a", "-m", "x", "annotated")
		git("remote", "add", "other", "https://other.example/x")
		git("remote", "add", "origin", "https://user:secret@git.example/team/app.git?token=x")
		tree := readTree(t, filepath.Join(dir, "sub"))
		if tree.Commit != git("rev-parse", "HEAD") || tree.Ref != "refs/heads/main" || tree.Dirty || tree.Committed.IsZero() ||
			strings.Join(tree.Tags, " ") != "annotated v1.0.0" || tree.Remote != "https://git.example/team/app.git" {
			t.Errorf("%s: %+v", format, tree)
		}
		facts := tree.Facts()
		if d := facts.Dependencies[0]; d.URI != "git+https://git.example/team/app.git@refs/heads/main" || d.Digest["gitCommit"] != tree.Commit {
			t.Errorf("%+v", d)
		}
		git("checkout", "-q", "--detach")
		if tree = readTree(t, dir); tree.Ref != "" {
			t.Errorf("detached: %+v", tree)
		}
	}
}

func TestWorkTreeTellsWhatIsDirty(t *testing.T) {
	for name, change := range map[string]func(dir string, git func(...string) string){
		"a file changed":       func(dir string, _ func(...string) string) { put(t, dir, "a.txt", "b") },
		"same size, same time": func(dir string, _ func(...string) string) { sameTime(t, filepath.Join(dir, "a.txt"), "z") },
		"a file added":         func(dir string, git func(...string) string) { put(t, dir, "c.txt", "c"); git("add", "c.txt") },
		"a file untracked":     func(dir string, _ func(...string) string) { put(t, dir, "d/c.txt", "c") },
		"a file removed":       func(dir string, _ func(...string) string) { mustDo(t, os.Remove(filepath.Join(dir, "a.txt"))) },
		"a link changed": func(dir string, _ func(...string) string) {
			mustDo(t, os.Remove(filepath.Join(dir, "link")))
			mustDo(t, os.Symlink("sub/b.txt", filepath.Join(dir, "link")))
		},
		"a file for a link": func(dir string, _ func(...string) string) {
			mustDo(t, os.Remove(filepath.Join(dir, "link")))
			put(t, dir, "link", "a.txt")
		},
		"assumed unchanged": func(dir string, git func(...string) string) {
			git("update-index", "--assume-unchanged", "a.txt")
			put(t, dir, "a.txt", "hidden")
		},
	} {
		dir, git := repository(t)
		put(t, dir, "ignored", "x")
		if readTree(t, dir).Dirty {
			t.Errorf("%s: dirty before", name)
		}
		change(dir, git)
		if !readTree(t, dir).Dirty {
			t.Errorf("%s: not dirty", name)
		}
	}
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sameTime changes a file in a way that its size and time do not show.
func sameTime(t testing.TB, path, content string) {
	t.Helper()
	info, err := os.Stat(path)
	mustDo(t, err)
	mustDo(t, os.WriteFile(path, []byte(content), 0o644))
	mustDo(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

func TestAttack_S5_NothingThatTheRepositoryConfiguresIsRun(t *testing.T) {
	dir, git := repository(t)
	canary := filepath.Join(t.TempDir(), "canary")
	script := filepath.Join(t.TempDir(), "evil.sh")
	mustDo(t, os.WriteFile(script, []byte("#!/bin/sh\ntouch "+canary+"\ncat\n"), 0o755))
	for _, key := range []string{
		"core.fsmonitor", "core.sshCommand", "diff.external", "core.pager", "gpg.program", "core.editor", "filter.evil.clean", "filter.evil.smudge",
		"filter.evil.process", "diff.evil.textconv", "diff.evil.command", "credential.helper", "alias.rev-parse", "pager.show", "core.alternateRefsCommand",
	} {
		git("config", key, script)
	}
	git("config", "log.showSignature", "true")
	put(t, dir, ".git/info/attributes", "* filter=evil diff=evil\n")
	put(t, dir, ".gitattributes", "* filter=evil diff=evil\n")
	for _, hook := range []string{"post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"} {
		path := filepath.Join(dir, ".git", "hooks", hook)
		mustDo(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mustDo(t, os.WriteFile(path, []byte("#!/bin/sh\ntouch "+canary+"\n"), 0o755))
	}
	put(t, dir, "a.txt", "changed")
	tree := readTree(t, dir)
	if !tree.Dirty {
		t.Error("not dirty")
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a program that the repository names was run")
	}
}

func TestRemotesAreRecordedWithoutCredentials(t *testing.T) {
	for url, want := range map[string]string{
		"git@git.example:team/app.git":                  "ssh://git.example/team/app.git",
		"ssh://git:password@git.example:2222/team/app":  "ssh://git.example:2222/team/app",
		"https://oauth2:glpat-secret@git.example/x.git": "https://git.example/x.git",
		"https://token@git.example/x#frag":              "https://git.example/x",
		"/srv/git/x.git":                                "",
		"file:///srv/git/x.git":                         "",
		"../x":                                          "",
	} {
		dir, git := repository(t)
		git("remote", "add", "upstream", url)
		tree := readTree(t, dir)
		if tree.Remote != want {
			t.Errorf("%s: %q, want %q", url, tree.Remote, want)
		}
		text, err := json.Marshal(tree.Facts())
		if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "password") || strings.Contains(string(text), "token") {
			t.Errorf("%s: %s, %v", url, text, err)
		}
	}
}

func TestNoWorkTreeIsATypedError(t *testing.T) {
	empty := t.TempDir()
	for name, o := range map[string]provenance.WorkTreeOptions{
		"no repository": {Dir: empty},
		"no directory":  {Dir: filepath.Join(empty, "nowhere")},
	} {
		if _, err := provenance.WorkTree(context.Background(), o); !errors.Is(err, provenance.ErrNoWorkTree) {
			t.Errorf("%s: %v, want ErrNoWorkTree", name, err)
		}
	}
	dir, git := repository(t)
	git("checkout", "-q", "--orphan", "fresh")
	if _, err := provenance.WorkTree(context.Background(), provenance.WorkTreeOptions{Dir: dir}); !errors.Is(err, provenance.ErrNoWorkTree) {
		t.Errorf("no commit: %v, want ErrNoWorkTree", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := provenance.WorkTree(ctx, provenance.WorkTreeOptions{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := provenance.WorkTree(context.Background(), provenance.WorkTreeOptions{Dir: dir, Git: filepath.Join(empty, "git")}); !errors.Is(err, provenance.ErrNoWorkTree) {
		t.Errorf("no git: %v", err)
	}
}

func TestLinkedWorkTreesAndShallowClonesAreRead(t *testing.T) {
	dir, git := repository(t)
	linked := filepath.Join(t.TempDir(), "linked")
	git("worktree", "add", "-q", "-b", "side", linked)
	if tree := readTree(t, linked); tree.Ref != "refs/heads/side" || tree.Dirty {
		t.Errorf("%+v", tree)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	git("clone", "-q", "--depth=1", "file://"+dir, shallow)
	if tree := readTree(t, shallow); tree.Commit != git("rev-parse", "HEAD") || tree.Dirty {
		t.Errorf("%+v", tree)
	}
}

func TestAttack_S7_WhatABuildDoesToItsWorkTreeIsFoundOut(t *testing.T) {
	for name, c := range map[string]struct {
		build func(dir string, git func(...string) string)
		err   error
	}{
		"nothing":      {func(string, func(...string) string) {}, nil},
		"another file": {func(dir string, _ func(...string) string) { put(t, dir, "made", "x") }, nil},
		"a tag":        {func(_ string, git func(...string) string) { git("tag", "v9") }, nil},
		"a branch":     {func(_ string, git func(...string) string) { git("checkout", "-qb", "victim") }, nil},
		"a remote": {func(_ string, git func(...string) string) {
			git("remote", "set-url", "origin", "https://git.example/victim")
		}, provenance.ErrTreeChanged},
		"a commit":      {func(_ string, git func(...string) string) { git("commit", "--allow-empty", "-qm", "x") }, provenance.ErrTreeChanged},
		"no repository": {func(dir string, _ func(...string) string) { mustDo(t, os.RemoveAll(filepath.Join(dir, ".git"))) }, provenance.ErrTreeChanged},
		"broken":        {func(dir string, _ func(...string) string) { put(t, dir, ".git/HEAD", "garbage") }, provenance.ErrTreeChanged},
	} {
		dir, git := repository(t)
		git("remote", "add", "origin", "https://git.example/fork")
		tree := readTree(t, dir)
		before := *tree
		c.build(dir, git)
		err := tree.Recheck(t.Context(), provenance.WorkTreeOptions{Dir: dir})
		if !errors.Is(err, c.err) || tree.Changed != (err == nil && name != "nothing") {
			t.Errorf("%s: changed %v, %v; want %v", name, tree.Changed, err, c.err)
		}
		if tree.Commit != before.Commit || tree.Remote != before.Remote || tree.Ref != before.Ref || tree.Dirty || len(tree.Tags) > 0 {
			t.Errorf("%s: %+v is no more %+v", name, tree, before)
		}
	}
}
