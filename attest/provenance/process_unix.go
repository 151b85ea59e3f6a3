//go:build unix

package provenance

import (
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// killGroup makes the end of the context kill the command with all that it has
// started.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// endGroup kills what a command that has ended has left behind, and waits for it to
// be gone: at most a second, since where nobody buries orphans they stay.
func endGroup(cmd *exec.Cmd) {
	if cmd.Process == nil {
		return
	}
	group := -cmd.Process.Pid
	for range 200 {
		if syscall.Kill(group, syscall.SIGKILL) != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
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
