//go:build unix

package file

import "syscall"

// nonBlocking keeps the open of a pipe without a writer from waiting.
const nonBlocking = syscall.O_NONBLOCK
