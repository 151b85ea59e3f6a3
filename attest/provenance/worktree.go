package provenance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// Errors of ReadTree, for errors.Is. WithoutTree turns them into warnings.
var (
	// ErrNoWorkTree: the directory is not in a git work tree with a commit, or
	// there is no git program.
	ErrNoWorkTree = errors.New("no git work tree")
	// ErrUnreadableTree: there is a git repository, and git cannot read it or
	// refuses to.
	ErrUnreadableTree = errors.New("unreadable git repository")
	// ErrForeignTree: the work tree of the repository is elsewhere, or the
	// repository lies above the directory and belongs to another user.
	ErrForeignTree = errors.New("the git repository is not the directory's own")
)

// ErrTreeChanged says that a build changed the commit or the remote of its own work
// tree.
var ErrTreeChanged = errors.New("the build changed the commit or the remote of its work tree")

// WorkTreeOptions name a work tree.
type WorkTreeOptions struct {
	// Dir is a directory in the work tree. Empty: the current directory.
	Dir string
	// Git is the path of the git program. Empty: git is looked up in PATH.
	Git string
}

// Tree is what git says about a work tree.
type Tree struct {
	// Commit is the commit that is checked out, in hex.
	Commit string
	// Ref is the branch that is checked out, such as refs/heads/main. Empty: HEAD
	// is detached.
	Ref string
	// Tags are the tags of the commit, sorted.
	Tags []string
	// Remote is the URI of the remote, without login. It is the remote called
	// origin, or else the only one, or else the one that the branch follows.
	// Empty: there is none, or it has no URI; Warnings says which.
	Remote string
	// Dirty is true if the files, their executable bits or the submodules differ
	// from the commit, or if there are untracked files that are not ignored. The
	// .gitignore files of the commit alone say what is ignored.
	Dirty bool
	// Committed is the committer's time.
	Committed time.Time
	// Changed is true if Recheck found another branch, other tags, or a clean
	// tree that has become dirty.
	Changed bool
	// Warnings say what is missing of the source: the remote, or the ref.
	Warnings []Warning
}

// WorkTree returns the facts of a git work tree. The dependency is the remote with
// commit and branch. The internal parameter "git" holds commit, ref, tags, and
// whether the tree is dirty.
//
// Call WorkTree before any step of the build runs: a step can rewrite .git with its
// commit and its remote. To read the tree before and after a build, use ReadTree
// and Recheck.
//
// Errors are those of ReadTree.
func WorkTree(ctx context.Context, o WorkTreeOptions) (Facts, error) {
	t, err := ReadTree(ctx, o)
	if err != nil {
		return Facts{}, err
	}
	return t.Facts(), nil
}

// Facts returns what the work tree says about a build from it.
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
	return Facts{
		InternalParameters: map[string]any{"git": git},
		Dependencies:       []predicate.ResourceDescriptor{sourceAt(t.Remote, t.Ref, t.Commit)},
		Warnings:           slices.Clone(t.Warnings),
	}
}

// sourceAt describes a source by its commit, and by its URI if the remote has one.
func sourceAt(remote, ref, commit string) predicate.ResourceDescriptor {
	d := predicate.ResourceDescriptor{Digest: map[string]string{"gitCommit": commit}}
	if remote == "" {
		d.Name = "source"
	} else {
		d.URI = "git+" + withRef(remote, ref)
	}
	return d
}

