package gate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// The lock file of a gate that has ended is no lock.
// Another directory under the store's name is another store: the gate looks at it as
// little as it writes to it.
func TestAttack_P21_AReplacedDirectoryIsNotTheStore(t *testing.T) {
	for label, replace := range map[string]func(dir, away string){
		"moved":   func(dir, away string) { must(t, os.Rename(dir, away)); must(t, os.Mkdir(dir, 0o700)) },
		"linked":  func(dir, away string) { must(t, os.Rename(dir, away)); must(t, os.Symlink(t.TempDir(), dir)) },
		"deleted": func(dir, _ string) { must(t, os.RemoveAll(dir)); must(t, os.Mkdir(dir, 0o700)) },
		"blobs linked": func(dir, _ string) {
			must(t, os.RemoveAll(filepath.Join(dir, "blobs")))
			other := t.TempDir()
			must(t, os.Mkdir(filepath.Join(other, "sha256"), 0o700))
			must(t, os.Symlink(other, filepath.Join(dir, "blobs")))
		},
	} {
		t.Run(label, func(t *testing.T) {
			base := t.TempDir()
			dir := filepath.Join(base, "store")
			s := storeScene(t, dir, store.Options{})
			_, layer := s.bigImage("big", 100_000)
			replace(dir, filepath.Join(base, "away"))
			planted := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(layer, "sha256:"))
			must(t, os.MkdirAll(filepath.Dir(planted), 0o700))
			must(t, os.WriteFile(planted, []byte("planted"), 0o600))
			s.passes("big")
			if r := s.serves("/v2/team/app/blobs/" + layer); len(r.body) < 100_000 {
				t.Errorf("%d bytes", len(r.body))
			}
			if text, err := os.ReadFile(planted); err != nil || string(text) != "planted" {
				t.Errorf("it holds %.20q, %v", text, err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "ingest", "*")); len(left) > 0 && label != "blobs linked" {
				t.Errorf("written there: %v, %v", left, err)
			}
		})
	}
}

// A layout that is opened where a store is waits for its turn to write.
