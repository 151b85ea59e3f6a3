package provenance

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// ErrNoWorkTree says that a directory is in no git work tree with a commit, or
// that there is no git to ask.
var ErrNoWorkTree = errors.New("no git work tree")

// ErrTreeChanged says that a build has changed which commit or which remote the
// work tree names that it was built from.
var ErrTreeChanged = errors.New("the build changed the commit or the remote of its work tree")

// ErrForeignTree says that the git repository which was found is not one of the
// directory: its work tree is elsewhere, or it lies above and belongs to another
// user.
var ErrForeignTree = errors.New("the git repository is not the directory's own")

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
	// Dirty is true where files, their executable bits or submodules differ from
	// the commit, or there are files that it neither tracks nor ignores. What to
	// ignore only the .gitignore files of the commit say: neither the
	// configuration, nor a .gitignore that the commit does not have.
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
// Errors are ErrNoWorkTree, ErrForeignTree, those of git, and of the context.
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
	source := predicate.ResourceDescriptor{Name: "source", Digest: map[string]string{"gitCommit": t.Commit}}
	if t.Remote != "" {
		source.Name, source.URI = "", "git+"+t.Remote
		if t.Ref != "" {
			source.URI += "@" + t.Ref
		}
	}
	return Facts{InternalParameters: map[string]any{"git": git}, Dependencies: []predicate.ResourceDescriptor{source}}
}

// ReadTree asks git about a work tree. A repository's own configuration can name
// programs for git to run (fsmonitor, filters, an SSH command, external diffs).
// Nothing is run: what could be is overridden or not asked for. Whether files
// have changed is therefore told from their content as git stores it without
// filters, so that in a tree with filters or converted line ends files may look
// changed that are not.
//
// Nor is the repository believed: the commit's ID is computed from the files by
// way of blobs and trees. Objects that replace others, or are not what their name
// says, hide nothing.
func ReadTree(ctx context.Context, o WorkTreeOptions) (*Tree, error) {
	g, err := newGit(o)
	if err != nil {
		return nil, err
	}
	top, err := g.top(ctx)
	if err != nil {
		return nil, err
	}
	commit, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || !commitPattern().MatchString(commit) {
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
	if t.Dirty, err = (&git{g.program, top}).dirty(ctx, commit, 0); err != nil {
		return nil, err
	}
	return t, nil
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
	commitPattern = lazy.Regexp(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)
)

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
var scpForm = lazy.Regexp(`^(?:[^@/\s]+@)?([A-Za-z0-9.-]+):([^/:@\s][^@\s]*)$`)

// remoteURL writes a remote as a URL without credentials; a path on this machine
// tells nobody anything, and is left out.
func remoteURL(text string) string {
	if clean := withoutCredentials(text); clean != "" {
		if u, err := url.Parse(clean); err != nil || u.Scheme == "file" {
			return ""
		}
		return clean
	}
	if m := scpForm().FindStringSubmatch(text); m != nil && !strings.Contains(text, "://") {
		return "ssh://" + m[1] + "/" + m[2]
	}
	return ""
}
