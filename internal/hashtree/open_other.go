//go:build !unix

package hashtree

// Other systems have no such flags; what is opened is looked at before it is
// read.
const (
	noFollow = 0
	nonBlock = 0
)
