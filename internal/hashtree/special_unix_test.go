//go:build unix

package hashtree_test

import (
	"context"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/hashtree"
)

func TestAttack_S6_PipesAndSocketsAreNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "x")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	entries, err := hashtree.Hash(ctx, dir, hashtree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[string]hashtree.Kind)
	for _, e := range entries {
		kinds[e.Path] = e.Kind
	}
	if kinds["file"] != hashtree.File || kinds["pipe"] != hashtree.Special || kinds["socket"] != hashtree.Special {
		t.Errorf("%v", kinds)
	}
}
