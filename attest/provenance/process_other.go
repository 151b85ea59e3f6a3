//go:build !unix

package provenance

import (
	"io/fs"
	"os/exec"
	"path/filepath"
)

// killGroup leaves it at killing the command itself: there are no process groups
// here.
func killGroup(*exec.Cmd) {}

// endGroup finds nothing to end.
func endGroup(*exec.Cmd) {}

// openFlags: there are none that keep from following a link.
const openFlags = 0

// hasModes: git itself does not look whether files are executable here.
const hasModes = false

// ownedByThisUser leaves it to git.
func ownedByThisUser(fs.FileInfo) bool { return true }

// safeDirectory makes git check whose a repository is, unless it is the
// directory's own.
func safeDirectory(dir string) string { return filepath.ToSlash(dir) }
