//go:build !unix

package command

import "testing"

func irregular(*testing.T) []string { return nil }
