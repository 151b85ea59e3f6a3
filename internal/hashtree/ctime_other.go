//go:build !unix

package hashtree

import "io/fs"

// changeTime is not known here.
func changeTime(fs.FileInfo) [2]int64 { return [2]int64{} }
