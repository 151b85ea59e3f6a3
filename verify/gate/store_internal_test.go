package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hexOf(sum[:])
}

func storeWith(t *testing.T, content string) *Store {
	t.Helper()
	store, err := OpenStore(t.TempDir(), StoreOptions{})
	if err == nil {
		err = store.putBytes(digestOf(content), []byte(content), false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// What has been put in a file's place is not the file, and goes.
func TestWhatIsNoFileIsNotInTheStore(t *testing.T) {
	store := storeWith(t, "content")
	path := pathOf(store, digestOf("content")[len("sha256:"):])
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, _, opened := store.open(t.Context(), digestOf("content"), false); opened || store.has(digestOf("content")) {
		t.Error("a directory is content")
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays in the way: %v", err)
	}
	if err := store.putBytes(digestOf("content"), []byte("content"), false); err != nil {
		t.Errorf("it cannot be stored again: %v", err)
	}
}

func TestAHashThatNobodyWantsAnyMoreSaysNothing(t *testing.T) {
	store := storeWith(t, "content")
	hex := digestOf("content")[len("sha256:"):]
	store.add(stored{hex: hex, size: 7}) // as after a restart: not seen yet
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.look(gone, hex); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := store.look(t.Context(), hex); err != nil {
		t.Error(err)
	}
	// It has been looked at: nobody reads it again.
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
	f, err := store.create()
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := store.commit(f, digestOf("other"), false); err == nil || store.has(digestOf("other")) {
		t.Errorf("a file that cannot be synced is stored: %v", err)
	}
	if f, err = store.create(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := os.RemoveAll(filepath.Join(store.dir, blobsDir)); err != nil {
		t.Fatal(err)
	}
	if err := store.commit(f, digestOf("other"), false); err == nil || store.has(digestOf("other")) {
		t.Errorf("a file that cannot be renamed is stored: %v", err)
	}
}

// A file is read by its name again only where the name is still its own.
func TestADownloadIsReadFromItsOwnFile(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"still there": func(string) error { return nil },
		"deleted":     os.Remove,
		"renamed":     func(path string) error { return os.Rename(path, path+"-stored") },
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+"-stored"), os.WriteFile(path, []byte("another"), 0o600))
		},
	} {
		f, err := os.CreateTemp(t.TempDir(), "blob-*")
		if err != nil {
			t.Fatal(err)
		}
		if err := change(f.Name()); err != nil {
			t.Fatal(err)
		}
		v := (&download{file: f}).view()
		if (v.own != nil) != (what == "still there") || v.shared != f {
			t.Errorf("%s: read by another handle: %v", what, v.own != nil)
		}
		v.close()
		_ = f.Close()
	}
}

// What came into the store between a look there and the download is served from it.
func TestABlobThatHasJustBeenStoredIsServedFromTheStore(t *testing.T) {
	store := storeWith(t, "content")
	c, err := Config{Verifier: &verify.Verifier{}, Store: store}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(c)
	w := httptest.NewRecorder()
	x := &exchange{
		g: g, w: w, r: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), ctx: t.Context(),
		l: location{at: atBlob, ref: digestOf("content")}, p: pull{from: &origin{g: g}},
	}
	if err := x.fromUpstream(permit{Allowed: true, Size: 7}, span{1, 4, true}); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusPartialContent || w.Body.String() != "ont" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func pathOf(s *Store, hex string) string { return filepath.Join(s.dir, blobsDir, hex) }
