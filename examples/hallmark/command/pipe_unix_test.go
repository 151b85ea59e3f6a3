//go:build unix

package command

import (
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// irregular makes paths that lead to no file, and that block or never end.
func irregular(t *testing.T) []string {
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	if runtime.GOOS == "linux" {
		return []string{pipe, "/dev/zero"}
	}
	return []string{pipe}
}
