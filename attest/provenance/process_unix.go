//go:build unix

package provenance

import (
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// killGroup makes the end of the context kill the command with all that it has
// started.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// openFlags keep from following a link, and from waiting for a pipe's other end.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// hasModes: files are executable or not.
const hasModes = true

// ownedByThisUser reports whether a file belongs to whoever runs this.
func ownedByThisUser(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(stat.Uid) == int64(os.Geteuid())
}

// safeDirectory lets git look at any repository: whose it is has been checked, or
// will be, here. Not every git does.
func safeDirectory(string) string { return "*" }
