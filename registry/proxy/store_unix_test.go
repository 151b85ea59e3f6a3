//go:build unix

package proxy_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/proxy"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// processorTime is what this process has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// After a restart all who want a blob wait until it was hashed once.
func TestAStoredBlobIsHashedOnceForAllWhoWantIt(t *testing.T) {
	dir := t.TempDir()
	s := storeScene(t, dir, proxy.StoreOptions{})
	_, layer := s.bigImage("big", 64<<20)
	s.passes("big")
	path := "/v2/team/app/blobs/" + layer
	s.drain(path)
	eventually(t, "the layer is stored", func() bool { return strings.Contains(strings.Join(blobFiles(t, dir), " "), layer) })
	upstream := registrytest.Start(t, s.hosted)
	cost := func(clients int) time.Duration {
		s.start(upstream, func(c *proxy.Config) { c.Store = openStore(t, dir, proxy.StoreOptions{}) })
		s.passes("big")
		before := processorTime(t)
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				if r := s.ask(http.MethodHead, path); r.status != http.StatusOK {
					t.Errorf("%d", r.status)
				}
			})
		}
		wg.Wait()
		return processorTime(t) - before
	}
	if one, all := cost(1), cost(24); all > 8*one {
		t.Errorf("one client costs %v, 24 at once %v", one, all)
	}
}

func TestAttack_P8_OthersCannotWriteToTheStoresDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	all := []string{dir, filepath.Join(dir, "blobs"), filepath.Join(dir, "blobs", "sha256"), filepath.Join(dir, "ingest")}
	for _, d := range all {
		must(t, os.Mkdir(d, 0o700))
		must(t, os.Chmod(d, 0o777))
	}
	openStore(t, dir, proxy.StoreOptions{})
	for _, d := range all {
		info, err := os.Stat(d)
		must(t, err)
		if info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v", d, info.Mode())
		}
	}
}
