//go:build unix

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// soon wants something to end although it leads to a pipe, which is let go otherwise.
func soon(t *testing.T, pipe string, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	select {
	case <-done:
		return
	case <-time.After(10 * time.Second):
	}
	t.Error("a pipe holds it up")
	if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
		defer func() { _ = f.Close() }()
		<-done
	}
}

func TestAttack_P21_AStoreOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	for _, part := range []string{".", "blobs", "blobs/sha256", "ingest", ".hallmark"} {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, part), 0o700))
		must(t, os.Chown(filepath.Join(dir, part), 4711, -1))
		if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrForeign) {
			t.Errorf("%s is another's: %v", part, err)
		}
	}
}

func TestAttack_P8_OthersCannotWriteToTheStoresDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	all := []string{dir, filepath.Join(dir, "blobs"), filepath.Join(dir, "blobs", "sha256"), filepath.Join(dir, "ingest")}
	for _, d := range all {
		must(t, os.Mkdir(d, 0o700))
		must(t, os.Chmod(d, 0o777))
	}
	s, err := store.Open(dir, store.Options{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	for _, d := range all {
		info, err := os.Stat(d)
		must(t, err)
		if info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v", d, info.Mode())
		}
	}
}

func TestAttack_P10_PipeAsTheStoresIndexFailsAtTheStart(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "index.json")
	must(t, syscall.Mkfifo(pipe, 0o600))
	soon(t, pipe, func() {
		if _, err := store.Open(dir, store.Options{}); !errors.Is(err, file.ErrNotRegular) {
			t.Errorf("%v, want ErrNotRegular", err)
		}
	})
}
