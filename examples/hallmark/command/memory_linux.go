package command

import "golang.org/x/sys/unix"

// hideMemory keeps other processes of the same user from reading the memory of this
// one, such as a command that it runs, and keeps it out of core files. Where the
// system does not allow it, all goes on as it would without.
//
// Source: Linux man-pages, PR_SET_DUMPABLE(2const), proc_pid_environ(5).
func hideMemory() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
