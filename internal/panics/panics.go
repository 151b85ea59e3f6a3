// Package panics makes errors of panics in goroutines of ours that call code of an
// embedder. Such a panic would end the whole process. It has to refuse one caller, and
// not all that are served.
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
