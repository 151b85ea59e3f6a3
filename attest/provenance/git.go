package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// git runs the git program on one directory.
type git struct{ program, dir string }

func newGit(o WorkTreeOptions) (*git, error) {
	g := &git{program: o.Git, dir: o.Dir}
	if g.dir == "" {
		g.dir = "."
	}
	dir, err := filepath.Abs(g.dir)
	if err != nil {
		return nil, err
	}
	if g.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, &treeError{kind: ErrNoWorkTree, cause: err}
	}
	if g.program == "" {
		if g.program, err = exec.LookPath("git"); err != nil {
			return nil, g.notFound(err)
		}
	}
	return g, nil
}

// notFound returns the error of a git program that cannot be run. It matters only in
// a repository.
func (g *git) notFound(cause error) error {
	if nearestRepository(g.dir) == "" {
		return &treeError{kind: ErrNoWorkTree, cause: cause}
	}
	return &treeError{kind: ErrNoWorkTree, reason: WarnNoGit, cause: fmt.Errorf("the git program cannot be run: %w", cause)}
}

// nearestRepository returns the directory that holds the nearest .git, from a
// directory upwards; "" if there is none.
func nearestRepository(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// top returns the root of the directory's work tree. It refuses:
//
//   - A work tree elsewhere, which core.worktree may name.
//   - A .git above the directory that belongs to another user, as any user can
//     put one into /tmp. The caller vouches for the directory itself alone.
//   - A repository above the nearest .git. Git passes over a .git that it cannot
//     read, and would take the repository around it for the source.
func (g *git) top(ctx context.Context) (string, error) {
	nearest := nearestRepository(g.dir)
	text, err := g.run(ctx, "rev-parse", "--show-toplevel")
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "", g.notFound(err)
	case err != nil && nearest == "":
		return "", &treeError{kind: ErrNoWorkTree, cause: err}
	case err != nil:
		return "", err
	}
	top := filepath.FromSlash(text)
	info, err := os.Stat(top)
	if err != nil {
		return "", err
	}
	if !isOrIsBelow(g.dir, info) {
		return "", foreign("%s is not in the work tree %s", g.dir, top)
	}
	if nearest != "" && !sameFile(nearest, top) {
		return "", fmt.Errorf("git does not read %s, and found the repository of %s around it", filepath.Join(nearest, ".git"), top)
	}
	if here, err := os.Stat(g.dir); err == nil && os.SameFile(here, info) {
		return top, nil
	}
	meta, err := os.Lstat(filepath.Join(top, ".git"))
	if err != nil {
		return "", err
	}
	if !ownedByThisUser(meta) {
		return "", foreign("%s belongs to another user; give %s itself as the directory to trust it", filepath.Join(top, ".git"), top)
	}
	return top, nil
}

func foreign(format string, args ...any) error {
	return &treeError{kind: ErrForeignTree, reason: WarnForeign, cause: fmt.Errorf(format, args...)}
}

// isOrIsBelow reports whether a directory is another one, or lies below it.
func isOrIsBelow(dir string, other fs.FileInfo) bool {
	for {
		if info, err := os.Stat(dir); err == nil && os.SameFile(info, other) {
			return true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		dir = parent
	}
}

// safeConfig overrides what a repository's configuration could make git run.
//
// Source: git-config(1): core.fsmonitor, core.hooksPath, core.sshCommand,
// diff.external, core.pager, gpg.program.
var safeConfig = []string{
	"core.fsmonitor=false", "core.hooksPath=" + os.DevNull, "core.sshCommand=false", "diff.external=", "core.pager=cat",
	"gpg.program=false", "core.untrackedCache=false", "log.showSignature=false", "submodule.recurse=false", "protocol.allow=never",
}

// maxGitOutput bounds the output of one git command, in bytes.
const maxGitOutput = 64 << 20

// run returns the output of a git command without the last line feed.
func (g *git) run(ctx context.Context, args ...string) (string, error) {
	text, err := g.raw(ctx, args...)
	return strings.TrimSuffix(text, "\n"), err
}

func (g *git) raw(ctx context.Context, args ...string) (string, error) {
	full := []string{"--no-optional-locks", "--no-pager", "-C", g.dir}
	for _, c := range safeConfig {
		full = append(full, "-c", c)
	}
	cmd := exec.CommandContext(ctx, g.program, append(full, args...)...)
	// Neither the user's configuration nor a GIT_DIR in the environment decides
	// what is found. No protocol is allowed: an older git does not know
	// GIT_NO_LAZY_FETCH, and "ext::" in a remote is a program.
	cmd.Env = []string{
		"GIT_ALLOW_PROTOCOL=", "GIT_NO_REPLACE_OBJECTS=1",
		"LC_ALL=C", "HOME=" + os.DevNull, "XDG_CONFIG_HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=" + safeDirectory(g.dir),
	}
	out := &boundedBuffer{limit: maxGitOutput}
	var stderr boundedBuffer
	stderr.limit = 4 << 10
	cmd.Stdout, cmd.Stderr = out, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(redactText(stderr.String(), nil)))
	}
	return out.String(), nil
}

// boundedBuffer keeps what is written up to its limit, and fails beyond.
type boundedBuffer struct {
	bytes.Buffer
	limit int
}

// Write implements io.Writer.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, fmt.Errorf("more than %d bytes of output", b.limit)
	}
	return b.Buffer.Write(p)
}
