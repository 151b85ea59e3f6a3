//go:build !unix

package provenance

import "os/exec"

// killGroup leaves it at killing the command itself: there are no process groups
// here.
func killGroup(*exec.Cmd) {}

// openFlags: there are none that keep from following a link.
const openFlags = 0
