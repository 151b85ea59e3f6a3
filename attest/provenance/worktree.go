package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
)

// ErrNoWorkTree says that a directory is in no git work tree with a commit, or
// that there is no git to ask.
var ErrNoWorkTree = errors.New("no git work tree")

// ErrTreeChanged says that a build has changed which commit or which remote the
// work tree names that it was built from.
var ErrTreeChanged = errors.New("the build changed the commit or the remote of its work tree")

// WorkTreeOptions say which work tree is looked at.
type WorkTreeOptions struct {
	// Dir is a directory in it. Empty: the current directory.
	Dir string
	// Git is the path of the git program. Empty: the one that is found in PATH.
	Git string
}

// Tree is what git says about a work tree.
type Tree struct {
	// Commit is the commit that is checked out, in hex.
	Commit string
	// Ref is the branch that is checked out, such as refs/heads/main; empty where
	// none is.
	Ref string
	// Tags are those of the commit, sorted.
	Tags []string
	// Remote is the URL of the remote called origin, or else of the first one,
	// without credentials; empty where there is none.
	Remote string
	// Dirty is true where files that git tracks differ from the commit, or there
	// are files that it neither tracks nor ignores.
	Dirty bool
	// Committed is the committer's time.
	Committed time.Time
	// Changed is true where Recheck has found another branch, other tags, or that
	// what was clean is dirty.
	Changed bool
}

// WorkTree gives the facts of a git work tree: its remote with commit and branch
// as a dependency, and whether it is dirty, with its tags, as internal parameters.
// Call it before anything of the build runs: what a build can write to, it can
// rewrite, and .git with its commit and its remote is part of that. After a build,
// use ReadTree before and Recheck behind it.
//
// Errors are ErrNoWorkTree, those of git, and of the context.
func WorkTree(ctx context.Context, o WorkTreeOptions) (Facts, error) {
	t, err := ReadTree(ctx, o)
	if err != nil {
		return Facts{}, err
	}
	return t.Facts(), nil
}

// Facts are what the work tree says about a build from it.
func (t *Tree) Facts() Facts {
	git := map[string]any{"commit": t.Commit, "dirty": t.Dirty}
	if len(t.Tags) > 0 {
		tags := make([]any, len(t.Tags))
		for i, tag := range t.Tags {
			tags[i] = tag
		}
		git["tags"] = tags
	}
	if t.Ref != "" {
		git["ref"] = t.Ref
	}
	if t.Changed {
		git["changed"] = true
	}
	source := attest.ResourceDescriptor{Name: "source", Digest: map[string]string{"gitCommit": t.Commit}}
	if t.Remote != "" {
		source.Name, source.URI = "", "git+"+t.Remote
		if t.Ref != "" {
			source.URI += "@" + t.Ref
		}
	}
	return Facts{InternalParameters: map[string]any{"git": git}, Dependencies: []attest.ResourceDescriptor{source}}
}

// ReadTree asks git about a work tree. A repository's own configuration can name
// programs for git to run (fsmonitor, filters, an SSH command, external diffs).
// Nothing is run: what could be is overridden or not asked for. Whether files
// have changed is therefore told from their content as git stores it without
// filters, so that in a tree with filters or converted line ends files may look
// changed that are not.
func ReadTree(ctx context.Context, o WorkTreeOptions) (*Tree, error) {
	g, err := newGit(o)
	if err != nil {
		return nil, err
	}
	commit, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || !commitPattern.MatchString(commit) {
		return nil, fmt.Errorf("%w: %s has no commit: %w", ErrNoWorkTree, g.dir, errors.Join(err, errNoCommit))
	}
	t := &Tree{Commit: commit}
	// No branch and no remote are no errors.
	t.Ref, _ = g.run(ctx, "symbolic-ref", "--quiet", "HEAD")
	if t.Remote, err = g.remote(ctx); err != nil {
		return nil, err
	}
	tags, err := g.run(ctx, "tag", "--points-at", "HEAD", "--format=%(refname:strip=2)")
	if err != nil {
		return nil, err
	}
	t.Tags = strings.Fields(tags)
	slices.Sort(t.Tags)
	when, err := g.run(ctx, "show", "--no-patch", "--no-show-signature", "--no-notes", "--format=%cI", "HEAD")
	if err != nil {
		return nil, err
	}
	if t.Committed, err = time.Parse(time.RFC3339, when); err != nil {
		return nil, fmt.Errorf("git: the time of the commit is malformed: %w", err)
	}
	t.Dirty, err = g.dirty(ctx)
	return t, err
}

