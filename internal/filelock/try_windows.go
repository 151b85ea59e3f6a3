package filelock

import (
	"os"
	"syscall"
	"unsafe"
)

// lockFileEx is called by hand: a module for one call would be too much.
var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

const (
	lockExclusiveNow   = 0x1 | 0x2 // LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK
	errorLockViolation = syscall.Errno(33)
)

// Try takes the lock of a file unless another process or open file has it.
// Closing the file releases it.
func Try(f *os.File) (bool, error) {
	var overlapped syscall.Overlapped
	ok, _, err := lockFileEx.Call(f.Fd(), lockExclusiveNow, 0, 1, 0, uintptr(unsafe.Pointer(&overlapped)))
	switch {
	case ok != 0:
		return true, nil
	case err == errorLockViolation, err == syscall.ERROR_IO_PENDING:
		return false, nil
	}
	return false, os.NewSyscallError("LockFileEx", err)
}
