//go:build unix

package hashtree

import "syscall"

// Flags that keep from following a link, and from waiting for a pipe's other end.
const (
	noFollow = syscall.O_NOFOLLOW
	nonBlock = syscall.O_NONBLOCK
)
