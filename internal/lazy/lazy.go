// Package lazy makes what is costly when it is first used: programs that never use it do
// not pay for it when they start.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp compiles an expression when it is first asked for. An expression that is
// malformed panics then.
func Regexp(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
