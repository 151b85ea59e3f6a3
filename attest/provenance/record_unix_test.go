//go:build unix

package provenance_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// lifeline is a pipe whose reader sees an end once no process has it open any more.
func lifeline(t *testing.T) (path string, reader *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "lifeline")
	mustDo(t, syscall.Mkfifo(path, 0o600))
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	mustDo(t, err)
	t.Cleanup(func() { _ = reader.Close() }) // the test is over
	return path, reader
}

// ended waits for the end of all processes that have the lifeline open.
func ended(t *testing.T, reader *os.File) {
	t.Helper()
	mustDo(t, reader.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a child of the command goes on: %v", err)
	}
}

func TestAttack_S6_NoChildOutlivesTheCommandToChangeItsProducts(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		allow  bool
		err    error
	}{
		"in the background":       {"exec 3>$LIFELINE; echo good > app; (sleep 60; echo evil > app) >/dev/null 2>&1 &", false, nil},
		"of a command that fails": {"exec 3>$LIFELINE; echo good > app; (sleep 60; echo evil > app) >/dev/null 2>&1 & exit 3", true, nil},
		"with the output open":    {"exec 3>$LIFELINE; echo good > app; (sleep 60; echo evil > app) &", false, exec.ErrWaitDelay},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, reader := lifeline(t)
			r, err := provenance.Record(t.Context(), provenance.RecordOptions{
				Command: []string{"sh", "-c", c.script}, Env: append(os.Environ(), "LIFELINE="+path), Dir: t.TempDir(), OutputTail: 10, AllowFailure: c.allow,
			})
			ended(t, reader)
			if !errors.Is(err, c.err) || c.err != nil && !errors.Is(err, provenance.ErrCommand) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if err == nil && len(r.Products) != 1 {
				t.Errorf("products %+v", r.Products)
			}
		})
	}
}
