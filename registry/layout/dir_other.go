//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package layout

// openNonblock is 0: this system has no FIFOs in directories, or no means to detect them.
const openNonblock = 0
