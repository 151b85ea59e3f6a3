package tuf_test

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAttack_T19_LinkedFilesAreNotOverwritten(t *testing.T) {
	r, dir := newRepository(t, "one"), t.TempDir()
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "state")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	if err := os.Symlink(victim, link); err != nil {
		t.Skip(err)
	}
	holds(t, r.open(link), "one")
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}
