package registry

import (
	"os"
	"syscall"
	"unsafe"
)

// openNonblock has no meaning here: there are no FIFOs in directories.
const openNonblock = 0

// lockFileEx is called by hand so that this package needs no module for it.
var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

const (
	lockExclusiveNow   = 0x1 | 0x2 // LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK
	errorLockViolation = syscall.Errno(33)
)

// tryLock takes the lock of a file unless another process or open file has it.
// Closing the file releases it.
func tryLock(f *os.File) (bool, error) {
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
