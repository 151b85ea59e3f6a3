//go:build unix

package gate_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// After a restart all who want a blob wait until it was hashed once.
func TestAStoredBlobIsHashedOnceForAllWhoWantIt(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, store.Options{})
	_, layer := s.bigImage("big", 64<<20)
	s.passes("big")
	path := "/v2/team/app/blobs/" + layer
	s.drain(path)
	eventually(t, "the layer is stored", func() bool { return strings.Contains(strings.Join(blobFiles(t, dir), " "), layer) })
	upstream := registrytest.Start(t, s.hosted)
	cost := func(clients int) time.Duration {
		s.start(upstream, func(c *gate.Config) { c.Store = openStore(t, dir, store.Options{}) })
		s.passes("big")
		before := processor.Time()
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				if r := s.ask(http.MethodHead, path); r.status != http.StatusOK {
					t.Errorf("%d", r.status)
				}
			})
		}
		wg.Wait()
		return processor.Time() - before
	}
	if one, all := cost(1), cost(24); all > 8*one {
		t.Errorf("one client costs %v, 24 at once %v", one, all)
	}
}

// soon wants something to end although it leads to a pipe, which is let go otherwise.
func soon(t *testing.T, pipe string, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	select {
	case <-done:
		return
	case <-time.After(10 * time.Second):
	}
	t.Error("a pipe holds it up")
	if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
		defer func() { _ = f.Close() }()
		<-done
	}
}

func TestAttack_P8_APipeInPlaceOfAStoredBlobHoldsUpNobody(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		s := storeScene(t, dir, store.Options{AlwaysVerify: always})
		layer := s.parts(s.signed)[1]
		s.passes("signed")
		want := s.get(blobPath(layer))
		path := filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex)
		stored := func() bool { info, err := os.Stat(path); return err == nil && info.Mode().IsRegular() }
		eventually(t, "the layer is stored", stored)
		put := func() {
			t.Helper()
			must(t, os.Remove(path))
			must(t, syscall.Mkfifo(path, 0o600))
		}
		served := func() {
			t.Helper()
			soon(t, path, func() {
				// Once more where the pipe came before the store had noted the blob.
				eventually(t, "the layer is stored again", func() bool {
					if r := s.get(blobPath(layer)); r.status != http.StatusOK || string(r.body) != string(want.body) {
						t.Errorf("%d, %d bytes, %v", r.status, len(r.body), r.err)
					}
					return stored()
				})
			})
		}
		put()
		served()
		put()
		soon(t, path, func() {
			s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Store = openStore(t, dir, store.Options{AlwaysVerify: always}) })
		})
		s.passes("signed")
		served()
	}
}
