//go:build unix

package gate

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// A process that has too many files open, or a client that goes while a file is
// hashed, says nothing about what is stored.
// The name of a temporary file that was deleted is free for others, where the
// directory is everybody's.
func TestAttack_P10_APipeUnderATemporaryFilesNameHoldsUpNobody(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := os.Remove(file.Name()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file.Name(), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(chan view, 1)
	go func() { seen <- (&download{file: file}).view() }()
	select {
	case v := <-seen:
		defer v.close()
		if v.own != nil || v.shared != file {
			t.Error("the pipe is taken for the file")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for who writes to the pipe")
	}
}

// A pipe in place of the lock holds nothing, and is not waited for.
