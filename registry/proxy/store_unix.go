//go:build unix

package proxy

import (
	"fmt"
	"os"
	"syscall"
)

// nonBlocking keeps the open of a pipe without a writer from waiting.
const nonBlocking = syscall.O_NONBLOCK

// tighten takes from others what would let them change what is served.
func tighten(dir string) error {
	const others = 0o022
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&others == 0 {
		return err
	}
	if err := os.Chmod(dir, info.Mode()&^others); err != nil {
		return fmt.Errorf("others can write to %s (mode %#o), and that cannot be changed; give the store a directory of its own, such as a new one in it: %w", dir, info.Mode().Perm(), err)
	}
	return nil
}
