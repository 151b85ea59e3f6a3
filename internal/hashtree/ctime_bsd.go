//go:build darwin || freebsd || netbsd

package hashtree

import (
	"io/fs"
	"syscall"
)

// changeTime is when the content or the metadata of a file last changed. Unlike the time
// of modification it cannot be set back.
func changeTime(info fs.FileInfo) [2]int64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return [2]int64{}
	}
	return [2]int64{int64(stat.Ctimespec.Sec), int64(stat.Ctimespec.Nsec)}
}
