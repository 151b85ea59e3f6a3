//go:build !unix

package main

import "testing"

func irregular(*testing.T) []string { return nil }
