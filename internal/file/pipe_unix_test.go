//go:build unix

package file_test

import (
	"path/filepath"
	"syscall"
	"testing"
)

func pipe(t *testing.T, dir string) []string {
	path := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}
