package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantInUse(t *testing.T, dir string) {
	t.Helper()
	_, err := store.Open(dir, store.Options{})
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want ErrStoreInUse that names %s", err, dir)
	}
}

func TestAttack_P21_ADirectoryHasOneStoreAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	first, err := store.Open(dir, store.Options{})
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
	second, err := store.Open(dir, store.Options{})
	must(t, err)
	wantInUse(t, dir)
	must(t, second.Close())
}

func TestAttack_P21_AFileThatWasLeftBehindLocksNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, ".hallmark"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, ".hallmark", "lock"), []byte("4711"), 0o600))
	store, err := store.Open(dir, store.Options{})
	must(t, err)
	must(t, store.Close())
}

func TestAttack_P21_AStoreThatCannotBeOpenedIsNotLocked(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "index.json"), 0o700))
	if _, err := store.Open(dir, store.Options{}); err == nil {
		t.Fatal("it was opened")
	}
	must(t, os.Remove(filepath.Join(dir, "index.json")))
	store, err := store.Open(dir, store.Options{})
	must(t, err)
	must(t, store.Close())
}

func TestAttack_P21_PartsOfTheStoreThatLeadElsewhereAreRefused(t *testing.T) {
	for _, part := range []string{"blobs", "ingest", ".hallmark", "index.json", ".hallmark/lock"} {
		dir, elsewhere := t.TempDir(), t.TempDir()
		must(t, os.WriteFile(filepath.Join(elsewhere, "blob-kept"), nil, 0o600))
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, part)), 0o700))
		must(t, os.Symlink(elsewhere, filepath.Join(dir, part)))
		if _, err := store.Open(dir, store.Options{}); err == nil {
			t.Errorf("%s leads out of the store, and it was opened", part)
		}
		if _, err := os.Stat(filepath.Join(elsewhere, "blob-kept")); err != nil {
			t.Errorf("%s: what is elsewhere was deleted: %v", part, err)
		}
	}
}

func TestAttack_P21_ALayoutDoesNotWriteToAStoreInUse(t *testing.T) {
	dir := t.TempDir()
	store, err := store.Open(dir, store.Options{})
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

func TestADirectoryThatHoldsSomethingElseIsNoStore(t *testing.T) {
	for _, in := range []string{"oci-layout", "index.json", "ingest/blob-1/held"} {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, in), 0o700))
		if _, err := store.Open(dir, store.Options{}); err == nil {
			t.Errorf("%s is a directory, and no error says it", in)
		}
	}
}
