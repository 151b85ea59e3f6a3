//go:build unix

package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// nonBlocking keeps the open of a pipe without a writer from waiting.
const nonBlocking = syscall.O_NONBLOCK

// isOurs reports whether a directory belongs to the user who runs this process.
func isOurs(info fs.FileInfo) bool {
	held, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(held.Uid) == int64(os.Geteuid())
}

// tighten takes from others what would let them change what is served.
func tighten(root *os.Root, dir string, info fs.FileInfo) error {
	const others = 0o022
	if info.Mode().Perm()&others == 0 {
		return nil
	}
	if err := root.Chmod(dir, info.Mode()&^others); err != nil {
		return fmt.Errorf("others can write to %s (mode %#o), and that cannot be changed; give the store a directory of its own, such as a new one in it: %w",
			filepath.Join(root.Name(), dir), info.Mode().Perm(), err)
	}
	return nil
}
