package provenance

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxSubmodules bounds how deep submodules nest.
const maxSubmodules = 10

// gitEntry is a file, a link or a submodule of the index.
type gitEntry struct{ mode, id, name string }

const (
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
)

// dirty reports whether a work tree, of which g.dir is the root, differs from a
// commit: whether the files are not what the index holds, the index not what the
// commit names, or there are others. "git status" would run filters, and believe
// what the repository's files say about one another.
func (g *git) dirty(ctx context.Context, commit string, depth int) (bool, error) {
	entries, merged, err := g.index(ctx)
	if err != nil || !merged {
		return true, err
	}
	tree, err := g.treeOf(ctx, commit)
	if err != nil {
		return true, err
	}
	if id, _ := treeID(entries, "", len(commit)); id != tree {
		return true, nil
	}
	others, err := g.others(ctx)
	if err != nil || others {
		return true, err
	}
	return g.modified(ctx, entries, depth)
}

// index lists the index; merged is false where it has more than one version of a
// file.
func (g *git) index(ctx context.Context) (entries []gitEntry, merged bool, err error) {
	list, err := g.run(ctx, "ls-files", "--stage", "-z")
	if err != nil {
		return nil, false, err
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		meta, name, found := strings.Cut(line, "\t")
		fields := strings.Fields(meta)
		if !found || len(fields) != 3 {
			continue // an empty index
		}
		if fields[2] != "0" {
			return nil, false, nil
		}
		entries = append(entries, gitEntry{fields[0], fields[1], name})
	}
	return entries, true, nil
}

// treeOf gives the ID of a commit's tree, by the commit whose content has its ID.
func (g *git) treeOf(ctx context.Context, commit string) (string, error) {
	content, err := g.raw(ctx, "cat-file", "commit", commit)
	if err != nil {
		return "", err
	}
	tree, _, found := strings.Cut(strings.TrimPrefix(content, "tree "), "\n")
	if !found || objectID("commit", []byte(content), len(commit)) != commit {
		return "", fmt.Errorf("git: the commit %s is damaged", commit)
	}
	return tree, nil
}

// treeID computes the ID of the tree of those entries at the beginning of a list
// whose names begin with a prefix, and returns how many they are. The index is in
// the order of whole names, as the entries of trees are.
//
// Source: gitformat-index(5); gitglossary(7), "tree object"; git's own
// cache-tree.c.
func treeID(entries []gitEntry, prefix string, hexLen int) (id string, n int) {
	var content []byte
	for n < len(entries) && strings.HasPrefix(entries[n].name, prefix) {
		e := entries[n]
		name, _, isDir := strings.Cut(e.name[len(prefix):], "/")
		used := 1
		if isDir {
			e.mode = "40000"
			e.id, used = treeID(entries[n:], prefix+name+"/", hexLen)
		}
		n += used
		raw, err := hex.DecodeString(e.id)
		if err != nil {
			return "", n // no such tree has an ID
		}
		content = append(append(content, e.mode+" "+name+"\x00"...), raw...)
	}
	return objectID("tree", content, hexLen), n
}

// others reports whether there are files that are neither tracked nor ignored. A
// .gitignore that is ignored itself is one of them: nobody has committed what it
// hides.
func (g *git) others(ctx context.Context) (bool, error) {
	const byTree = "--exclude-per-directory=.gitignore"
	plain, err := g.run(ctx, "ls-files", "--others", byTree, "--directory", "--no-empty-directory", "-z")
	if err != nil || plain != "" {
		return true, err
	}
	ignored, err := g.run(ctx, "ls-files", "--others", "--ignored", byTree, "--directory", "-z", "--", ":(glob,icase)**/.gitignore")
	if err != nil {
		return true, err
	}
	for name := range strings.SplitSeq(ignored, "\x00") {
		if strings.EqualFold(path.Base(name), ".gitignore") {
			return true, nil
		}
	}
	return false, nil
}

// modified reports whether a tracked file differs from what the index holds, by
// hashing it here as git hashes blobs: git itself would run the filters that the
// tree's own attributes name.
func (g *git) modified(ctx context.Context, entries []gitEntry, depth int) (bool, error) {
	root, err := os.OpenRoot(g.dir)
	if err != nil {
		return true, err
	}
	defer root.Close()
	for _, e := range entries {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		var same bool
		if e.mode == modeSubmodule {
			same, err = g.sameSubmodule(ctx, root, e, depth)
		} else {
			same, err = sameBlob(ctx, root, e)
		}
		if err != nil || !same {
			return true, err
		}
	}
	return false, nil
}

// sameSubmodule reports whether a submodule is clean and at the commit that the
// index names, or not checked out at all.
func (g *git) sameSubmodule(ctx context.Context, root *os.Root, e gitEntry, depth int) (bool, error) {
	dir, err := root.OpenFile(e.name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return false, nil // gone, or no directory, or outside of the tree
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil || len(names) == 0 {
		return err == nil, nil
	}
	if depth == maxSubmodules {
		return false, nil
	}
	sub := &git{g.program, filepath.Join(g.dir, filepath.FromSlash(e.name))}
	top, err := sub.run(ctx, "rev-parse", "--show-toplevel")
	if err != nil || !sameFile(top, sub.dir) {
		return false, ctx.Err() // files, but no repository of their own
	}
	commit, err := sub.run(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if err != nil || commit != e.id {
		return false, ctx.Err()
	}
	dirty, err := sub.dirty(ctx, commit, depth+1)
	return !dirty, err
}

func sameFile(a, b string) bool {
	one, errOne := os.Stat(a)
	two, errTwo := os.Stat(b)
	return errOne == nil && errTwo == nil && os.SameFile(one, two)
}
