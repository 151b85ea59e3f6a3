//go:build unix

package gate_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

func TestAttack_P21_AStoreOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	for _, part := range []string{".", "blobs", "blobs/sha256", "ingest", ".hallmark"} {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, part), 0o700))
		must(t, os.Chown(filepath.Join(dir, part), 4711, -1))
		if _, err := gate.OpenStore(dir, gate.StoreOptions{}); !errors.Is(err, gate.ErrStoreForeign) {
			t.Errorf("%s is another's: %v", part, err)
		}
	}
}

func TestAttack_P21_AKilledGateLeavesNoLock(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, registrytest.Options{}, nil)
	_, kill := s.child(dir, registrytest.Start(t, s.hosted), "")
	wantInUse(t, dir)
	kill()
	store, err := gate.OpenStore(dir, gate.StoreOptions{})
	must(t, err)
	must(t, store.Close())
}
