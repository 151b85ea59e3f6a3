package gate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

func wantInUse(t *testing.T, dir string) {
	t.Helper()
	_, err := gate.OpenStore(dir, gate.StoreOptions{})
	if !errors.Is(err, gate.ErrStoreInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want ErrStoreInUse that names %s", err, dir)
	}
}

func TestAttack_P21_ADirectoryHasOneStoreAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	first, err := gate.OpenStore(dir, gate.StoreOptions{})
	must(t, err)
	writing := filepath.Join(dir, "ingest", "blob-of-the-first")
	must(t, os.WriteFile(writing, []byte("half"), 0o600))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	for _, name := range []string{dir, link, dir + "/../store"} {
		wantInUse(t, name)
	}
	if _, err := os.Stat(writing); err != nil {
		t.Errorf("what the first writes was deleted: %v", err)
	}
	must(t, first.Close())
	must(t, first.Close())
	second, err := gate.OpenStore(dir, gate.StoreOptions{})
	must(t, err)
	wantInUse(t, dir)
	must(t, second.Close())
}

// The lock file of a gate that has ended is no lock.
func TestAttack_P21_AFileThatWasLeftBehindLocksNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, ".hallmark"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, ".hallmark", "lock"), []byte("4711"), 0o600))
	store, err := gate.OpenStore(dir, gate.StoreOptions{})
	must(t, err)
	must(t, store.Close())
}

func TestAttack_P21_AStoreThatCannotBeOpenedIsNotLocked(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "index.json"), 0o700))
	if _, err := gate.OpenStore(dir, gate.StoreOptions{}); err == nil {
		t.Fatal("it was opened")
	}
	must(t, os.Remove(filepath.Join(dir, "index.json")))
	store, err := gate.OpenStore(dir, gate.StoreOptions{})
	must(t, err)
	must(t, store.Close())
}

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
			s := storeScene(t, dir, gate.StoreOptions{})
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

func TestAttack_P21_PartsOfTheStoreThatLeadElsewhereAreRefused(t *testing.T) {
	for _, part := range []string{"blobs", "ingest", ".hallmark", "index.json", ".hallmark/lock"} {
		dir, elsewhere := t.TempDir(), t.TempDir()
		must(t, os.WriteFile(filepath.Join(elsewhere, "blob-kept"), nil, 0o600))
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, part)), 0o700))
		must(t, os.Symlink(elsewhere, filepath.Join(dir, part)))
		if _, err := gate.OpenStore(dir, gate.StoreOptions{}); err == nil {
			t.Errorf("%s leads out of the store, and it was opened", part)
		}
		if _, err := os.Stat(filepath.Join(elsewhere, "blob-kept")); err != nil {
			t.Errorf("%s: what is elsewhere was deleted: %v", part, err)
		}
	}
}

// A layout that is opened where a store is waits for its turn to write.
func TestAttack_P21_ALayoutDoesNotWriteToAStoreInUse(t *testing.T) {
	dir := t.TempDir()
	store, err := gate.OpenStore(dir, gate.StoreOptions{})
	must(t, err)
	defer func() { must(t, store.Close()) }()
	images, err := layout.Open(dir, layout.Options{LockTimeout: 1})
	must(t, err)
	m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`))
	must(t, err)
	if _, err := images.PushManifest(t.Context(), images.Tag("v1"), m, registry.PushOptions{}); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("it was written to: %v", err)
	}
}
