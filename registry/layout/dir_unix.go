//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package layout

import "syscall"

// openNonblock keeps the opening of a FIFO, put where a file was a moment ago,
// from waiting for its other end.
const openNonblock = syscall.O_NONBLOCK