// ReadTree reads a git work tree. It believes neither the repository nor its
// configuration:
//
//   - Programs that the configuration names (fsmonitor, filters, SSH commands,
//     external diffs) do not run. Files are compared without filters, so a tree
//     with filters or converted line ends may look dirty.
//   - The commit's ID is computed from the files by way of blobs and trees.
//     Replaced and forged objects hide nothing.
//
// Shallow clones, linked work trees and submodules are read. A remote without a URI
// is left out with a warning in Tree.Warnings.
//
// Errors are ErrNoWorkTree, ErrUnreadableTree, ErrForeignTree, and the context's.
func ReadTree(ctx context.Context, o WorkTreeOptions) (*Tree, error) {
	t, err := readTree(ctx, o)
	switch {
	case err == nil:
		return t, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	if _, typed := errors.AsType[*treeError](err); !typed {
		err = &treeError{ErrUnreadableTree, WarnUnreadable, err}
	}
	return nil, err
}

func readTree(ctx context.Context, o WorkTreeOptions) (*Tree, error) {
	g, err := newGit(o)
	if err != nil {
		return nil, err
	}
	top, err := g.top(ctx)
	if err != nil {
		return nil, err
	}
	commit, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if err != nil || !commitPattern().MatchString(commit) {
		return nil, &treeError{ErrNoWorkTree, WarnNoCommit, fmt.Errorf("HEAD of %s names no commit", top)}
	}
	t := &Tree{Commit: commit}
	if t.Ref, err = g.run(ctx, "symbolic-ref", "--quiet", "HEAD"); err != nil {
		t.Ref = ""
		t.Warnings = append(t.Warnings, Warning{WarnNoRef, "HEAD is detached, so the source has no ref"})
	}
	if err := g.remote(ctx, t); err != nil {
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
		return nil, fmt.Errorf("the time of the commit is malformed: %w", err)
	}
	t.Dirty, err = (&git{g.program, top}).dirty(ctx, commit, 0)
	return t, err
}

// Recheck reads the work tree again after a build in it, with the options of
// ReadTree. The fields of the Tree stay as they were before the build, except
// Changed.
//
// Errors are ErrTreeChanged if the commit or the remote changed or cannot be read any
// more, and the context's.
func (t *Tree) Recheck(ctx context.Context, o WorkTreeOptions) error {
	now, err := ReadTree(ctx, o)
	_, gone := errors.AsType[*treeError](err)
	switch {
	case gone:
		return fmt.Errorf("%w: %w", ErrTreeChanged, err)
	case err != nil:
		return err
	case now.Commit != t.Commit || now.Remote != t.Remote:
		return fmt.Errorf("%w: from %s of %q to %s of %q", ErrTreeChanged, t.Commit, t.Remote, now.Commit, now.Remote)
	}
	t.Changed = t.Changed || now.Ref != t.Ref || now.Dirty != t.Dirty || !slices.Equal(now.Tags, t.Tags)
	return nil
}

var commitPattern = lazy.Regexp(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// remote finds the tree's remote and its URI, or warns that there is none.
func (g *git) remote(ctx context.Context, t *Tree) error {
	text, err := g.run(ctx, "remote")
	if err != nil {
		return err
	}
	names := strings.Fields(text)
	name, why := g.chooseRemote(ctx, names, t.Ref)
	if name == "" {
		t.Warnings = append(t.Warnings, Warning{WarnNoRemote, why})
		return nil
	}
	// The first URL is the one that git fetches from. It is read as it is written:
	// "remote get-url" would apply insteadOf, which is where logins are put.
	urls, err := g.run(ctx, "config", "-z", "--get-all", "remote."+name+".url")
	if err != nil {
		t.Warnings = append(t.Warnings, Warning{WarnNoRemote, fmt.Sprintf("the remote %q has no URL, so the source has no URI", name)})
		return ctx.Err()
	}
	written, _, _ := strings.Cut(urls, "\x00")
	if t.Remote, why = remoteURI(g.longForm(ctx, written)); why != "" {
		t.Warnings = append(t.Warnings, Warning{WarnRemote, fmt.Sprintf("the remote %q %s, so the source has no URI", name, why)})
	}
	return ctx.Err()
}

// chooseRemote returns the name of the remote that the tree comes from, or why that
// cannot be told.
func (g *git) chooseRemote(ctx context.Context, names []string, ref string) (name, why string) {
	switch {
	case len(names) == 0:
		return "", "the work tree has no remote, so the source has no URI"
	case slices.Contains(names, "origin"):
		return "origin", ""
	case len(names) == 1:
		return names[0], ""
	}
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	if isBranch {
		followed, err := g.run(ctx, "config", "--get", "branch."+branch+".remote")
		if err == nil && slices.Contains(names, followed) {
			return followed, ""
		}
	}
	return "", fmt.Sprintf("the work tree has %d remotes, none is called origin, and the branch follows none of them, so the source has no URI", len(names))
}

// longForm applies the repository's own insteadOf to a remote that is not a URL,
// such as "gh:team/app". The longest prefix counts, as git-config(1) says.
func (g *git) longForm(ctx context.Context, written string) string {
	if strings.Contains(written, "://") {
		return written
	}
	list, err := g.run(ctx, "config", "-z", "--get-regexp", `^url\..*\.insteadof$`)
	if err != nil {
		return written // git exits with 1 if there is none
	}
	best, base := "", ""
	for entry := range strings.SplitSeq(list, "\x00") {
		key, prefix, _ := strings.Cut(entry, "\n")
		key = strings.TrimSuffix(strings.TrimPrefix(key, "url."), ".insteadof")
		if len(prefix) > len(best) && strings.HasPrefix(written, prefix) {
			best, base = prefix, key
		}
	}
	return base + written[len(best):]
}
