package remote_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// An answer whose body does not come takes a place as one does that has not begun.
func TestAttack_P17_PlacesAreHeldUntilBodiesWereRead(t *testing.T) {
	var asked atomic.Int64
	address := registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	client, err := remote.New(remote.Options{MaxInFlight: 2, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(address + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	for range 10 {
		go func() {
			_, err := client.Manifest(ctx, repo.Tag("v1"))
			done <- err
		}()
	}
	for range 100 {
		if asked.Load() >= 2 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	// Before the end: as calls end one after another, places are free for a moment.
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests were in flight at once, want 2", n)
	}
	cancel()
	for range 10 {
		if err := <-done; err == nil {
			t.Error("a body that never came was read")
		}
	}
}
