package provenance_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// withSubmodule adds a submodule m to a repository.
func withSubmodule(t testing.TB, dir string, git func(...string) string) (sub func(...string) string) {
	t.Helper()
	module, _ := repository(t)
	git("-c", "protocol.file.allow=always", "submodule", "add", "-q", module, "m")
	git("commit", "-qm", "m")
	return func(args ...string) string { return git(append([]string{"-C", filepath.Join(dir, "m")}, args...)...) }
}

// object is the path of a loose object.
func object(dir, id string) string { return filepath.Join(dir, ".git", "objects", id[:2], id[2:]) }

// overwrite puts the content of one object under the name of another.
func overwrite(t testing.TB, dir, id, with string) {
	t.Helper()
	content, err := os.ReadFile(object(dir, with))
	mustDo(t, err)
	mustDo(t, os.Remove(object(dir, id)))
	mustDo(t, os.WriteFile(object(dir, id), content, 0o444))
}

func TestAttack_S6_AChangedTreeIsNotSaidToBeClean(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a file system with modes")
	}
	type repo = func(t *testing.T, dir string, git func(...string) string)
	for name, change := range map[string]repo{
		"the commit is replaced": func(t *testing.T, dir string, git func(...string) string) {
			good := git("rev-parse", "HEAD")
			put(t, dir, "a.txt", "evil")
			git("commit", "-qam", "evil")
			git("replace", good, "HEAD")
			git("update-ref", "HEAD", good)
			git("read-tree", "HEAD")
		},
		"excluded by .git/info/exclude": func(t *testing.T, dir string, _ func(...string) string) {
			put(t, dir, ".git/info/exclude", "*\n")
			put(t, dir, "evil.go", "x")
		},
		"excluded by core.excludesFile": func(t *testing.T, dir string, git func(...string) string) {
			put(t, dir, ".git/x", "*\n")
			git("config", "core.excludesFile", ".git/x")
			put(t, dir, "evil.go", "x")
		},
		"ignored by a .gitignore of no commit": func(t *testing.T, dir string, _ func(...string) string) {
			put(t, dir, "new/.gitignore", "*\n")
			put(t, dir, "new/evil.go", "x")
		},
		"executable": func(t *testing.T, dir string, _ func(...string) string) {
			mustDo(t, os.Chmod(filepath.Join(dir, "a.txt"), 0o755))
		},
		"a submodule at another commit": func(t *testing.T, dir string, git func(...string) string) {
			sub := withSubmodule(t, dir, git)
			put(t, dir, "m/a.txt", "evil")
			sub("commit", "-qam", "evil")
		},
		"a submodule with a changed file": func(t *testing.T, dir string, git func(...string) string) {
			withSubmodule(t, dir, git)
			put(t, dir, "m/a.txt", "evil")
		},
		"a submodule with files but no repository": func(t *testing.T, dir string, git func(...string) string) {
			withSubmodule(t, dir, git)
			mustDo(t, os.Remove(filepath.Join(dir, "m", ".git")))
		},
		"the index says of itself that it is the commit's": func(t *testing.T, dir string, git func(...string) string) {
			good, err := hex.DecodeString(git("rev-parse", "HEAD^{tree}"))
			mustDo(t, err)
			put(t, dir, "a.txt", "evil")
			git("add", "a.txt")
			evil, err := hex.DecodeString(git("write-tree"))
			mustDo(t, err)
			index, err := os.ReadFile(filepath.Join(dir, ".git", "index"))
			mustDo(t, err)
			if !bytes.Contains(index, evil) {
				t.Skip("this git's index has no cache of trees")
			}
			index = bytes.Replace(index[:len(index)-sha1.Size], evil, good, 1)
			sum := sha1.Sum(index)
			mustDo(t, os.WriteFile(filepath.Join(dir, ".git", "index"), append(index, sum[:]...), 0o644))
		},
		"a tree is not what its name says": func(t *testing.T, dir string, git func(...string) string) {
			good := git("rev-parse", "HEAD^{tree}")
			put(t, dir, "a.txt", "evil")
			git("add", "a.txt")
			overwrite(t, dir, good, git("write-tree"))
		},
		"unmerged": func(t *testing.T, dir string, git func(...string) string) {
			cmd := exec.Command("git", "-C", dir, "update-index", "--index-info")
			cmd.Stdin = strings.NewReader("100644 " + git("rev-parse", "HEAD:a.txt") + " 1\tb.txt\n")
			mustDo(t, cmd.Run())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, git := repository(t)
			if readTree(t, dir).Dirty {
				t.Fatal("dirty before")
			}
			change(t, dir, git)
			if !readTree(t, dir).Dirty {
				t.Error("not dirty")
			}
		})
	}
}

