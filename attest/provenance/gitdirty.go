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

// dirty reports whether the work tree at g.dir differs from a commit. The tree
// differs if the files are not those of the index, if the index is not the commit's
// tree, or if there are other files. "git status" would run filters, and believe
// the repository's own caches.
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

// index lists the index. merged is false if the index has two versions of a file.
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

// treeOf returns the ID of a commit's tree. It checks that the commit's content has
// the commit's ID.
func (g *git) treeOf(ctx context.Context, commit string) (string, error) {
	content, err := g.raw(ctx, "cat-file", "commit", commit)
	if err != nil {
		return "", err
	}
	tree, _, found := strings.Cut(strings.TrimPrefix(content, "tree "), "\n")
	if !found || objectID("commit", []byte(content), len(commit)) != commit {
		return "", fmt.Errorf("the commit %s is damaged: its content has another ID", commit)
	}
	return tree, nil
}

// treeID computes the ID of a tree. The tree holds the n entries at the beginning
// of the list whose names begin with the prefix. The index has the order of whole
// names, as the entries of trees have.
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
			return "", n // the entry has no ID
		}
		content = append(append(content, e.mode+" "+name+"\x00"...), raw...)
	}
	return objectID("tree", content, hexLen), n
}

// others reports whether there are files that are neither tracked nor ignored. An
// ignored .gitignore counts as one, because what it hides was never committed.
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

// modified reports whether a tracked file differs from the index. It hashes the
// file as git hashes blobs. Git itself would run the filters that the tree's
// attributes name.
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
// index names. A submodule that is not checked out is the same.
func (g *git) sameSubmodule(ctx context.Context, root *os.Root, e gitEntry, depth int) (bool, error) {
	dir, err := root.OpenFile(e.name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return false, nil // gone, not a directory, or outside of the tree
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
