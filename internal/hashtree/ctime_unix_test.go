//go:build unix

package hashtree

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// meddling is a context that does something when it is asked for the second time
// whether it has ended: read asks before each part of a file.
type meddling struct {
	context.Context
	asked int
	do    func()
}

func (m *meddling) Err() error {
	if m.asked++; m.asked == 2 {
		m.do()
	}
	return nil
}

func TestAttack_S6_AFileThatChangesAndSetsItsTimeBackIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, os.WriteFile(path, make([]byte, 3*bufferSize), 0o644))
	before, err := os.Stat(path)
	must(t, err)
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	h := &hasher{root: root, o: Options{}.withDefaults()}
	ctx := &meddling{Context: t.Context(), do: func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte("evil"), 0)
		must(t, err)
		must(t, f.Close())
		// The clock of the file system may stand still for some milliseconds.
		for now := before; changeTime(now) == changeTime(before); {
			must(t, os.Chtimes(path, before.ModTime(), before.ModTime()))
			now, err = os.Stat(path)
			must(t, err)
		}
	}}
	e := Entry{Path: "f"}
	stable, err := h.read(ctx, &e, make([]byte, bufferSize))
	if err != nil || stable || ctx.asked < 3 {
		t.Errorf("stable %v, %v, asked %d times", stable, err, ctx.asked)
	}
	if stable, err := h.read(t.Context(), &e, make([]byte, bufferSize)); err != nil || !stable {
		t.Errorf("left alone: stable %v, %v", stable, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
