package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/interop/sigstorestack"
)

func TestMain(m *testing.M) {
	code := m.Run()
	private.close()
	os.Exit(code)
}

// private is the private Sigstore of these tests. The first test that needs it starts it.
var private privateSigstore

type privateSigstore struct {
	once  sync.Once
	dir   string
	stack *sigstorestack.Stack
	err   error
	shown sync.Once
}

// sigstorePrograms are those of a private Sigstore.
var sigstorePrograms = []string{"fulcio", "tesseract", "rekor-tiles", "rekor-server", "timestamp-server", "trillian"}

// sigstoreStack returns the private Sigstore. What its services have logged is shown once
// with the first test that fails.
func sigstoreStack(t testing.TB) *sigstorestack.Stack {
	t.Helper()
	paths := make(map[string]string)
	for _, name := range sigstorePrograms {
		paths[name] = tool(t, name)
	}
	private.once.Do(func() { private.start(paths) })
	if private.err != nil {
		t.Fatal(private.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			private.shown.Do(func() { t.Log(private.stack.Logs()) })
		}
	})
	return private.stack
}

func (p *privateSigstore) start(paths map[string]string) {
	if p.dir, p.err = os.MkdirTemp("", "sigstore-"); p.err != nil {
		return
	}
	p.stack, p.err = sigstorestack.Start(p.dir, func(program string) (string, error) {
		if paths[program] == "" {
			return "", fmt.Errorf("%w: %s", exec.ErrNotFound, program)
		}
		return filepath.Abs(paths[program])
	})
}

func (p *privateSigstore) close() {
	if p.stack != nil {
		p.stack.Close()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
