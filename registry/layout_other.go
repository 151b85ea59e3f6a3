//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package registry

import (
	"errors"
	"os"
)

const openNonblock = 0

// tryLock has no means here: layouts can be read, not written.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
