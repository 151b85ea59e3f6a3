package gate

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// Who has looked into the store just before a download ended there is told to look
// again, and begins no other one.
func TestWhatIsInTheStoreIsNotDownloaded(t *testing.T) {
	held, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("content")
	sum := sha256.Sum256(content)
	digest := "sha256:" + hexOf(sum[:])
	if err := held.Put(digest, content, store.Images); err != nil {
		t.Fatal(err)
	}
	c, err := Config{Verifier: &verify.Verifier{}, Store: held}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(c)
	if _, err := g.downloads.join(t.Context(), pull{from: &origin{}}, downloadKey{digest: digest, size: 7}, false); !errors.Is(err, errStored) {
		t.Errorf("%v", err)
	}
	if len(g.downloads.by) != 0 {
		t.Error("a download was begun")
	}
}
