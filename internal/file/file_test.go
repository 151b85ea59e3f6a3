package file_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/limit"
)

func TestAttack_F3_OnlyBoundedRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, 101), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := file.Read(large, 100); !errors.Is(err, limit.ErrExceeded) {
		t.Errorf("large file: %v", err)
	}
	if data, info, err := file.Read(large, 101); err != nil || len(data) != 101 || info.Size() != 101 {
		t.Errorf("file of the size allowed: %d, %v", len(data), err)
	}
	paths := []string{dir}
	if runtime.GOOS == "linux" {
		paths = append(paths, "/dev/zero")
	}
	for _, path := range append(paths, pipe(t, dir)...) {
		if _, _, err := file.Read(path, 100); !errors.Is(err, file.ErrNotRegular) || !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v, want ErrNotRegular", path, err)
		}
	}
	if _, _, err := file.Read(filepath.Join(dir, "none"), 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestCreateNeverOverwritesAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new")
	if err := file.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := file.Create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing file: %v", err)
	}
	dangling := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), dangling); err == nil {
		if err := file.Create(dangling, []byte("x"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("through a dangling link: %v", err)
		}
		_ = os.Remove(dangling)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "first" {
		t.Errorf("%q, %v", data, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
