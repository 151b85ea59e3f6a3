//go:build !unix

package provenance

import (
	"io/fs"
	"os/exec"
	"path/filepath"
)

// killGroup does nothing, because there are no process groups: cancelling kills the
// command alone.
func killGroup(*exec.Cmd) {}

// endGroup does nothing, because there are no process groups.
func endGroup(*exec.Cmd) {}

// openFlags is empty: no flag prevents following a link.
const openFlags = 0

// hasModes is false: git ignores executable bits on these systems.
const hasModes = false

// ownedByThisUser is always true: git itself checks the owner.
func ownedByThisUser(fs.FileInfo) bool { return true }

// safeDirectory returns the directory for which git skips its check of the owner.
func safeDirectory(dir string) string { return filepath.ToSlash(dir) }
