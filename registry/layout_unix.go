//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package registry

import (
	"os"
	"syscall"
)

// openNonblock keeps the opening of a FIFO, put where a file was a moment ago,
// from waiting for its other end.
const openNonblock = syscall.O_NONBLOCK

// tryLock takes the lock of a file unless another process or open file has it.
// Closing the file releases it.
func tryLock(f *os.File) (bool, error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return false, nil
		default:
			return false, os.NewSyscallError("flock", err)
		}
	}
}
