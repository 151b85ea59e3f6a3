package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func storeWith(t *testing.T, content string) *Store {
	t.Helper()
	store, err := Open(t.TempDir(), Options{})
	if err == nil {
		err = store.Put(digestOf(content), []byte(content), Images)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestWhatIsNoFileIsNotInTheStore(t *testing.T) {
	store := storeWith(t, "content")
	path := pathOf(store, digestOf("content")[len("sha256:"):])
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, _, opened := store.Get(t.Context(), digestOf("content"), Evidence); opened || store.Has(digestOf("content")) {
		t.Error("a directory is content")
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays in the way: %v", err)
	}
	if err := store.Put(digestOf("content"), []byte("content"), Images); err != nil {
		t.Errorf("it cannot be stored again: %v", err)
	}
}

func TestAHashThatNobodyWantsAnyMoreSaysNothing(t *testing.T) {
	store := storeWith(t, "content")
	hex := digestOf("content")[len("sha256:"):]
	store.add(hex, stored{size: 7}) // as after a restart: not seen yet
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.look(gone, hex); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := store.look(t.Context(), hex); err != nil {
		t.Error(err)
	}
	// It has been looked at: it is not read again.
	if _, err := store.look(gone, hex); err != nil {
		t.Error(err)
	}
	if err := os.Remove(pathOf(store, hex)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.look(t.Context(), hex); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNotOnTheDiskIsNotInTheStore(t *testing.T) {
	store := storeWith(t, "content")
	f, err := store.Create()
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(f, digestOf("other"), Images); err == nil || store.Has(digestOf("other")) {
		t.Errorf("a file that cannot be synced is stored: %v", err)
	}
	if f, err = store.Create(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := os.RemoveAll(filepath.Join(store.dir, blobsDir)); err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(f, digestOf("other"), Images); err == nil || store.Has(digestOf("other")) {
		t.Errorf("a file that cannot be renamed is stored: %v", err)
	}
}

func pathOf(s *Store, hex string) string { return filepath.Join(s.dir, blobsDir, hex) }
