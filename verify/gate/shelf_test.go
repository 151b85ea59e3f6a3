package gate_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// flood has the gate fetch much evidence, each time other, and returns the digests of its
// blobs.
func (s *scene) flood(dir string, round, n int) (blobs []string) {
	s.t.Helper()
	for i := range n {
		payload := fmt.Appendf(nil, `{"round":%d,"n":%d,"text":%q}`, round, i, strings.Repeat("x", 600<<10))
		blob := s.blob("application/json", payload)
		s.passes(s.attach(s.signed.DigestStr(), i, blob))
		s.serves("/v2/team/app/blobs/" + blob.Digest)
		eventually(s.t, "the evidence is stored", func() bool { return slices.Contains(blobFiles(s.t, dir), blob.Digest) })
		blobs = append(blobs, blob.Digest)
	}
	return blobs
}

// restart makes a gate over what an earlier one has stored.
func (s *scene) restart(dir string, o store.Options) {
	s.t.Helper()
	s.start(registrytest.Start(s.t, s.hosted), func(c *gate.Config) { c.Store = openStore(s.t, dir, o) })
}

func TestAttack_P6_EvidenceDrivesNoImageOutOfTheStore(t *testing.T) {
	dir, o := t.TempDir(), store.Options{MaxBytes: 4 << 20}
	s := storeScene(t, dir, o)
	image, layer := s.bigImage("big", 2<<20)
	s.passes("big")
	s.serves("/v2/team/app/blobs/" + layer)
	eventually(t, "the layer is stored", func() bool { return slices.Contains(blobFiles(t, dir), layer) })
	for round := range 4 {
		if round > 0 {
			s.restart(dir, o)
		}
		blobs := s.flood(dir, round, 4)
		eventually(t, "evidence has no more than a quarter", func() bool {
			stored := blobFiles(t, dir)
			return !slices.ContainsFunc(blobs[:3], func(b string) bool { return slices.Contains(stored, b) })
		})
		if stored := blobFiles(t, dir); !slices.Contains(stored, layer) || !slices.Contains(stored, image.DigestStr()) {
			t.Errorf("restarted %d times: who can attach evidence has driven the image out of the store", round)
		}
	}
}

// What evidence and an image have in common is the image's; which was first does not matter.
func TestAttack_P6_EvidenceEvictsNoImageWhoseLayerItHas(t *testing.T) {
	dir, o := t.TempDir(), store.Options{MaxBytes: 4 << 20}
	s := storeScene(t, dir, o)
	layer := fmt.Appendf(nil, `{"layer":%q}`, strings.Repeat("x", 500<<10))
	manifest, _, content := s.unsignedImage("shared", layer)
	image := s.repo.Digest(manifest.Digest)
	s.passes(s.attach(s.signed.DigestStr(), 100, s.blob("application/json", layer)))
	path := "/v2/team/app/blobs/" + content.Digest
	stored := func() bool { return slices.Contains(blobFiles(t, dir), content.Digest) }
	s.serves(path)
	eventually(t, "it is stored as evidence", stored)
	s.sign(image)
	s.passes(manifest.Digest)
	if r := s.serves(path); !bytes.Equal(r.body, layer) {
		t.Fatalf("%d bytes", len(r.body))
	}
	for round := range 2 {
		if round > 0 {
			s.restart(dir, o)
		}
		s.flood(dir, round, 4)
		if !stored() {
			t.Errorf("restarted %d times: the layer is gone", round)
		}
	}
}

// What does not fit into the part that evidence has is served, and not kept.
func TestEvidenceThatIsTooLargeForItsPartOfTheStoreIsServed(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{MaxBytes: 1 << 20})
	payload := fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 400<<10))
	blob := s.blob("application/json", payload)
	s.passes(s.attach(s.signed.DigestStr(), 1, blob))
	for range 2 {
		if r := s.serves("/v2/team/app/blobs/" + blob.Digest); !bytes.Equal(r.body, payload) {
			t.Errorf("%d bytes", len(r.body))
		}
	}
	if n := s.served("/v2/team/app/blobs/" + blob.Digest); n != 2 {
		t.Errorf("it was read %d times from the registry, want 2", n)
	}
	eventually(t, "nothing is left of it", func() bool {
		left, err := os.ReadDir(filepath.Join(dir, "ingest"))
		return err == nil && len(left) == 0
	})
	if slices.Contains(blobFiles(t, dir), blob.Digest) {
		t.Error("it was kept")
	}
}

// served counts how often the registry has given something out.
func (s *scene) served(path string) (n int) {
	for _, r := range s.hosted.Requests() {
		if r.Path == path && r.Method == http.MethodGet {
			n++
		}
	}
	return n
}
