//go:build unix

package tuf_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/sigstore/tuf"
)

func TestAttack_T19_PipesAsStateFilesDoNotBlock(t *testing.T) {
	r, file := newRepository(t, "one"), stateFile(t)
	must(t, syscall.Mkfifo(file, 0o600))
	done := make(chan error, 1)
	go func() {
		_, err := tuf.Open(context.Background(), r.options(file))
		done <- err
	}()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Error("Open waits for a pipe")
	}
}
