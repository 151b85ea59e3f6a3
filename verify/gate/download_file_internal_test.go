package gate

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hexOf(sum[:])
}

func storeWith(t *testing.T, content string) *store.Store {
	t.Helper()
	held, err := store.Open(t.TempDir(), store.Options{})
	if err == nil {
		err = held.Put(digestOf(content), []byte(content), store.Images)
	}
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// What has been put in a file's place is not the file, and goes.
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
	held := storeWith(t, "content")
	c, err := Config{Verifier: &verify.Verifier{}, Store: held}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(c)
	w := httptest.NewRecorder()
	d := deliveryOf(t, g, w, digestOf("content"), permit{Allowed: true, Size: 7})
	if err := d.fromUpstream(span{1, 4, true}); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusPartialContent || w.Body.String() != "ont" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
