package hashtree_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/hashtree"
)

func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func paths(entries []hashtree.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Path)
	}
	return all
}

func TestEveryFileIsHashedAndListedInOrder(t *testing.T) {
	dir := t.TempDir()
	large := strings.Repeat("0123456789abcdef", 40_000)
	for i := range 300 {
		write(t, dir, fmt.Sprintf("d%d/e/f%03d", i%7, i), fmt.Sprint(i))
	}
	write(t, dir, "empty", "")
	write(t, dir, "large", large)
	write(t, dir, "with blank and ünïcode", "x")
	told := 0
	entries, err := hashtree.Hash(context.Background(), dir, hashtree.Options{Workers: 5, Progress: func(files int, _ int64) { told = files }})
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 303 || told != 303 || !slices.IsSorted(paths(entries)) {
		t.Errorf("%d entries, told of %d", len(entries), told)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.Path)))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if e.Kind != hashtree.File || e.Digest != hex.EncodeToString(sum[:]) || e.Size != int64(len(content)) {
			t.Errorf("%+v", e)
		}
	}
}

func TestAttack_S6_LinksAreNotFollowed(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, "secret", "s")
	write(t, dir, "a/file", "f")
	for name, target := range map[string]string{
		"out": outside, "file-out": filepath.Join(outside, "secret"), "loop": "loop", "up": "..", "a/self": ".", "dangling": "nowhere",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	entries, err := hashtree.Hash(context.Background(), dir, hashtree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, e := range entries {
		switch {
		case e.Kind == hashtree.Link:
			links++
			if e.Digest != "" || e.Target == "" {
				t.Errorf("%+v", e)
			}
		case e.Path != "a/file":
			t.Errorf("%+v", e)
		}
	}
	if links != 6 {
		t.Errorf("%d links: %v", links, paths(entries))
	}
}

func TestAttack_S6_NamesThatCannotBeWrittenDownAreRefused(t *testing.T) {
	for _, name := range []string{"a\nb", "a\x1b[31m", "a\x7f", "\xff\xfe"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			continue // not every file system takes them
		}
		if entries, err := hashtree.Hash(context.Background(), dir, hashtree.Options{}); !errors.Is(err, hashtree.ErrName) {
			t.Errorf("%q: %v, %v; want ErrName", name, entries, err)
		}
		filter, err := hashtree.NewFilter("*")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hashtree.Hash(context.Background(), dir, hashtree.Options{Filter: filter}); err != nil {
			t.Errorf("%q, left out: %v", name, err)
		}
	}
}

func TestAttack_S6_BoundsAndCancellationEndTheWork(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		write(t, dir, fmt.Sprintf("f%02d", i), strings.Repeat("x", 1000))
	}
	for name, o := range map[string]hashtree.Options{"files": {MaxFiles: 19}, "bytes": {MaxBytes: 19_999}} {
		if _, err := hashtree.Hash(context.Background(), dir, o); !errors.Is(err, hashtree.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	if _, err := hashtree.Hash(context.Background(), dir, hashtree.Options{MaxFiles: 20, MaxBytes: 20_000}); err != nil {
		t.Errorf("at the bounds: %v", err)
	}
	// A sparse file of a terabyte takes hours to read.
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := hashtree.Hash(ctx, dir, hashtree.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want DeadlineExceeded", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("gave up after %v", took)
	}
	if _, err := hashtree.Hash(context.Background(), filepath.Join(dir, "nowhere"), hashtree.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := hashtree.Hash(context.Background(), filepath.Join(dir, "f00"), hashtree.Options{}); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestAttack_S6_AFileThatChangesWhileItIsHashedIsNoWrongDigest(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, dir, "f", strings.Repeat("x", 8<<20))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				if err == nil {
					_, _ = f.WriteString("y")
					_ = f.Close()
				}
			}
		}
	}()
	// A busy machine may not let the writer run at the wrong moment at once.
	var err error
	for range 200 {
		if _, err = hashtree.Hash(context.Background(), dir, hashtree.Options{}); err != nil {
			break
		}
	}
	close(stop)
	<-stopped
	if !errors.Is(err, hashtree.ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
}

func TestFiltersChooseLikeGitignore(t *testing.T) {
	all := []string{
		"a.go", "a.o", "build/x", "build/y/z", "doc/build/x", "doc/keep.o", "doc/deep/a.txt", "node_modules/m/index.js", "src/node_modules/n", "x#", "#x",
	}
	for name, c := range map[string]struct {
		patterns []string
		left     []string
	}{
		"nothing":          {nil, all},
		"comments":         {[]string{"", "# a.go", "   "}, all},
		"at any depth":     {[]string{"*.o", "node_modules/"}, []string{"#x", "a.go", "build/x", "build/y/z", "doc/build/x", "doc/deep/a.txt", "x#"}},
		"anchored":         {[]string{"/build"}, []string{"#x", "a.go", "a.o", "doc/build/x", "doc/deep/a.txt", "doc/keep.o", "node_modules/m/index.js", "src/node_modules/n", "x#"}},
		"taken in again":   {[]string{"*", "!*.go"}, []string{"a.go"}},
		"the last decides": {[]string{"!a.go", "*.go"}, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "a.go" })},
		"any directories":  {[]string{"doc/**/x", "build/**"}, []string{"#x", "a.go", "a.o", "doc/deep/a.txt", "doc/keep.o", "node_modules/m/index.js", "src/node_modules/n", "x#"}},
		"a class":          {[]string{"[a-b].?"}, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "a.o" })},
		"escaped":          {[]string{`\#x`}, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "#x" })},
	} {
		dir := t.TempDir()
		for _, f := range all {
			write(t, dir, f, "")
		}
		filter, err := hashtree.NewFilter(c.patterns...)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := hashtree.Hash(context.Background(), dir, hashtree.Options{Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(slices.Values(c.left))
		if got := paths(entries); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
		}
		for _, f := range all {
			if filter.Passes(f) != slices.Contains(want, f) {
				t.Errorf("%s: Passes(%q) is %v", name, f, filter.Passes(f))
			}
		}
	}
	for _, bad := range []string{"[", "a//b", "a/../b", "./a"} {
		if _, err := hashtree.NewFilter(bad); !errors.Is(err, hashtree.ErrFilter) {
			t.Errorf("%q: %v, want ErrFilter", bad, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("*.o\n!keep.o\n/build/\n**/x", "a/b/keep.o")
	f.Fuzz(func(t *testing.T, patterns, name string) {
		if len(patterns) > 200 || len(name) > 200 {
			return
		}
		filter, err := hashtree.NewFilter(strings.Split(patterns, "\n")...)
		if err != nil {
			return
		}
		a := filter.Passes(name)
		if b := filter.Passes(name); a != b {
			t.Fatal("a filter that changes its mind")
		}
		all, err := hashtree.NewFilter(append(strings.Split(patterns, "\n"), "*")...)
		if err == nil && name != "" && !strings.Contains(name, "/") && all.Passes(name) {
			t.Fatalf("%q passes a filter that ends in *", name)
		}
	})
}
