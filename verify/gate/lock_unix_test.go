//go:build unix

package gate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

func TestAttack_P21_AKilledGateLeavesNoLock(t *testing.T) {
	dir := t.TempDir()
	s := newScene(t, registrytest.Options{}, nil)
	_, kill := s.child(dir, registrytest.Start(t, s.hosted), "")
	wantInUse(t, dir)
	kill()
	held, err := store.Open(dir, store.Options{})
	must(t, err)
	must(t, held.Close())
}

func wantInUse(t *testing.T, dir string) {
	t.Helper()
	if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want ErrInUse that names %s", err, dir)
	}
}
