package registry

import "testing"

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