// Recheck reads the tree once more, with the options of ReadTree, after a build
// that ran in it. What was read before stays as it is; that it is not what is
// there now is noted in Changed.
//
// Errors are ErrTreeChanged where the commit or the remote is another one, or gone;
// those of git, and of the context.
func (t *Tree) Recheck(ctx context.Context, o WorkTreeOptions) error {
	now, err := ReadTree(ctx, o)
	switch {
	case errors.Is(err, ErrNoWorkTree):
		return fmt.Errorf("%w: %w", ErrTreeChanged, err)
	case err != nil:
		return err
	case now.Commit != t.Commit || now.Remote != t.Remote:
		return fmt.Errorf("%w: from %s of %q to %s of %q", ErrTreeChanged, t.Commit, t.Remote, now.Commit, now.Remote)
	}
	t.Changed = t.Changed || now.Ref != t.Ref || now.Dirty != t.Dirty || !slices.Equal(now.Tags, t.Tags)
	return nil
}

var (
	errNoCommit   = errors.New("nothing is checked out")
	commitPattern = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)
)

// git runs the git program on one directory.
type git struct{ program, dir string }

func newGit(o WorkTreeOptions) (*git, error) {
	g := &git{program: o.Git, dir: o.Dir}
	if g.program == "" {
		var err error
		if g.program, err = exec.LookPath("git"); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoWorkTree, err)
		}
	}
	if g.dir == "" {
		g.dir = "."
	}
	var err error
	g.dir, err = filepath.Abs(g.dir)
	return g, err
}

// safeConfig overrides what a repository's configuration could make git run.
//
// Source: git-config(1): core.fsmonitor, core.hooksPath, core.sshCommand,
// diff.external, core.pager, gpg.program.
var safeConfig = []string{
	"core.fsmonitor=false", "core.hooksPath=" + os.DevNull, "core.sshCommand=false", "diff.external=", "core.pager=cat",
	"gpg.program=false", "core.untrackedCache=false", "log.showSignature=false", "submodule.recurse=false", "protocol.allow=never",
}

// maxGitOutput bounds what git may say.
const maxGitOutput = 64 << 20

func (g *git) run(ctx context.Context, args ...string) (string, error) {
	full := []string{"--no-optional-locks", "--no-pager", "-C", g.dir}
	for _, c := range safeConfig {
		full = append(full, "-c", c)
	}
	cmd := exec.CommandContext(ctx, g.program, append(full, args...)...)
	// Neither the configuration of whoever runs this nor a GIT_DIR in the
	// environment decides what is found.
	cmd.Env = []string{
		"LC_ALL=C", "HOME=" + os.DevNull, "XDG_CONFIG_HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
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
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// remote finds the URL of origin, or of the first remote.
func (g *git) remote(ctx context.Context) (string, error) {
	names, err := g.run(ctx, "remote")
	if err != nil {
		return "", err
	}
	all := strings.Fields(names)
	if len(all) == 0 {
		return "", nil
	}
	name := all[0]
	if slices.Contains(all, "origin") {
		name = "origin"
	}
	// As it is written: "remote get-url" would apply insteadOf.
	text, err := g.run(ctx, "config", "--get", "remote."+name+".url")
	if err != nil {
		return "", nil // a remote without a URL
	}
	return remoteURL(text), nil
}

// scpForm is the form user@host:path of git's remotes. What has an @ behind the
// colon may be user:password@host; with blanks or two colons it is a command.
var scpForm = regexp.MustCompile(`^(?:[^@/\s]+@)?([A-Za-z0-9.-]+):([^/:@\s][^@\s]*)$`)

// remoteURL writes a remote as a URL without credentials; a path on this machine
// tells nobody anything, and is left out.
func remoteURL(text string) string {
	if clean := withoutCredentials(text); clean != "" {
		if u, err := url.Parse(clean); err != nil || u.Scheme == "file" {
			return ""
		}
		return clean
	}
	if m := scpForm.FindStringSubmatch(text); m != nil && !strings.Contains(text, "://") {
		return "ssh://" + m[1] + "/" + m[2]
	}
	return ""
}

// dirty compares the index with the commit, looks for files that are neither
// tracked nor ignored, and compares the files with the index. "git status" would
// do all of this at once, and run filters.
func (g *git) dirty(ctx context.Context) (bool, error) {
	staged, err := g.run(ctx, "diff-index", "--cached", "--name-only", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none", "HEAD", "--")
	if err != nil || staged != "" {
		return staged != "", err
	}
	others, err := g.run(ctx, "ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z")
	if err != nil || others != "" {
		return others != "", err
	}
	return g.modified(ctx)
}

// modified reports whether a tracked file differs from what the index holds, by
// hashing it here as git hashes blobs: git itself would run the filters that the
// tree's own attributes name.
func (g *git) modified(ctx context.Context) (bool, error) {
	top, err := g.run(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return false, err
	}
	list, err := (&git{g.program, top}).run(ctx, "ls-files", "--stage", "-z")
	if err != nil {
		return false, err
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return false, err
	}
	defer root.Close()
	for entry := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		meta, name, found := strings.Cut(entry, "\t")
		fields := strings.Fields(meta)
		if !found || len(fields) != 3 {
			continue // an empty index
		}
		same, err := sameBlob(root, name, fields[0], fields[1])
		if err != nil || !same {
			return true, err
		}
	}
	return false, nil
}

// boundedBuffer keeps the beginning of what is written, and fails beyond.
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
