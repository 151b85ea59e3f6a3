//go:build !linux

package sigstorestack

import "syscall"

// withParent does nothing here: a process ends by Stack.Close alone.
func withParent() *syscall.SysProcAttr { return nil }
