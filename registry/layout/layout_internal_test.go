package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// LockLayout takes the writers' lock of a layout, as a writer in another process
// would.
func LockLayout(t testing.TB, l *Layout) (unlock func()) {
	t.Helper()
	unlock, err := l.writers.lock(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// SplitLayout splits what follows "oci:" in a reference.
func SplitLayout(rest string) (dir, tag string, digest v1.Hash, err error) {
	p, err := splitLayout(Prefix+rest, rest)
	return p.dir, p.tag, p.digest, err
}

func TestALockThatCannotBeHadIsAnError(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "layout"), Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil { // no system locks a closed file
		t.Fatal(err)
	}
	if err := l.writers.waitForLock(t.Context(), "test", f); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if kind := lockKind(fmt.Errorf("lock: %w", errors.ErrUnsupported)); kind != registry.ErrUnsupported {
		t.Errorf("a file system without locks: %s", kind)
	}
}

func TestAnEntryWithoutAnnotationsGetsItsKind(t *testing.T) {
	if e, err := (entry{raw: []byte("{}")}).ofKind("dev.cosignproject.cosign/sigs"); err != nil || e.desc.Annotations[cosignKind] == "" {
		t.Errorf("%+v, %v", e, err)
	}
}
