package main

import (
	"os"
	"syscall"
)

// peakOf is the largest resident set of a process that has ended, in bytes
// (getrusage(2), ru_maxrss in kilobytes).
func peakOf(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}
