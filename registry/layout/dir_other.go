//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package layout

// openNonblock has no meaning here: there are no FIFOs in directories, or no means
// to tell.
const openNonblock = 0
