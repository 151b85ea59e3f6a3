package registry_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// endless is a store whose blobs do not come before their context ends.
type endless struct {
	registry.Reader
	began chan struct{}
}

func (e *endless) Blob(ctx context.Context, _ name.Digest, _ int64) (io.ReadCloser, error) {
	select {
	case e.began <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A judgement that is given up while a large payload is read gives its room back.
func TestAttack_P17_AReadingThatIsGivenUpGivesItsRoomBack(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.plant(t, ".att", h.planted(envelopeType, strings.Repeat("x", 24<<20)))
	b := budget.New()
	ctx, cancel := context.WithCancel(budget.With(t.Context(), b))
	own, end := budget.Session(ctx)
	slow := &endless{h.client, make(chan struct{}, 1)}
	go func() { <-slow.began; cancel() }()
	gather(own, slow, h.image, registry.Limits{})
	end()
	later, stop := context.WithTimeout(budget.With(t.Context(), b), 2*time.Second)
	defer stop()
	leave, err := budget.Payload(later, 1<<20)
	if err != nil {
		t.Fatalf("nothing is read any more, and there is no room: %v", err)
	}
	leave()
}

// Requests for long lists that wait for a budget take no place in flight from others.
func TestAttack_P17_ListsThatWaitKeepNoPlaceInFlight(t *testing.T) {
	entries := make([]v1.Descriptor, 200)
	for i := range entries {
		entries[i] = v1.Descriptor{MediaType: manifestType, Size: 10, Digest: hashOf(fmt.Sprint(i))}
	}
	list := `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":` + jsonOf(t, entries) + `}`
	upstream := registrytest.New(registrytest.Options{})
	address := registrytest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			w.Header().Set("Content-Type", indexType)
			_, _ = io.WriteString(w, list)
			return
		}
		upstream.ServeHTTP(w, r)
	}))
	client, err := remote.New(remote.Options{Keychain: credentials{}, MaxInFlight: 4, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(address + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	image, err := registrytest.PushImage(t.Context(), client, repo.Tag("v1"), registrytest.ImageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := budget.With(t.Context(), budget.New())
	for range 2 { // two judgements hold what is large, and ask for more
		own, end := budget.Session(all)
		defer end()
		if err := budget.Large(own); err != nil {
			t.Fatal(err)
		}
	}
	waiting, cancel := context.WithCancel(all)
	defer cancel()
	for range 4 {
		go func() {
			own, end := budget.Session(waiting)
			defer end()
			for range client.Referrers(own, image) { //nolint:revive // it is only read
			}
		}()
	}
	time.Sleep(500 * time.Millisecond)
	soon, stop := context.WithTimeout(all, 3*time.Second)
	defer stop()
	if _, err := client.Resolve(soon, repo.Tag("v1")); err != nil {
		t.Errorf("a small answer waits for long lists that wait for judgements which wait for it: %v", err)
	}
}

// Who looks at a payload and panics has it given back, too.
func TestAttack_P17_APanicGivesItsRoomBack(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.plant(t, ".att", h.planted(envelopeType, strings.Repeat("x", 24<<20)))
	b := budget.New()
	func() {
		defer func() { _ = recover() }()
		own, end := budget.Session(budget.With(t.Context(), b))
		defer end()
		for range registry.Evidence(own, h.client, h.image, registry.Limits{}) {
			panic("unforeseen")
		}
	}()
	later, stop := context.WithTimeout(budget.With(t.Context(), b), 2*time.Second)
	defer stop()
	leave, err := budget.Payload(later, 1<<20)
	if err != nil {
		t.Fatalf("nothing is read any more, and there is no room: %v", err)
	}
	leave()
}
