// Package panics makes errors of panics where code of somebody else's is called in a
// goroutine of ours: there a panic would end the whole process, and who asked must be
// told no, not all who are served.
package panics

import (
	"fmt"
	"runtime/debug"
)

// Error is a panic that was caught.
type Error struct {
	Cause any
	// Stack is for logs.
	Stack []byte
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("internal failure: %v", e.Cause) }

// Caught returns what f returns. A panic is an *Error.
func Caught(f func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &Error{cause, debug.Stack()}
		}
	}()
	return f()
}
