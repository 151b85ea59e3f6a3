package registry

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// LockLayout takes the writers' lock of a layout, as a writer in another process
// would.
func LockLayout(t testing.TB, l *Layout) (unlock func()) {
	t.Helper()
	unlock, err := l.lock(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// SplitLayout splits what follows "oci:" in a reference.
func SplitLayout(rest string) (dir, tag string, digest v1.Hash, err error) {
	p, err := splitLayout(LayoutPrefix+rest, rest)
	return p.dir, p.tag, p.digest, err
}