func TestATreeWithExecutablesDirectoriesAndSubmodulesIsClean(t *testing.T) {
	dir, git := repository(t)
	// Names whose order in an index and in a tree could differ.
	for _, name := range []string{"d/e/f", "d.e", "d-e", "d0/f", "bin/x"} {
		put(t, dir, name, name)
	}
	mustDo(t, os.Chmod(filepath.Join(dir, "bin", "x"), 0o755))
	git("add", ".")
	git("commit", "-qm", "more")
	withSubmodule(t, dir, git)
	if readTree(t, dir).Dirty {
		t.Error("dirty")
	}
	mustDo(t, os.RemoveAll(filepath.Join(dir, "m")))
	mustDo(t, os.Mkdir(filepath.Join(dir, "m"), 0o755))
	if readTree(t, dir).Dirty {
		t.Error("dirty where the submodule is not checked out")
	}
}

func TestAttack_S6_ACommitThatIsNotWhatItsNameSaysIsAnError(t *testing.T) {
	dir, git := repository(t)
	good := git("rev-parse", "HEAD")
	put(t, dir, "a.txt", "evil")
	git("commit", "-qam", "evil")
	evil := git("rev-parse", "HEAD")
	git("update-ref", "HEAD", good)
	overwrite(t, dir, good, evil)
	if tree, err := provenance.ReadTree(t.Context(), provenance.WorkTreeOptions{Dir: dir}); tree != nil || err == nil {
		t.Errorf("%+v, %v; want an error", tree, err)
	}
}

func TestAttack_S6_ARepositoryThatIsNotTheDirectorysOwnIsRefused(t *testing.T) {
	other := t.TempDir()
	dir, git := repository(t)
	put(t, other, "a.txt", "a")
	put(t, other, ".git", "gitdir: "+filepath.Join(dir, ".git")+"\n")
	git("config", "core.worktree", other)
	put(t, dir, "a.txt", "evil")
	if tree, err := provenance.ReadTree(t.Context(), provenance.WorkTreeOptions{Dir: dir}); !errors.Is(err, provenance.ErrForeignTree) {
		t.Errorf("core.worktree elsewhere: %+v, %v; want ErrForeignTree", tree, err)
	}

	dir, _ = repository(t)
	if err := os.Lchown(filepath.Join(dir, ".git"), 65534, -1); err != nil {
		t.Skipf("needs a file of another user: %v", err)
	}
	if tree, err := provenance.ReadTree(t.Context(), provenance.WorkTreeOptions{Dir: filepath.Join(dir, "sub")}); !errors.Is(err, provenance.ErrForeignTree) {
		t.Errorf("another user's, above: %+v, %v; want ErrForeignTree", tree, err)
	}
	if tree := readTree(t, dir); tree.Dirty {
		t.Errorf("another user's, given: %+v", tree)
	}
}

// A stand-in for a git before 2.45.1, which does not know GIT_NO_LAZY_FETCH.
func TestAttack_S5_AnOlderGitRunsNothingEither(t *testing.T) {
	shell(t)
	dir, git := repository(t)
	program, err := exec.LookPath("git")
	mustDo(t, err)
	older, mark := filepath.Join(t.TempDir(), "git"), filepath.Join(t.TempDir(), "ran")
	mustDo(t, os.WriteFile(older, []byte("#!/bin/sh\nunset GIT_NO_LAZY_FETCH\nexec "+program+" \"$@\"\n"), 0o755))
	for key, value := range map[string]string{
		"core.repositoryformatversion": "1", "extensions.partialClone": "origin", "remote.origin.promisor": "true",
		"remote.origin.url": "ext::touch " + mark, "protocol.ext.allow": "always",
	} {
		git("config", key, value)
	}
	mustDo(t, os.Remove(object(dir, git("rev-parse", "HEAD"))))
	_, err = provenance.ReadTree(t.Context(), provenance.WorkTreeOptions{Dir: dir, Git: older})
	if _, there := os.Stat(mark); there == nil || err == nil {
		t.Errorf("a program ran that .git/config names, or nothing was missing: %v", err)
	}
}

func TestAttack_S6_ReadTreeEndsWithItsContext(t *testing.T) {
	dir, _ := repository(t)
	if err := os.Truncate(filepath.Join(dir, "a.txt"), 1<<40); err != nil {
		t.Skipf("needs sparse files: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := provenance.ReadTree(ctx, provenance.WorkTreeOptions{Dir: dir})
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want DeadlineExceeded", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("still hashing a sparse file, long after the context has ended")
		mustDo(t, os.Truncate(filepath.Join(dir, "a.txt"), 0))
		<-done
	}
}
