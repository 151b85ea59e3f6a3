package gate

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// Who has looked into the store just before a download ended there is told to look
// again, and begins no other one.
func TestWhatIsInTheStoreIsNotDownloaded(t *testing.T) {
	store, err := OpenStore(t.TempDir(), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("content")
	sum := sha256.Sum256(content)
	digest := "sha256:" + hexOf(sum[:])
	if err := store.putBytes(digest, content, false); err != nil {
		t.Fatal(err)
	}
	c, err := Config{Verifier: &verify.Verifier{}, Store: store}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(c)
	if _, err := g.loads.join(t.Context(), pull{from: &origin{g: g}}, downloadKey{digest: digest, size: 7}, false); !errors.Is(err, errStored) {
		t.Errorf("%v", err)
	}
	if len(g.loads.by) != 0 {
		t.Error("a download was begun")
	}
}
